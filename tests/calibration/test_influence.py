"""Intervals from influence: by finite differences, against the bootstrap, and where all items are alike."""

import numpy as np
import pytest
from scipy.stats import t as student

from calibration import (
    accuracy_at_coverage,
    augrc,
    auprc,
    aurc,
    auroc,
    brier_decomposition,
    brier_score,
    coverage_at_risk,
    excess_aurc,
    negative_log_likelihood,
    prediction_rejection_ratio,
)
from calibration.influence import ErrorCurve, logit_interval

METRICS = [brier_score, negative_log_likelihood, auroc, auprc, aurc, excess_aurc, augrc, prediction_rejection_ratio]


def half_accuracy(confidence, correct, **options):
    return accuracy_at_coverage(confidence, correct, 0.5, **options)


def coverage_of_a_fifth(confidence, correct, **options):
    return coverage_at_risk(confidence, correct, 0.2, **options)


POINTS = [half_accuracy, coverage_of_a_fifth]


def sample(n, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n)
    confidence = np.round(confidence, 1) if ties else confidence
    return confidence, rng.random(n) < confidence**1.5


@pytest.mark.parametrize("ties", [False, True])
def test_the_influence_is_the_derivative_by_an_items_weight(ties):
    confidence, correct = sample(40, ties=ties)
    _, group = np.unique(-confidence, return_inverse=True)
    mass = np.full(40, 1 / 40)
    curve = ErrorCurve(group, ~correct, mass)
    for area in (ErrorCurve.aurc, ErrorCurve.augrc, ErrorCurve.risk):
        value, influence = area(curve)
        assert mass @ influence == pytest.approx(0, abs=1e-9)
        for item in (0, 7, 39):
            step = 1e-6
            moved = (1 - step) * mass
            moved[item] += step
            assert (area(ErrorCurve(group, ~correct, moved))[0] - value) / step == pytest.approx(influence[item], abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_is_as_wide_as_that_of_a_bootstrap(metric, ties):
    confidence, correct = sample(2000, ties=ties)
    value = metric(confidence, correct, interval=0.95)
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(300):
        rows = rng.integers(0, 2000, 2000)
        draws.append(float(metric(confidence[rows], correct[rows])))
    assert (value.high - value.low) / (2 * 1.96) == pytest.approx(np.std(draws), rel=0.15)
    assert value.low < value < value.high


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_do_not_depend_on_the_scale_of_weights(metric):
    confidence, correct = sample(300)
    weights = np.random.default_rng(2).gamma(2, 1, 300)
    plain = metric(confidence, correct, weights=weights, interval=0.9)
    scaled = metric(confidence, correct, weights=weights * 1e-6, interval=0.9)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high), rel=1e-6)
    # Unequal weights leave fewer effective items.
    equal = metric(confidence, correct, interval=0.9)
    assert plain.high - plain.low > equal.high - equal.low


def test_three_separated_items_say_little_about_auroc():
    """The interval of a bootstrap was [1, 1]."""
    value = auroc([0.9, 0.8, 0.2], [1, 1, 0], interval=0.95)
    assert value == 1
    assert (value.low, value.high) == pytest.approx((0.025, 1))
    many = auroc(np.linspace(0, 1, 200), np.arange(200) >= 100, interval=0.95)
    assert many.low == pytest.approx(0.025 ** (1 / 100))


def test_no_error_among_few_items_does_not_bound_the_area_at_zero():
    value = aurc([0.9] * 20, [True] * 20, interval=0.95)
    rate = 1 - 0.025 ** (1 / 20)
    assert (value, value.low) == (0, 0)
    assert value.high == pytest.approx(rate * (1 - np.log(rate)))


@pytest.mark.parametrize("metric", [*METRICS, *POINTS])
def test_intervals_cover_the_value_of_a_large_sample(metric):
    truth = float(metric(*sample(400_000, seed=99)))
    covered = 0
    for draw in range(100):
        value = metric(*sample(300, seed=draw), interval=0.95)
        covered += value.low <= truth <= value.high
    # At 95 % fewer than 88 of 100 has a probability of 0.4 %.
    assert covered >= 88


def rare(n, seed):
    """Confidences near one: few errors, with losses from a long tail."""
    rng = np.random.default_rng(seed)
    confidence = np.clip(rng.beta(8, 0.5, n), 1e-9, 1 - 1e-9)
    return confidence, rng.random(n) < confidence


def test_the_interval_of_a_skewed_log_loss_covers_it():
    """A correction of first order covered it in less than 93 % of draws."""
    truth = float(negative_log_likelihood(*rare(400_000, 99)))
    values = [negative_log_likelihood(*rare(300, draw), interval=0.95) for draw in range(100)]
    assert sum(value.low <= truth <= value.high for value in values) >= 88
    # Weights that are all equal, and weights that are not, are resampled alike.
    confidence, correct = rare(300, 0)
    equal = negative_log_likelihood(confidence, correct, weights=np.full(300, 7.0), interval=0.95)
    assert (equal.low, equal.high) == pytest.approx((values[0].low, values[0].high))
    uneven = negative_log_likelihood(confidence, correct, weights=np.linspace(0.9, 1.1, 300), interval=0.95)
    assert (uneven.low, uneven.high) == pytest.approx((values[0].low, values[0].high), rel=0.15)


def test_the_reliability_of_a_calibrated_model_may_be_zero():
    """Resampling adds noise once more: the percentile interval lay above the true 0."""
    covered = 0
    for draw in range(40):
        rng = np.random.default_rng(draw)
        confidence = rng.integers(1, 10, 300) / 10
        made = brier_decomposition(confidence, rng.random(300) < confidence, interval=0.95)
        covered += made.reliability.low < 1e-3 and made.resolution.low <= 1 / 15 <= made.resolution.high
    assert covered >= 33


def test_three_right_answers_do_not_bound_a_loss_at_their_own():
    """The interval of equal losses was a point."""
    value = brier_score([0.9] * 3, [True] * 3, interval=0.95)
    assert (value, value.low) == pytest.approx((0.01, 0.01))
    assert value.high == pytest.approx(0.01 + (1 - 0.025 ** (1 / 3)) * 0.8)
    assert negative_log_likelihood([0.9] * 3, [True] * 3, interval=0.95).high > 1


def test_the_interval_of_coverage_at_risk_allows_for_the_noise_of_the_share_answered():
    # Where the threshold lies is certain here, but not how many items are above it.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        top = rng.random(100) < 0.4
        value = coverage_at_risk(np.where(top, 0.9, 0.1), top, 0.2, interval=0.95)
        covered += value.low <= 0.4 <= value.high
    assert covered >= 0.93 * 300


@pytest.mark.parametrize(
    ("metric", "most"), [(brier_score, 1), (aurc, 1), (excess_aurc, 1), (augrc, 0.5), (auroc, 1), (auprc, 1)]
)
def test_no_interval_leaves_the_range_of_its_metric(metric, most):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(2, 13))
        confidence, weights = rng.choice([0.0, 0.5, 0.999, 1.0], size), rng.choice([1e-3, 1.0, 1e6], size)
        correct = rng.permutation(np.arange(size) < rng.integers(1, size))
        for options in ({}, {"weights": weights}):
            value = metric(confidence, correct, interval=0.95, **options)
            assert 0 <= value.low <= value <= value.high <= most


def test_equal_weights_of_any_size_leave_the_interval_as_it_is():
    for metric in (brier_score, negative_log_likelihood):
        for size in range(3, 60):
            confidence, correct = np.linspace(0.5, 1, size), np.ones(size, dtype=bool)
            plain = metric(confidence, correct, interval=0.95)
            equal = metric(confidence, correct, weights=np.full(size, 0.3), interval=0.95)
            assert (equal.low, equal.high) == pytest.approx((plain.low, plain.high), rel=1e-6)


def test_a_class_of_few_items_widens_the_interval_of_auroc():
    confidence, correct = sample(300, seed=3)
    wrong = np.flatnonzero(~correct)
    kept = np.sort(np.concatenate([np.flatnonzero(correct), wrong[:6]]))
    confidence, correct = confidence[kept], correct[kept]
    value = auroc(confidence, correct, interval=0.95)
    right, others = confidence[correct], confidence[~correct]
    below = (right[:, None] > others).mean(axis=1)
    above = (right > others[:, None]).mean(axis=1)
    parts = below.var(ddof=1) / right.size, above.var(ddof=1) / others.size
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (right.size - 1) + parts[1] ** 2 / (others.size - 1))
    margin = student.ppf(0.975, freedom) * np.sqrt(sum(parts)) / (value * (1 - value))
    assert freedom < 6
    assert np.log(value.high / (1 - value.high)) - np.log(value / (1 - value)) == pytest.approx(margin, rel=0.02)


def test_an_influence_that_few_items_carry_widens_the_interval():
    mass = np.full(400, 1 / 400)
    spread = np.where(np.arange(400) % 2 == 0, 1.0, -1.0)
    peaked = np.where(np.arange(400) < 2, 14.0, np.where(np.arange(400) < 4, -14.0, 0.0))
    peaked *= np.sqrt((spread**2).sum() / (peaked**2).sum())
    even, uneven = (logit_interval(0.8, influence, mass, 0.95, 400) for influence in (spread, peaked))
    assert uneven.low < even.low < 0.8 < even.high < uneven.high
    assert even.high - even.low == pytest.approx(2 * 1.96 * 0.05, rel=0.03)
