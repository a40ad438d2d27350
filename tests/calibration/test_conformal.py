"""Thresholds with a guarantee: the guarantee by simulation, the threshold by hand."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import binom

from calibration import (
    ConformalAbstention,
    ConformalFactuality,
    InvalidInput,
    NotFitted,
    NoThresholdWarning,
    binomial_p_value,
    default_thresholds,
    hoeffding_bentkus_p_value,
)
from calibration.conformal import _counts_above, _fallback, _starts

pytestmark = pytest.mark.filterwarnings("ignore::calibration.errors.NoThresholdWarning")
DRAWS = 1000
# One-sided 99.9% margin for the sampling error of a violation rate of 5% over 1,000 draws.
MOST_VIOLATIONS = binom.ppf(0.999, DRAWS, 0.05)


def calibrated(rng, n):
    confidence = rng.beta(4, 1.2, n)
    return confidence, rng.random(n) < confidence


def tied(rng, n):
    confidence = np.round(rng.beta(4, 1.2, n), 1)
    return confidence, rng.random(n) < confidence


def at_the_edge(rng, n):
    # Every threshold has a risk just above the guarantee: each draw that answers at all violates it.
    return rng.random(n), rng.random(n) < 0.899


def constant(rng, n):
    return np.full(n, 0.7), rng.random(n) < 0.88


def reversed_ranking(rng, n):
    confidence = rng.random(n)
    return confidence, rng.random(n) < 1 - 0.2 * confidence


@pytest.mark.parametrize("n", [30, 60, 400, 2000])
@pytest.mark.parametrize("source", [calibrated, tied, at_the_edge, constant, reversed_ranking])
def test_the_guaranteed_risk_is_exceeded_no_more_often_than_delta(source, n):
    rng = np.random.default_rng([n, len(source.__name__)])
    confidence, correct = source(rng, 100_000)
    order = np.argsort(confidence)
    wrong_above = np.concatenate([np.cumsum(~correct[order][::-1])[::-1], [0]])
    violations = 0
    for _ in range(DRAWS):
        rule = ConformalAbstention(risk=0.1, delta=0.05).fit(*source(rng, n))
        first = np.searchsorted(confidence[order], rule.threshold)
        answered = confidence.size - first
        violations += answered > 0 and wrong_above[first] / answered > 0.1
    assert violations <= MOST_VIOLATIONS


@pytest.mark.parametrize("source", [calibrated, tied, at_the_edge])
def test_hoeffding_bentkus_answers_no_more_than_the_exact_bound(source):
    rng = np.random.default_rng(9)
    for _ in range(50):
        data = source(rng, 800)
        exact = ConformalAbstention().fit(*data)
        loose = ConformalAbstention(bound="hoeffding-bentkus").fit(*data)
        assert loose.coverage <= exact.coverage


def test_more_calibration_items_answer_more():
    rng = np.random.default_rng(1)
    coverage = [np.mean([ConformalAbstention().fit(*calibrated(rng, n)).coverage for _ in range(30)]) for n in (300, 3000)]
    assert coverage[0] < coverage[1]


def test_the_threshold_by_hand():
    # 40 right at 0.9, then 10 wrong at 0.5: at 0.9 the p-value is 0.9^40 = 0.0148; at 0.5, P(Bin(50, 0.1) <= 10) is 0.99.
    confidence = [0.9] * 40 + [0.5] * 10
    correct = [True] * 40 + [False] * 10
    rule = ConformalAbstention(risk=0.1, delta=0.05).fit(confidence, correct)
    assert rule.feasible
    assert 0.5 < rule.threshold <= 0.501
    assert (rule.answered_, rule.errors_, rule.coverage) == (40, 0, 0.8)
    assert rule.answer([0.4, 0.9]).tolist() == [False, True]
    assert rule.answer(0.9)
    assert "0 of 40 answers" in rule.reason_


def test_two_starts_that_fall_on_one_threshold_give_it_all_of_delta():
    """With one confidence for all, both sequences test the one hypothesis "more than 10 % of 400 items are wrong"."""
    assert 0.025 < binom.cdf(29, 400, 0.1) < 0.05 < binom.cdf(31, 400, 0.1)
    confidence = [0.9] * 400
    for n_starts in (1, 2):
        rule = ConformalAbstention(risk=0.1, delta=0.05, n_starts=n_starts)
        assert rule.fit(confidence, [False] * 29 + [True] * 371).feasible
        assert not rule.fit(confidence, [False] * 31 + [True] * 369).feasible


def test_120_items_are_enough_for_a_second_start():
    # With a single start, one early error loses everything.
    answered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        confidence = rng.random(120)
        correct = rng.random(120) < 0.7 + 0.3 * np.sqrt(confidence)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoThresholdWarning)
            answered.append(ConformalAbstention(0.2, 0.05).fit(confidence, correct).coverage)
    assert np.mean(answered) > 0.8


def test_starts_by_hand():
    # 0.8^n <= 0.05 / 3 from n = 19 on, 0.8^n <= 0.025 from n = 17 on, 0.8^n <= 0.05 from n = 14 on.
    assert _starts(2000, 0.2, 0.05, 3) == ([19, 195, 1200], pytest.approx(0.05 / 3))
    assert _starts(200, 0.2, 0.05, 3) == ([17, 60], pytest.approx(0.025))
    assert _starts(100, 0.2, 0.05, 3) == ([14], 0.05)


def test_an_unbroken_sequence_carries_its_level_to_the_next_start():
    p_values = [0.01, 0.02, 0.04, 0.04, 0.06, 0.01]
    rejects = lambda index, level: p_values[index] <= level  # noqa: E731
    # Starts at 0 and 2 with 0.025 each: the first is unbroken, so hypothesis 2 is tested at 0.05, and 4 stops it.
    assert _fallback([0, 2], 6, 0.025, rejects) == 3
    # A start in the middle of a broken sequence has its own level only.
    p_values = [0.03, 0.01, 0.02, 0.04, 0.01, 0.01]
    assert _fallback([0, 2], 6, 0.025, rejects) == 2
    assert _fallback([0, 3], 6, 0.025, rejects) is None
    # A start beyond the last hypothesis is never reached.
    assert _fallback([0, 6], 6, 0.05, rejects) == 5


def test_carrying_levels_never_lowers_coverage():
    rng = np.random.default_rng(0)
    for _ in range(100):
        confidence, correct = calibrated(rng, 500)
        rule = ConformalAbstention(risk=0.15, delta=0.1)
        grid = default_thresholds()[::-1]
        answered, errors = _counts_above(grid, confidence, correct)
        starts, share = _starts(500, 0.15, 0.1, 3)
        rejected = binomial_p_value(errors, answered, 0.15) <= share
        separate = 0
        for start in starts:
            first = int(np.searchsorted(answered, start))
            stop = np.flatnonzero(~rejected[first:])
            last = first + (int(stop[0]) if stop.size else answered.size - first) - 1
            separate = max(separate, int(answered[last]) if last >= first else 0)
        assert rule.fit(confidence, correct).answered_ >= separate


def shifted(rng, n, target):
    """Items of two kinds, the harder one three times as frequent in the target; weights are the ratios of frequencies."""
    hard = rng.random(n) < (0.6 if target else 0.2)
    confidence = rng.random(n)
    correct = rng.random(n) < np.where(hard, 0.4 + 0.55 * confidence, 0.8 + 0.2 * confidence)
    return confidence, correct, np.where(hard, 0.6 / 0.2, 0.4 / 0.8)


def test_a_weighted_threshold_keeps_its_guarantee_under_covariate_shift():
    rng = np.random.default_rng(5)
    confidence, correct, _ = shifted(rng, 100_000, target=True)
    plain, weighted, found = 0, 0, 0
    for _ in range(100):
        values, truth, weights = shifted(rng, 600, target=False)
        for use in (False, True):
            rule = ConformalAbstention(risk=0.2, delta=0.1).fit(values, truth, weights if use else None)
            above = rule.answer(confidence)
            broken = bool(above.any() and (~correct[above]).mean() > 0.2)
            weighted, plain, found = weighted + (use and broken), plain + (not use and broken), found + (use and above.any())
    # Without weights the guarantee is about other items; 20 of 100 are 3.3 standard errors above delta.
    assert plain > 50
    assert weighted <= 20
    assert found > 50


def test_the_scale_of_weights_does_not_matter_and_equal_weights_are_none():
    rng = np.random.default_rng(1)
    confidence, correct, weights = shifted(rng, 400, target=False)
    thresholds = [ConformalAbstention(0.3).fit(confidence, correct, weights * s).threshold for s in (1, 1e-6, 1e5)]
    assert len(set(thresholds)) == 1
    plain = ConformalAbstention(0.3).fit(confidence, correct)
    assert ConformalAbstention(0.3).fit(confidence, correct, np.full(400, 0.01)).threshold == plain.threshold


def test_all_right_answers_everything():
    rule = ConformalAbstention().fit(np.linspace(0, 1, 100), np.ones(100, dtype=bool))
    assert rule.threshold == 0
    assert rule.coverage == 1


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([0.9] * 28, [1] * 28, "28 items are too few even without an error; calibrate on at least 29"),
        ([0.9] * 200, [0] * 200, "100.0% of 200 items are wrong"),
    ],
)
def test_a_missing_threshold_is_explained(confidence, correct, message):
    with pytest.warns(NoThresholdWarning, match=message):
        rule = ConformalAbstention(risk=0.1, delta=0.05).fit(confidence, correct)
    assert rule.threshold == math.inf
    assert not rule.feasible
    assert not rule.answer([1.0])[0]
    assert message in rule.reason_


def test_29_right_answers_are_enough():
    assert ConformalAbstention(risk=0.1, delta=0.05).fit([0.9] * 29, [1] * 29).feasible


def test_a_rule_survives_its_file(tmp_path):
    import calibration

    for rule in (ConformalAbstention().fit([0.9] * 50, [1] * 50), ConformalAbstention().fit([0.9], [0])):
        rule.save(tmp_path / "rule.json")
        back = calibration.load(tmp_path / "rule.json")
        assert vars(back) == vars(rule)


@pytest.mark.parametrize(
    "options", [{"risk": 0}, {"delta": 1}, {"bound": "chernoff"}, {"n_starts": 0}, {"thresholds": [2.0]}]
)
def test_unusable_options_are_refused(options):
    with pytest.raises(InvalidInput):
        ConformalAbstention(**options).fit([0.9] * 50, [1] * 50)


def test_an_unfitted_rule_is_refused():
    with pytest.raises(NotFitted, match="call fit"):
        _ = ConformalAbstention().threshold
    with pytest.raises(NotFitted):
        ConformalFactuality().keep([0.5])


def test_p_values_are_exact_and_valid():
    assert binomial_p_value(0, 29, 0.1) == pytest.approx(0.9**29)
    assert binomial_p_value(2, 30, 0.1) == pytest.approx(binom.cdf(2, 30, 0.1))
    assert binomial_p_value(0, 0, 0.1) == 1
    rng = np.random.default_rng(0)
    for n in (10, 100, 1000):
        errors = rng.binomial(n, 0.1, 20_000)
        for p_value in (binomial_p_value(errors, n, 0.1), hoeffding_bentkus_p_value(errors / n, n, 0.1)):
            for level in (0.01, 0.05, 0.2):
                assert (p_value <= level).mean() <= level + 4 * math.sqrt(level / 20_000)
    assert (hoeffding_bentkus_p_value(np.arange(30) / 30, 30, 0.1) >= binomial_p_value(np.arange(30), 30, 0.1) - 1e-12).all()


def test_the_default_grid_reaches_both_ends():
    grid = default_thresholds()
    assert grid[0] == 0
    assert grid[-1] == 1
    assert (np.diff(grid) > 0).all()
    assert grid[1] < 1e-12 < 1 - 1e-12 < grid[-2]


def answers_with_claims(rng, n):
    sizes = rng.integers(0, 8, n)
    support = [rng.random(size) for size in sizes]
    return support, [rng.random(values.size) < values for values in support]


@pytest.mark.parametrize("n", [5, 9, 50])
@pytest.mark.parametrize("ties", [False, True])
def test_a_false_claim_is_left_no_more_often_than_the_risk(n, ties):
    rng = np.random.default_rng(n)
    left = 0
    for _ in range(2000):
        support, correct = answers_with_claims(rng, n + 1)
        if ties:
            support = [np.round(values, 1) for values in support]
        rule = ConformalFactuality(risk=0.2).fit(support[:-1], correct[:-1])
        left += (rule.keep(support[-1]) & ~correct[-1]).any()
    assert left <= binom.ppf(0.999, 2000, 0.2)


def test_conformal_factuality_by_hand():
    support = [[0.9, 0.4], [0.8, 0.3], [0.7], [0.6, 0.5], []]
    correct = [[1, 0], [1, 1], [0], [1, 0], []]
    # scores: 0.4, 0, 0.7, 0.5, 0; rank ceil(6 * 0.75) = 5 of 5
    rule = ConformalFactuality(risk=0.25).fit(support, correct)
    assert rule.threshold == 0.7
    assert rule.keep([0.7, 0.71, 0.2]).tolist() == [False, True, False]
    assert rule.keep([]).size == 0


def test_too_few_answers_keep_no_claim():
    with pytest.warns(NoThresholdWarning, match="at least 9"):
        rule = ConformalFactuality(risk=0.1).fit([[0.5]] * 8, [[1]] * 8)
    assert not rule.keep([1.0]).any()
    assert ConformalFactuality(risk=0.1).fit([[0.5]] * 9, [[1]] * 9).keep([0.1]).all()
    with pytest.raises(InvalidInput, match="support holds 1 answers and correct 2"):
        ConformalFactuality().fit([[0.5]], [[1], [0]])


@pytest.mark.parametrize("n", [30, 100])
def test_a_pac_threshold_leaves_false_claims_in_more_answers_than_the_risk_no_more_often_than_delta(n):
    rng = np.random.default_rng(n)
    support, correct = answers_with_claims(rng, 50_000)
    scores = np.array([max(values[~truth], default=0.0) for values, truth in zip(support, correct, strict=True)])
    violations = 0
    for _ in range(500):
        rule = ConformalFactuality(risk=0.3, delta=0.1).fit(*answers_with_claims(rng, n))
        violations += float(np.mean(scores > rule.threshold)) > 0.3
    assert violations <= binom.ppf(0.999, 500, 0.1)


def test_the_pac_rank_by_hand():
    # P(Binomial(22, 0.9) >= 22) = 0.0985; of 22 scores the largest is the threshold, of 21 none: 0.9^21 = 0.109.
    scores = np.arange(1, 23) / 100
    rule = ConformalFactuality(risk=0.1, delta=0.1).fit([[score] for score in scores], [[False]] * 22)
    assert rule.threshold == 0.22
    with pytest.warns(NoThresholdWarning, match="at least 22"):
        assert ConformalFactuality(risk=0.1, delta=0.1).fit([[0.5]] * 21, [[False]] * 21).threshold == 1
