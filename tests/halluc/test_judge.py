"""The rule by which claims are judged, by value."""

import math

import numpy as np
import pytest

from halluc.answers import Claim, Evidence, Verdict
from halluc.errors import InvalidInput
from halluc.verification.judge import Judge, answer_support, claim_pieces, label_of, verifier_support
from retrieval import Passage


class Table:
    """A verifier that reads its probabilities off a table; evidence that is not in it says nothing."""

    name = "table"

    def __init__(self, rows):
        self.rows = rows
        self.calls = []

    def probabilities(self, pairs):
        self.calls.append(list(pairs))
        return np.array([self.rows.get(evidence, (0.0, 0.0, 1.0)) for evidence, _ in pairs])

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]


def claim(text="It is so."):
    return Claim(text, 0, len(text))


def judge(rows, texts, **options):
    passages = [Passage(f"p{i}", text) for i, text in enumerate(texts)]
    (verdict,) = Judge(Table(rows)).verdicts([claim()], [passages], **options)
    return verdict


def test_the_passage_that_supports_most_decides_from_one_half_on():
    rows = {"a": (0.2, 0.7, 0.1), "b": (0.6, 0.3, 0.1), "c": (0.5, 0.1, 0.4)}
    verdict = judge(rows, ["a", "b", "c"])
    assert (verdict.label, verdict.support) == ("supported", 0.6)
    assert (verdict.evidence[0].passage.id, verdict.evidence[0].probability) == ("p1", 0.6)
    assert judge(rows, ["a", "c"]).label == "supported"


def test_passages_that_support_only_together_support():
    rows = {"a": (0.2, 0.3, 0.5), "b": (0.4, 0.5, 0.1), "a\n\nb": (0.8, 0.1, 0.1)}
    verdict = judge(rows, ["a", "b"])
    assert (verdict.label, verdict.support) == ("supported", 0.8)
    assert (verdict.evidence[0].passage.id, verdict.evidence[0].probability) == ("p1", 0.4)
    # Refuted by the two together and by neither alone is not refuted.
    rows["a\n\nb"] = (0.1, 0.9, 0.0)
    assert judge(rows, ["a", "a", "a"]).label == "not_enough_info"
    assert judge({"a": rows["a"], "c": (0.4, 0.1, 0.5), "a\n\nc": (0.1, 0.9, 0.0)}, ["a", "c"]).label == "not_enough_info"


def test_else_the_passage_that_refutes_most_decides():
    rows = {"a": (0.3, 0.36, 0.34), "b": (0.4, 0.2, 0.4), "c": (0.1, 0.35, 0.55)}
    verdict = judge(rows, ["b", "c", "a"])
    # The support is that of b; the label is that of a.
    assert (verdict.label, verdict.support) == ("refuted", 0.4)
    assert (verdict.evidence[0].passage.id, verdict.evidence[0].probability) == ("p2", 0.36)
    verdict = judge(rows, ["b", "c"])
    assert (verdict.label, verdict.support, verdict.evidence[0].passage.id) == ("not_enough_info", 0.4, "p1")
    # Of "not enough information", what is told is how near the passage came to deciding.
    assert verdict.evidence[0].probability == pytest.approx(0.45)


def test_a_claim_with_nothing_to_read_has_no_support():
    assert judge({}, []) == Verdict(claim(), "not_enough_info", 0.0)
    assert judge({}, [" \n"]) == Verdict(claim(), "not_enough_info", 0.0)
    assert Judge(Table({})).verdicts([], []) == []


def test_of_a_long_claim_the_worst_piece_counts():
    text = " ".join(f"word{i}" for i in range(200))
    pieces = claim_pieces(text)
    assert len(pieces) > 2

    class ByPiece(Table):
        def probabilities(self, pairs):
            return np.array([self.rows[pieces.index(piece)] for _, piece in pairs])

    def verdict(*rows):
        table = dict(enumerate([*rows, *[(0.9, 0.0, 0.1)] * len(pieces)]))
        (found,) = Judge(ByPiece(table)).verdicts([Claim(text, 0, 1)], [[Passage("p", "e")]])
        return found.label, found.support, found.claim.text == text

    assert verdict((0.8, 0.1, 0.1), (0.7, 0.2, 0.1)) == ("supported", 0.7, True)
    assert verdict((0.3, 0.0, 0.7), (0.4, 0.1, 0.5)) == ("not_enough_info", 0.3, True)
    # A refuted piece counts before one with less support.
    assert verdict((0.2, 0.0, 0.8), (0.4, 0.5, 0.1)) == ("refuted", 0.4, True)


def test_a_quote_is_the_sentence_of_the_deciding_passage_that_speaks_most_for_the_label():
    deciding = "It rained. It is so. Cats sleep."
    rows = {deciding: (0.8, 0.1, 0.1), "It is so.": (0.9, 0.0, 0.1), "It rained.": (0.6, 0.0, 0.4), "Else.": (0.1, 0.8, 0.1)}
    verdict = judge(rows, ["Else.", deciding], quote=True)
    assert verdict.support == 0.8
    evidence = verdict.evidence[0]
    assert (evidence.text, evidence.passage.id, evidence.probability) == ("It is so.", "p1", 0.9)
    assert deciding[evidence.start : evidence.end] == evidence.text


def test_a_pair_is_read_once_and_a_passage_of_one_sentence_is_its_own_quote():
    verifier = Table({"It is so.": (0.9, 0.0, 0.1)})
    keeper = Judge(verifier)
    for _ in range(2):
        (verdict,) = keeper.verdicts([claim()], [[Passage("p", "It is so.")]], quote=True)
    assert len(verifier.calls) == 1
    assert verdict.evidence[0].text == "It is so."


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr("halluc.verification.judge._MAX_KEPT", 3)
    keeper = Judge(Table({}))
    for i in range(5):
        keeper.verdicts([claim(f"Claim {i}."), claim(f"Other {i}.")], [[Passage("p", "e")]] * 2)
        assert len(keeper._rows) <= 3


def test_a_probability_that_is_not_a_number_shows_in_the_support():
    assert math.isnan(judge({"a": (math.nan, 0.0, 1.0), "b": (0.9, 0.0, 0.1)}, ["a", "b"]).support)
    assert math.isnan(judge({"a": (math.nan, 0.0, 1.0), "b": (0.9, 0.0, 0.1)}, ["b", "a"]).support)


def test_labels_follow_the_rule():
    rows = [(0.5, 0.5, 0.0), (0.4, 0.35, 0.25), (0.4, 0.2, 0.4), (0.4, 0.3, 0.3)]
    assert [label_of(row) for row in rows] == ["supported", "refuted", "not_enough_info", "not_enough_info"]


def test_an_answer_has_the_support_of_its_least_supported_claim_and_none_without_claims():
    verdicts = [Verdict(claim(), "supported", 0.9), Verdict(claim(), "not_enough_info", 0.3)]
    assert answer_support(verdicts) == 0.3
    assert answer_support([]) == 0.0


def test_evidence_read_back_keeps_the_quote():
    evidence = Evidence(Passage("p", "It rained. It is so.", "Title"), 11, 20, 0.9)
    assert evidence.text == "It is so."
    again = Evidence.from_dict(evidence.to_dict())
    assert (again.text, again.start, again.end, again.probability) == ("It is so.", 11, 20, 0.9)
    assert again.to_dict() == evidence.to_dict()


def test_lists_are_required():
    with pytest.raises(InvalidInput, match="2 claims, 1 passages"):
        Judge(Table({})).verdicts([claim()] * 2, [[]])
    with pytest.raises(InvalidInput, match="a string in place of a list"):
        verifier_support(Table({}), ["evidence"], ["Answer."])
    with pytest.raises(InvalidInput, match="a string in place of a list"):
        verifier_support(Table({}), [["evidence"]], "Answer.")
