"""A language model as the verifier: what counts as Yes, as No, and as neither. Its quality is in benchmarks/verifier.py."""

import math

import pytest

from halluc.models.language_model import Generation
from halluc.verification.check import check
from halluc.verification.lm_verifier import LMVerifier


class Replies:
    """Replies to prompts that contain a text with the likely first tokens given for it."""

    name = "scripted"

    def __init__(self, **tokens):
        self.tokens = tokens

    def generate(self, prompts, **_options):
        found = [next(top for text, top in self.tokens.items() if text in prompt) for prompt in prompts]
        top = [tuple((token, math.log(p)) for token, p in sorted(t.items(), key=lambda pair: -pair[1])) for t in found]
        return [[Generation(tokens[0][0], top_logprobs=(tokens,))] for tokens in top]


def test_the_odds_for_no_passage_are_subtracted():
    lm = Replies(evidence={"Yes": 0.6, " no": 0.3}, N={"yes": 0.4, "No": 0.5})
    expected = (0.6 / 0.3) / (0.4 / 0.5)
    assert LMVerifier(lm).support([("evidence", "claim")]) == pytest.approx([expected / (1 + expected)])


@pytest.mark.parametrize("neither", [{"Maybe": 0.9, "I": 0.1}, {"The": 0.95, "Yes": 0.04, "No": 0.001}])
def test_a_reply_that_is_neither_yes_nor_no_never_supports(neither):
    # With nothing to compare, the odds were 0, less those for no passage, which were far below: a support of 0.99.
    lm = Replies(evidence=neither, N={"No": 0.99, "Yes": 0.01})
    verifier = LMVerifier(lm)
    assert verifier.probabilities([("evidence", "claim")]).tolist() == [[0.0, 0.0, 1.0]]
    report = check("The bridge is old.", context="The evidence is here.", verifier=verifier)
    assert report.verdicts[0].label == "not_enough_info"
    # Undecided without a passage: nothing is subtracted.
    lm = Replies(evidence={"Yes": 0.6, "No": 0.3}, N=neither)
    assert LMVerifier(lm).support([("evidence", "claim")]) == pytest.approx([2 / 3])
