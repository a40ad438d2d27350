"""The texts that verifier and embedder compare, and the statistics computed from them."""

import numpy as np
import pytest

from halluc.answers import Claim
from halluc.detectors.statistics import Resources, Statistic, Statistics
from halluc.detectors.text_relations import TextRelations
from halluc.verification.judge import Judge
from retrieval import Passage


class Recorded:
    """A scripted verifier: it records its pairs, and supports a claim if its last word is in the evidence."""

    name = "recorded"

    def __init__(self):
        self.pairs = []

    def probabilities(self, pairs):
        self.pairs += pairs
        found = [claim.split()[-1].strip(".") in evidence for evidence, claim in pairs]
        return np.array([[0.9, 0.1, 0.0] if yes else [0.1, 0.8, 0.1] for yes in found])


class LetterVectors:
    """A scripted embedder of letter counts, as unit vectors, that records its texts."""

    def __init__(self):
        self.texts = []

    def encode(self, texts):
        self.texts += texts
        counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


def relations(answers, samples, *, question="Where?", alternatives=(), spans=(), **sources):
    statistics = Statistics((question,) * len(answers), tuple(answers), token_spans=spans, samples=tuple(samples))
    return TextRelations(
        statistics, alternatives, [[np.array([[0, 1]])] * len(own) for own in samples], Resources(None, **sources)
    )


def test_samples_are_compared_within_their_question_and_equal_ones_not_asked_about():
    verifier = Recorded()
    fields, asked = relations(["Oslo"], [("Oslo", "oslo.", "Rome")], verifier=verifier).by_verifier([Statistic.entailment])
    assert fields["entailment"].shape == (1, 3, 3, 3)
    assert fields["entailment"][0, 0, 1].tolist() == [1, 0, 0]
    assert fields["entailment"][0, 0, 2].tolist() == [0.1, 0.8, 0.1]
    assert ("Where? Oslo", "Where? Rome") in verifier.pairs
    assert len(verifier.pairs) == 4
    assert asked == {Statistic.entailment: 9}


def test_an_empty_sample_says_nothing_of_others_and_they_nothing_of_it():
    found = relations([""], [("", "Rome")], question="q " * 50, verifier=Recorded()).by_verifier([Statistic.entailment])[0]
    assert found["entailment"][0, 0].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found["entailment"][0, 1, 0].tolist() == [0, 0, 1]


def test_one_call_serves_all_needs_and_each_gets_its_own():
    verifier = Recorded()
    needs = [Statistic.entailment, Statistic.answer_entailment, Statistic.sentence_entailment]
    made = relations(["Oslo. Not Rome."], [("Oslo", "Rome")], verifier=verifier)
    fields, _ = made.by_verifier(needs)
    assert len(set(verifier.pairs)) == len(verifier.pairs)
    assert fields["answer_entailment"].shape == (1, 2, 2, 3)
    assert fields["sentence_entailment"][0].shape == (2, 2, 3)
    # The sentence "Oslo." against the sample "Rome", and against its equal.
    assert fields["sentence_entailment"][0][0, 1].tolist() == [0.1, 0.8, 0.1]
    assert fields["sentence_entailment"][0][0, 0].tolist() == [1, 0, 0]


def test_a_long_sample_is_compared_in_pieces_and_their_mean_counts():
    verifier = Recorded()
    long = "The tower is in Oslo. " + "word " * 50 + "Rome."
    made = relations([long], [("Oslo word", long)], question="q " * 50, verifier=verifier)
    entailment = made.by_verifier([Statistic.entailment])[0]["entailment"]
    assert max(len(claim.split()) for _, claim in verifier.pairs) <= 45
    # Three pieces of the long sample, which end in Oslo, word and Rome.
    assert entailment[0, 0, 1, 0] == pytest.approx((0.9 + 0.9 + 0.1) / 3)


def test_claims_are_judged_as_everywhere_else():
    """The worst piece of a long claim counts, and the best passage."""
    verifier = Recorded()
    long = "The tower is in Oslo. " + "word " * 150 + "Rome."
    made = relations([long], [()], verifier=verifier, contexts=["Oslo word"])
    (support,) = made.by_judge([Statistic.support])[0]["claim_support"]
    assert support == pytest.approx([0.9, 0.1])
    claim = Claim("word " * 150 + "Rome.", 0, 0)
    (verdict,) = Judge(verifier).verdicts([claim], [[Passage("c", "Oslo word")]])
    assert support[1] == pytest.approx(verdict.support)


def test_an_empty_answer_has_no_support_and_an_answer_without_a_source_no_score():
    made = relations(["", "Oslo is big."], [(), ()], verifier=Recorded(), contexts=["Oslo", None])
    empty, unsourced = made.by_judge([Statistic.support])[0]["claim_support"]
    assert empty.tolist() == [0.0]
    assert np.isnan(unsourced).all()
    assert len(unsourced) == 1


def test_alternatives_are_the_same_opposite_or_neither():
    step = (("Oslo", np.log(0.5)), ("Rome", np.log(0.3)), ("rare", np.log(0.001)))
    made = relations(
        ["in Oslo"], [()], alternatives=[[(("in", 0.0),), step]], spans=(np.array([[0, 2], [3, 7]]),), verifier=Recorded()
    )
    fields, _ = made.by_verifier([Statistic.alternatives])
    assert [own.tolist() for own in fields["alternative_relation"][0]] == [[0], [0, 1]]
    assert np.exp(fields["alternative_logprobs"][0][1]) == pytest.approx([0.5, 0.3])


def test_relevance_is_what_is_lost_without_the_token():
    embedder = LetterVectors()
    spans = (np.array([[0, 1], [1, 2], [2, 2]]),)
    made = relations(["ab"], [("ab", "b")], question="q " * 50, spans=spans, embedder=embedder)
    fields, _ = made.by_embedder([Statistic.relevance, Statistic.answer_similarity, Statistic.similarity])
    expected = 1 - np.sqrt(0.5)
    assert fields["token_relevance"][0] == pytest.approx([expected, expected, 0], abs=1e-6)
    assert fields["answer_similarity"] == pytest.approx(np.array([[1, np.sqrt(0.5)]]), abs=1e-6)
    assert fields["sample_similarity"][0, 0, 1] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert sorted(embedder.texts) == ["a", "ab", "b"]
