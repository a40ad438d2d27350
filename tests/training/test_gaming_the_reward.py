"""What a policy may try instead of answering, judged by the verifier that comes with halluc."""

from functools import partial

import pytest

import halluc
from training import FactualityReward
from training.rewards.kinds import (
    binary_factuality,
    brier_confidence,
    claim_precision,
    log_confidence,
    ternary_truth,
)

PASSAGE = (
    "The Panthers defense gave up just 308 points, ranking sixth in the league, while also leading the NFL in interceptions "
    "with 24 and boasting four Pro Bowl selections. Pro Bowl defensive tackle Kawann Short led the team in sacks with 11, "
    "while also forcing three fumbles and recovering two."
)
PROMPT = "How did the Panthers defense do, and who led the team in sacks?"
TRUE = "The Panthers defense gave up 308 points. Kawann Short led the team in sacks."
GAMES = {
    "nothing": "",
    "one fact ten times": "The Panthers defense gave up 308 points. " * 10,
    "the passage": PASSAGE,
    "hedges": "The Panthers defense may have given up 308 points. Kawann Short possibly led the team in sacks.",
    "a false fact": "The Panthers defense gave up 512 points. Josh Norman led the team in sacks.",
}


@pytest.fixture(scope="module")
def verifier():
    return halluc.load_verifier("default")


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(
    "kind",
    [partial(claim_precision, expected_claims=2), binary_factuality, ternary_truth, brier_confidence, log_confidence],
    ids=["precision", "binary", "ternary", "brier", "log"],
)
def test_no_game_earns_as_much_as_a_true_complete_answer(verifier, kind, game):
    reward = FactualityReward(verifier, kind=kind)
    stated = "\nConfidence: 0.9" if kind in (brier_confidence, log_confidence) else ""
    completions = [TRUE + stated, GAMES[game] + stated if GAMES[game] else ""]
    true, gamed = reward(prompts=[PROMPT] * 2, completions=completions, context=[PASSAGE] * 2)
    assert true > gamed
    assert true > 0.5
