"""The formulas behind the detectors, on numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.detectors.sample_graph import (
    degree_matrix,
    eccentricity,
    eigenvalue_laplacian,
    kernel_language_entropy,
)
from halluc.detectors.sampling import (
    discrete_semantic_entropy,
    eigen_score,
    lexical_similarity,
    rouge_l,
    selfcheck_ngram,
    selfcheck_nli,
    semantic_density,
    semantic_entropy,
    semantic_sets,
    sentence_sar,
)
from halluc.detectors.statistics import Statistics
from halluc.detectors.table import DETECTORS
from halluc.detectors.token_probability import claim_conditioned_logprobs, rauq, token_sar

LN2 = math.log(2)


def entailment(support):
    """(k, k, 3) with the given support and the rest split between refuted (a quarter) and neutral."""
    support = np.asarray(support, float)
    return np.stack([support, (1 - support) / 4, (1 - support) * 3 / 4], -1)


SAME_TWO = entailment([[1, 0.9, 0.1], [0.8, 1, 0.1], [0.1, 0.1, 1]])
ALL_SAME = entailment(np.ones((3, 3)))
ALL_APART = entailment(np.eye(3))


def two_answers():
    """Token probabilities 1/2, 1/4 and 1/8, 1."""
    return Statistics(
        questions=("a", "b"),
        answers=("x y", "z"),
        token_logprobs=(np.log([0.5, 0.25]), np.log([0.125, 1.0])),
        token_entropy=(np.array([0.2, 0.6]), np.array([0.1, 0.3])),
        token_self_certainty=(np.array([1.0, 3.0]), np.array([4.0, 6.0])),
        answer_similarity=np.array([[0.5, 0.7], [1.0, 1.0]]),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("max_sequence_probability", [3 * LN2, 3 * LN2]),
        ("perplexity", [1.5 * LN2, 1.5 * LN2]),
        ("mean_token_entropy", [0.4, 0.2]),
        ("max_token_entropy", [0.6, 0.3]),
        ("self_certainty", [-2.0, -5.0]),
        ("cocoa", [3 * LN2 * 0.4, 0.0]),
        ("cocoa_perplexity", [1.5 * LN2 * 0.4, 0.0]),
        ("cocoa_entropy", [0.4 * 0.4, 0.0]),
    ],
)
def test_detectors_of_token_probabilities_give_the_values_worked_out_by_hand(name, expected):
    assert DETECTORS[name].score(two_answers()) == pytest.approx(expected)


def test_an_answer_without_tokens_has_no_score_rather_than_a_good_one():
    statistics = Statistics(("q",), ("",), token_logprobs=(np.empty(0),))
    assert np.isnan(DETECTORS["perplexity"].score(statistics)).all()


def test_claim_conditioned_probability_leaves_out_what_is_neither_same_nor_opposite():
    # Same: 0.5 + 0.1; opposite: 0.2; another claim: 0.2. CCP = 0.6 / 0.8.
    logprobs = [np.log([0.5, 0.1, 0.2, 0.2]), np.log([0.9])]
    relation = [np.array([0, 0, 1, 2]), np.array([0])]
    assert claim_conditioned_logprobs(logprobs, relation) == pytest.approx([math.log(0.75), 0])


def test_token_sar_weighs_tokens_by_their_share_of_relevance():
    assert token_sar(np.log([0.5, 0.25]), np.array([0.3, 0.1])).sum() == pytest.approx(0.75 * LN2 + 0.25 * 2 * LN2)
    assert token_sar(np.log([0.5, 0.25]), np.zeros(2)).sum() == pytest.approx(1.5 * LN2)


def test_rauq_passes_confidence_on_along_the_most_attentive_head():
    # Three layers: the middle third is layers 1 and 2. In layer 1 head 1 attends 0.5, in layer 2 head 0 attends 0.25.
    attention = np.zeros((3, 2, 2))
    attention[1, :, 1] = [0.1, 0.5]
    attention[2, :, 1] = [0.25, 0.2]
    # c_1 = 0.5; layer 1: 0.2 * 0.25 + 0.8 * 0.5 * 0.5 = 0.25; layer 2: 0.05 + 0.8 * 0.25 * 0.5 = 0.15.
    expected = -(math.log(0.5) + math.log(0.15)) / 2
    assert rauq(np.log([0.5, 0.25]), attention) == pytest.approx(expected)
    assert rauq(np.log([0.5]), attention[:, :, :1]) == pytest.approx(LN2)


def test_samples_that_entail_each_other_share_a_meaning():
    assert semantic_sets(SAME_TWO).tolist() == [0, 0, 1]


def test_entailment_in_one_direction_makes_no_shared_meaning():
    """Neither direction alone is enough."""
    one_way = entailment([[1, 0.9], [0.1, 1]])
    assert semantic_sets(one_way).tolist() == [0, 1]
    assert semantic_sets(one_way.transpose(1, 0, 2)).tolist() == [0, 1]


def test_semantic_entropy_is_that_of_meanings():
    # Meanings of mass 1/4 + 1/4 and 1/2: two equal ones.
    assert semantic_entropy(np.log([0.25, 0.25, 0.5]), np.array([0, 0, 1])) == pytest.approx(LN2)
    # Mass 0.3 and 0.1: shares 3/4 and 1/4.
    assert semantic_entropy(np.log([0.1, 0.2, 0.1]), np.array([0, 0, 1])) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    assert semantic_entropy(np.log([0.1, 0.2]), np.array([0, 0])) == 0


def test_discrete_semantic_entropy_counts_samples():
    assert discrete_semantic_entropy(np.array([0, 0, 1, 1])) == pytest.approx(LN2)
    assert discrete_semantic_entropy(np.array([0, 0, 0])) == 0


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence():
    assert rouge_l("the cat sat", "the cat is here") == pytest.approx(2 * 2 / 7)
    assert rouge_l("The Cat!", "the cat") == 1
    assert rouge_l("a", "b") == 0
    assert rouge_l("", "b") == 0
    assert rouge_l("", "") == 1
    assert lexical_similarity(["a b", "a b", "c d"]) == pytest.approx(1 / 3)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_rouge_l_agrees_with_the_textbook_recurrence(first, second):
    lengths = {(i, j): 0 for i in range(-1, len(first)) for j in range(-1, len(second))}
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            longest = max(lengths[i - 1, j], lengths[i, j - 1])
            lengths[i, j] = lengths[i - 1, j - 1] + 1 if a == b else longest
    common = lengths[len(first) - 1, len(second) - 1]
    expected = 2 * common / (len(first) + len(second)) if first or second else 1.0
    assert rouge_l(" ".join(first), " ".join(second)) == pytest.approx(expected)


def test_graph_measures_of_agreeing_and_disagreeing_samples():
    assert degree_matrix(ALL_SAME) == 0
    assert degree_matrix(ALL_APART) == pytest.approx(2 / 3)
    assert degree_matrix(SAME_TWO) == pytest.approx(1 - (3 + 1.7 + 0.4) / 9)
    assert eigenvalue_laplacian(ALL_SAME) == pytest.approx(1)
    assert eigenvalue_laplacian(ALL_APART) == pytest.approx(3)
    assert eccentricity(ALL_SAME) == pytest.approx(0, abs=1e-7)
    # Three unit vectors around their mean: 3 * (2/3).
    assert eccentricity(ALL_APART) == pytest.approx(math.sqrt(2))


def test_kernel_language_entropy_of_two_samples():
    # Edge w = 2 (e + n / 2), Laplacian eigenvalues 0 and 2 w; the kernel is [[a, b], [b, a]] with b / a = tanh(t w).
    matrix = np.zeros((2, 2, 3))
    matrix[0, 1] = matrix[1, 0] = [0.2, 0.2, 0.6]
    ratio = math.tanh(0.3 * 1.0)
    high, low = (1 + ratio) / 2, (1 - ratio) / 2
    assert kernel_language_entropy(matrix) == pytest.approx(-(high * math.log(high) + low * math.log(low)))


def test_semantic_density_counts_distinct_samples_by_distance():
    # Probabilities 0.5 (answer, distance 0), 0.25 (distance 0.2 + 0.4 / 2) and once 0.25 (distance 1), a repeat left out.
    relation = np.array([[0.4, 0.2, 0.4], [0, 1, 0], [0, 1, 0]])
    density = semantic_density(["a", "b", "b"], np.log([0.25, 0.25, 0.9]), math.log(0.5), relation)
    assert density == pytest.approx((0.5 + 0.25 * 0.6) / 1.0)


def test_sentence_sar_adds_what_similar_samples_confirm():
    # p = 1/2, 1/4; similarity 0.01, t = 0.1: 0.5 + 0.25 * 0.1 and 0.25 + 0.5 * 0.1.
    value = sentence_sar(-np.log([0.5, 0.25]), np.array([[1, 0.01], [0.01, 1]]), t=0.1)
    assert value == pytest.approx(-(math.log(0.525) + math.log(0.3)) / 2)


def test_sentence_sar_of_very_unlikely_samples_is_finite():
    assert sentence_sar(np.array([2000.0, 2001.0]), np.eye(2)) == pytest.approx(2000.5)


def test_eigen_score_is_the_mean_log_eigenvalue_of_the_centered_covariance():
    # The centered rows are (1, -1) and (2, -2): covariance [[2, 4], [4, 8]], eigenvalues 10 and 0.
    value = eigen_score(np.array([[3.0, 1.0], [4.0, 0.0]]), alpha=0.5)
    assert value == pytest.approx((math.log(10.5) + math.log(0.5)) / 2)


def test_selfcheck_ngram_finds_the_rarest_word_of_a_sentence():
    # Words: paris 3, is 2, rome 1 of 6 in all.
    assert selfcheck_ngram(["Paris is", "Rome"], ["paris", "paris is"]) == pytest.approx((math.log(3) + math.log(6)) / 2)
    assert selfcheck_ngram(["..."], []) == 0


def test_selfcheck_nli_leaves_the_neutral_part_out():
    assert selfcheck_nli(np.array([[[0.3, 0.1, 0.6], [0.0, 0.5, 0.5]]])) == pytest.approx((0.25 + 1) / 2)
    assert selfcheck_nli(np.array([[[0.0, 0.0, 1.0]]])) == 0.5


@given(st.lists(st.floats(-50, -0.01), min_size=1, max_size=8), st.integers(0, 2**16))
def test_semantic_entropy_lies_between_zero_and_the_logarithm_of_the_meanings(logprobs, seed):
    cluster = np.unique(np.random.default_rng(seed).integers(0, 4, len(logprobs)), return_inverse=True)[1]
    value = semantic_entropy(np.array(logprobs), cluster)
    assert -1e-9 <= value <= math.log(cluster.max() + 1) + 1e-9


@given(st.integers(2, 6), st.integers(0, 2**16))
def test_graph_measures_do_not_depend_on_the_order_of_samples(k, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.ones(3), (k, k))
    matrix[np.arange(k), np.arange(k)] = [1, 0, 0]
    order = rng.permutation(k)
    shuffled = matrix[order][:, order]
    for measure in (degree_matrix, eccentricity, eigenvalue_laplacian, kernel_language_entropy):
        assert measure(shuffled) == pytest.approx(measure(matrix), abs=1e-8)
