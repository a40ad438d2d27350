"""Which characters of an answer are reported as unsupported."""

import pytest

import halluc
from halluc.answers import Claim, Verdict
from halluc.verification.spans import Span, labeled_spans, unsupported_spans
from halluc.verification.verifier import UnsupportedSpan
from retrieval import Passage


def verdict(start, end, label, text="x"):
    return Verdict(Claim(text, start, end), label, {"supported": 0.9}.get(label, 0.2))


class MarksWord:
    """Calls a word unsupported wherever it occurs."""

    name = "marks a word"

    def __init__(self, word):
        self.word = word
        self.pairs = []

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]

    def probabilities(self, pairs):
        import numpy as np

        return np.array([[0.1, 0.2, 0.7] if self.word in claim else [0.9, 0.05, 0.05] for _, claim in pairs]).reshape(-1, 3)

    def unsupported_spans(self, pairs):
        self.pairs += pairs
        places = [claim.find(self.word) for _, claim in pairs]
        return [(UnsupportedSpan(place, place + len(self.word), 0.8, "baseless"),) if place >= 0 else () for place in places]


def test_where_claims_overlap_the_inner_one_and_then_the_worst_label_counts():
    spans = labeled_spans([verdict(0, 30, "supported"), verdict(6, 20, "refuted")])
    assert spans == [Span(0, 6, "supported", (0,)), Span(6, 20, "refuted", (1,)), Span(20, 30, "supported", (0,))]
    spans = labeled_spans([verdict(0, 9, "supported"), verdict(0, 9, "not_enough_info")])
    assert spans == [Span(0, 9, "not_enough_info", (0, 1))]
    assert labeled_spans([]) == []


def test_a_marked_word_is_found_in_the_answer_with_its_markup():
    answer = "The **bridge** is long [1].\n\n- It   has\n  _crooked_ lanes [2]. It opened in 1987."
    report = halluc.check(answer, context="Anything at all.", verifier=MarksWord("crooked"))
    (span,) = report.unsupported
    assert answer[span.start : span.end] == "crooked"
    assert (span.kind, span.label, span.probability) == ("baseless", "not_enough_info", 0.8)
    assert all("crooked" in report.verdicts[i].claim.text for i in span.verdicts)
    assert span.verdicts


def test_sentences_without_an_unsupported_claim_are_not_read():
    verifier = MarksWord("zebra")
    answer = "Is there a zebra? The bridge is long. It has a crooked zebra on it."
    halluc.check(answer, context="Text.", verifier=verifier)
    assert [claim for _, claim in verifier.pairs] == ["It has a crooked zebra on it."]


def test_no_word_of_a_supported_claim_is_marked():
    class MarksBoth(MarksWord):
        def unsupported_spans(self, pairs):
            return [
                tuple(UnsupportedSpan(claim.find(word), claim.find(word) + 4, 0.8, "conflict") for word in ("long", "deep"))
                for _, claim in pairs
            ]

    answer = "The bridge is long and the river is deep."
    verdicts = [verdict(0, 18, "supported"), verdict(23, 41, "refuted")]
    passages = [[Passage("a", "Long bridge.")], [Passage("a", "Long bridge.")]]
    ((span,),) = unsupported_spans(MarksBoth("x"), [answer], [verdicts], [passages])
    assert answer[span.start : span.end] == "deep"
    assert unsupported_spans(MarksBoth("x"), [answer], [[verdict(0, 41, "supported")]], [passages[:1]]) == [()]


def test_the_pieces_of_a_long_sentence_keep_their_places():
    answer = "The list names " + ", ".join(f"item{i}" for i in range(120)) + ", and a zebra at the end."
    report = halluc.check(answer, context="Text.", verifier=MarksWord("zebra"))
    assert [answer[span.start : span.end] for span in report.unsupported] == ["zebra"]


def test_the_passages_of_all_claims_of_a_sentence_are_read_together():
    verifier = MarksWord("zebra")
    answer = "The bridge is long and the river is deep."
    verdicts = [verdict(0, 18, "supported"), verdict(23, 41, "refuted")]
    passages = [
        [Passage("a", "Long bridge."), Passage("b", " ")],
        [Passage("c", "Deep river."), Passage("a", "Long bridge.")],
    ]
    ((span,),) = unsupported_spans(verifier, [answer], [verdicts], [passages])
    assert (span.start, span.end, span.kind) == (23, 41, "conflict")
    assert verifier.pairs == [("Long bridge.\n\nDeep river.", answer)]


def test_without_passages_the_claims_themselves_are_the_spans():
    answer = "The zebra sleeps."
    spans = unsupported_spans(MarksWord("zebra"), [answer], [[verdict(0, 17, "not_enough_info")]], [[[]]])
    assert spans == [(Span(0, 17, "not_enough_info", (0,), "baseless", pytest.approx(0.8)),)]


def test_of_an_unsupported_claim_without_a_marked_word_all_is_marked():
    answer = "The bridge is long. The zebra sleeps. The river is deep."
    verdicts = [verdict(0, 19, "refuted"), verdict(20, 37, "not_enough_info"), verdict(38, 56, "supported")]
    passages = [[[Passage("a", "Text.")]] * 3]
    (spans,) = unsupported_spans(MarksWord("zebra"), [answer], [verdicts], passages)
    assert [(answer[span.start : span.end], span.kind, span.verdicts) for span in spans] == [
        ("The bridge is long.", "conflict", (0,)),
        ("zebra", "baseless", (1,)),
    ]


def test_a_verifier_that_marks_no_words_gives_whole_claims():
    answer = "The zebra sleeps. The zebra eats. The bridge is long."
    report = halluc.check(answer, context="Text.", verifier=_without_spans(MarksWord("zebra")))
    (span,) = report.unsupported
    assert answer[span.start : span.end].strip(".") == "The zebra sleeps. The zebra eats"
    assert (span.kind, span.probability) == ("baseless", pytest.approx(0.9))
    assert halluc.CheckReport.from_dict(report.to_dict()) == report


def _without_spans(verifier):
    class Plain:
        name = "plain"
        support = staticmethod(verifier.support)
        probabilities = staticmethod(verifier.probabilities)

    return Plain()
