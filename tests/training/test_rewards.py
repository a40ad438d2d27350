import inspect

import numpy as np
import pytest

from halluc.errors import InvalidInput
from retrieval import Passage, PassageIndex
from training import FactualityReward


class Contained:
    """Supports a claim that stands word for word in the evidence; counts its calls."""

    name = "contained"

    def __init__(self):
        self.calls = 0

    def support(self, pairs):
        self.calls += 1
        return np.array([float(claim.rstrip(".") in evidence) for evidence, claim in pairs])


@pytest.fixture
def index(tmp_path):
    made = PassageIndex.create(tmp_path / "x")
    made.add([Passage("a", "Fleming discovered penicillin. It was in 1928."), Passage("b", "Paris is in France.")])
    return made


def test_the_reward_is_the_share_of_supported_claims(index):
    verifier = Contained()
    reward = FactualityReward(verifier, index)
    completions = ["Paris is in France.", "Paris is in France. It is in Peru.", "Nobody knows.", ""]
    assert reward(prompts=["?"] * 4, completions=completions) == [1.0, 0.5, 0.0, 0.0]
    assert verifier.calls == 1


def test_conversations_and_a_context_column_are_taken_as_trl_passes_them():
    reward = FactualityReward(Contained())
    completions = [[{"role": "assistant", "content": "Snow is white."}]]
    assert reward(prompts=[[]], completions=completions, context=["Snow is white."], trainer_state=None) == [1.0]


def test_trl_can_name_and_call_it():
    assert FactualityReward.__name__
    assert FactualityReward(Contained()).__name__ == "factuality"
    kinds = [p.kind for p in inspect.signature(FactualityReward.__call__).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD in kinds


def test_missing_evidence_and_uneven_columns_are_named(index):
    with pytest.raises(InvalidInput, match="there is no evidence"):
        FactualityReward(Contained())(prompts=["?"], completions=["A claim."])
    with pytest.raises(InvalidInput, match="2 prompts and no contexts for 1 completions"):
        FactualityReward(Contained(), index)(prompts=["?", "?"], completions=["A claim."])
    with pytest.raises(InvalidInput, match="k is 0"):
        FactualityReward(Contained(), index, k=0)
