import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.errors import InvalidInput
from training.rewards.kinds import (
    JudgedClaim,
    JudgedCompletion,
    binary_factuality,
    brier_confidence,
    claim_precision,
    log_confidence,
    reward_kind,
    ternary_truth,
)


def judged(*claims, text="text", **others):
    return JudgedCompletion(text, tuple(JudgedClaim("c", *claim) for claim in claims), **others)


def test_claim_precision_is_the_mean_credit_times_a_penalty_for_saying_less():
    assert claim_precision(judged((1.0,), (0.5,))) == 0.75
    assert claim_precision(judged((1.0, False, True), (0.5,))) == 0.5
    assert claim_precision(judged((1.0,), (0.5,)), expected_claims=4) == pytest.approx(0.75 * math.exp(-1))
    assert claim_precision(judged()) == 0.0


def test_binary_factuality_asks_for_support_and_no_contradiction():
    assert binary_factuality(judged((0.9,), (0.5,))) == 1.0
    assert binary_factuality(judged((0.9,), (0.1,))) == 0.0
    assert binary_factuality(judged((0.9,), (0.1,)), least_supported=0.5) == 1.0
    assert binary_factuality(judged((0.9,), (0.1,), (0.1,)), least_supported=0.5) == 0.0
    assert binary_factuality(judged((0.9,), (0.1, True))) == 0.0
    assert binary_factuality(judged((0.9,), (0.9, False, True))) == 0.75
    assert binary_factuality(judged()) == 0.0


def test_the_binary_reward_of_the_paper_pays_what_is_not_contradicted():
    assert binary_factuality(judged((0.1,)), least_supported=0) == 1.0
    assert binary_factuality(judged((0.1, True)), least_supported=0) == 0.0
    with pytest.raises(InvalidInput, match="least_supported is 2"):
        binary_factuality(judged(), least_supported=2)


def test_a_reference_and_the_evidence_share_the_correctness_that_confidence_is_scored_by():
    supported, other_words = judged((0.9,), matches=True, confidence=0.8), judged((0.9,), matches=False, confidence=0.8)
    assert brier_confidence(supported, reference_weight=0.6) == pytest.approx(1 - 0.2**2)
    assert brier_confidence(other_words, reference_weight=0.6) == pytest.approx(0.4 - 0.4**2)
    assert brier_confidence(other_words) == pytest.approx(-(0.8**2))
    # Without references the evidence decides, whatever the weight.
    assert brier_confidence(judged((0.9,), confidence=0.8), reference_weight=0.6) == pytest.approx(1 - 0.2**2)
    with pytest.raises(InvalidInput, match="reference_weight is -1"):
        brier_confidence(supported, reference_weight=-1)


def test_ternary_truth_orders_correct_abstaining_wrong():
    right, silent, wrong = judged((0.5,)), judged(), judged((0.9,), (0.4,))
    assert [ternary_truth(one) for one in (right, silent, wrong)] == [1.0, 0.0, -1.0]
    assert ternary_truth(silent, abstain=-0.2) == -0.2
    assert ternary_truth(wrong, wrong=-3) == -3
    assert ternary_truth(judged((0.1,), matches=True)) == 1.0
    with pytest.raises(InvalidInput, match="the order must be 1 > abstain > wrong"):
        ternary_truth(right, abstain=-1.0)


def test_a_hedged_answer_is_an_answer_with_low_confidence():
    right, wrong = judged((0.9, False, True), confidence=0.9), judged((0.1, False, True), confidence=0.9)
    assert [ternary_truth(one) for one in (right, wrong)] == [0.5, -1.0]
    assert ternary_truth(right, abstain=-0.5) == 0.25
    assert [brier_confidence(one) for one in (right, wrong)] == [0.75, -0.25]
    assert log_confidence(right) == log_confidence(judged((0.9,), confidence=0.5))


def test_stated_confidence_is_scored_by_brier_and_by_logarithm():
    right, wrong = judged((0.9,), confidence=0.8), judged((0.1,), confidence=0.8)
    assert brier_confidence(right) == pytest.approx(1 - 0.04)
    assert brier_confidence(wrong) == pytest.approx(-0.64)
    assert log_confidence(right, floor=0.01) == pytest.approx(1 - math.log(0.8) / math.log(0.01))
    assert log_confidence(wrong, floor=0.01) == pytest.approx(-math.log(0.2) / math.log(0.01))
    assert log_confidence(judged((0.1,), confidence=1.0)) == -1.0
    assert [score(judged((0.9,))) for score in (brier_confidence, log_confidence)] == [-1.0, -1.0]


@given(st.integers(1, 99), st.integers(1, 99), st.sampled_from([brier_confidence, log_confidence]))
def test_the_honest_confidence_earns_most_in_expectation(truth, stated, score):
    def expected(confidence):
        right = score(judged((1.0,), confidence=confidence))
        return truth / 100 * right + (1 - truth / 100) * score(judged((0.0,), confidence=confidence))

    assert expected(truth / 100) >= expected(stated / 100)
    # Knowing more pays: with honest confidence the expectation rises with the probability of being right.
    assert expected(truth / 100) >= -1e-9


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"floor": 0.5}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInput, match="floor is"):
        log_confidence(judged((0.9,), confidence=0.8), **wrong)
    with pytest.raises(InvalidInput, match="expected_claims is 0"):
        claim_precision(judged(), expected_claims=0)


def test_a_configuration_names_a_kind_and_its_parameters():
    wrong, silent = judged((0.0,)), judged()
    strict = reward_kind("ternary", {"wrong": -3.0, "abstain": -0.5})
    assert (strict(wrong), strict(silent)) == (-3.0, -0.5)
    assert reward_kind("precision")(judged((0.7,))) == 0.7


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ternery", None, "kind is 'ternery'; choose from precision, binary, ternary"),
        ("ternary", {"penalty": 2}, "'penalty' is not a parameter of the kind 'ternary'; choose from abstain, wrong"),
        ("binary", {"wrong": 0}, "'wrong' is not a parameter of the kind 'binary'; choose from least_supported"),
        ("ternary", {"wrong": 0.5}, "the order must be 1 > abstain > wrong"),
    ],
)
def test_unknown_kinds_and_parameters_are_refused(name, settings, message):
    with pytest.raises(InvalidInput, match=message):
        reward_kind(name, settings)
