"""Calibration errors: by hand, by law, and against netcal and torchmetrics."""

import math
import pickle
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit

from calibration import (
    Bootstrap,
    Estimate,
    InvalidInput,
    adaptive_calibration_error,
    debiased_calibration_error,
    expected_calibration_error,
    kolmogorov_smirnov_error,
    maximum_calibration_error,
    reliability_curve,
    smooth_calibration_error,
    sweep_calibration_error,
)

BINNED = [
    expected_calibration_error,
    kolmogorov_smirnov_error,
    maximum_calibration_error,
    adaptive_calibration_error,
    debiased_calibration_error,
]
rows = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]))),
        arrays(np.bool_, n),
    )
)


def calibrated(n, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < confidence


def test_ece_and_mce_by_hand():
    confidence, correct = [0.95, 0.85, 0.81, 0.3, 0.25], [1, 1, 0, 0, 1]
    # bins of width 0.2: (0.8, 1] holds 0.95, 0.85, 0.81 with 2 of 3 right; (0.2, 0.4] holds 0.3, 0.25 with 1 of 2 right
    high, low = abs(2 / 3 - 2.61 / 3), abs(1 / 2 - 0.55 / 2)
    assert expected_calibration_error(confidence, correct, n_bins=5) == pytest.approx((3 * high + 2 * low) / 5, abs=1e-12)
    assert maximum_calibration_error(confidence, correct, n_bins=5) == pytest.approx(max(high, low), abs=1e-12)
    assert adaptive_calibration_error(confidence, correct, n_bins=1) == pytest.approx(abs(3 / 5 - 3.16 / 5), abs=1e-12)


def test_debiased_error_by_hand():
    confidence, correct = [0.9, 0.9, 0.9, 0.9], [1, 1, 0, 1]
    assert debiased_calibration_error(confidence, correct, n_bins=1) == 0  # 0.0225 - 0.1875 / 3 is below 0
    confidence = [0.1, 0.1, 0.1, 0.1]
    expected = np.sqrt(0.65**2 - 0.75 * 0.25 / 3)
    assert debiased_calibration_error(confidence, correct, n_bins=1) == pytest.approx(expected, abs=1e-12)


def test_zero_and_one_are_counted():
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0
    assert expected_calibration_error([0.0, 1.0], [True, False]) == 1
    assert reliability_curve([0.0, 1.0], [False, True], n_bins=4).weight.tolist() == [1, 1]


@given(rows)
@settings(max_examples=60)
def test_errors_lie_between_zero_and_one_and_the_maximum_is_the_largest(data):
    confidence, correct = data
    ece, mce = expected_calibration_error(confidence, correct), maximum_calibration_error(confidence, correct)
    assert -1e-12 <= ece <= mce + 1e-12 <= 1 + 2e-12
    assert 0 <= debiased_calibration_error(confidence, correct) <= 1
    assert 0 <= sweep_calibration_error(confidence, correct) <= 1 + 1e-12


@given(rows, st.data())
@settings(max_examples=60)
def test_a_weight_of_two_counts_an_item_twice(data, more):
    confidence, correct = data
    times = more.draw(arrays(np.int64, confidence.size, elements=st.integers(0, 3)))
    if times.sum() == 0:
        times[0] = 1
    repeated = np.repeat(confidence, times), np.repeat(correct, times)
    for metric in set(BINNED) - {debiased_calibration_error}:
        assert metric(confidence, correct, weights=times) == pytest.approx(metric(*repeated), abs=1e-9)


@pytest.mark.parametrize("metric", [*BINNED, smooth_calibration_error])
@pytest.mark.parametrize("interval", [None, Bootstrap(0.9, n_resamples=100)])
def test_the_scale_of_weights_does_not_matter(metric, interval):
    """Importance weights that summed to 1 made the debiased error 0 instead of 0.189."""
    rng = np.random.default_rng(0)
    confidence, weights = rng.uniform(0.3, 1, 500), rng.gamma(1, 1, 500)
    correct = rng.random(500) < confidence**3
    plain = metric(confidence, correct, weights=weights, interval=interval)
    assert plain > 0.05
    for scale in (1 / weights.sum(), 1e-8, 1e6):
        scaled = metric(confidence, correct, weights=weights * scale, interval=interval)
        assert scaled == pytest.approx(float(plain), rel=1e-9)
        if interval:
            assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high), abs=1e-5)


def test_equal_weights_change_neither_the_debiased_error_nor_any_interval():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 400)
    correct = rng.random(400) < confidence**2
    for metric in [*BINNED, smooth_calibration_error]:
        plain = metric(confidence, correct, interval=0.95)
        weighted = metric(confidence, correct, weights=np.full(400, 0.01), interval=0.95)
        assert weighted == pytest.approx(float(plain), rel=1e-9)
        assert (weighted.low, weighted.high) == pytest.approx((plain.low, plain.high), abs=1e-5)


def test_ece_of_a_calibrated_stream_tends_to_zero():
    errors = [expected_calibration_error(*calibrated(n)) for n in (1_000, 30_000, 1_000_000)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.002
    assert debiased_calibration_error(*calibrated(1_000_000)) < 0.002


def test_the_debiased_error_is_nearer_the_truth_than_the_plain_one():
    rng = np.random.default_rng(3)
    plain, debiased = [], []
    for _ in range(200):
        confidence = rng.random(300)
        correct = rng.random(300) < confidence
        plain.append(expected_calibration_error(confidence, correct, strategy="equal-mass"))
        debiased.append(debiased_calibration_error(confidence, correct))
    assert np.mean(debiased) < 0.7 * np.mean(plain)


def test_the_sweep_stops_before_accuracy_falls():
    # two bins rise (1/3, 2/3); three bins (1/2, 0, 1) fall; so two bins are used
    confidence, correct = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [1, 0, 0, 0, 1, 1]
    expected = (abs(1 / 3 - 0.2) + abs(2 / 3 - 0.8)) / 2
    assert sweep_calibration_error(confidence, correct) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("wrong", [[], [0], [0, 2]])
def test_the_sweep_takes_linear_time_where_accuracy_never_falls(wrong):
    """8,000 right items took 25 s, since each of 8,000 numbers of bins looked at all bins."""
    confidence, correct = np.linspace(0, 1, 20_000), np.ones(20_000, dtype=bool)
    correct[wrong] = False
    begin = time.process_time()
    sweep_calibration_error(confidence, correct)
    # About 1 s; trying all bins of every number of bins takes over 100 s.
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("n_bins", [5, 10, 15, 33])
def test_netcal_and_torchmetrics_agree(n_bins):
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    netcal = pytest.importorskip("netcal.metrics")
    rng = np.random.default_rng(n_bins)
    confidence = rng.random(5000) ** 0.3
    correct = rng.random(5000) < confidence**2
    ours = expected_calibration_error(confidence, correct, n_bins=n_bins)
    ours_max = maximum_calibration_error(confidence, correct, n_bins=n_bins)
    assert ours == pytest.approx(netcal.ECE(n_bins).measure(confidence, correct.astype(int)), abs=1e-9)
    assert ours_max == pytest.approx(netcal.MCE(n_bins).measure(confidence, correct.astype(int)), abs=1e-9)
    tensors = torch.tensor(confidence), torch.tensor(correct).int()
    for norm, value in (("l1", ours), ("max", ours_max)):
        theirs = torchmetrics.binary_calibration_error(*tensors, n_bins=n_bins, norm=norm)
        assert value == pytest.approx(float(theirs), abs=1e-9)


def test_on_an_edge_peers_choose_the_bin_above_and_we_the_one_below():
    netcal = pytest.importorskip("netcal.metrics")
    confidence, correct = np.array([0.5, 0.4, 0.75, 0.9, 1.0, 0.0]), np.array([1, 0, 0, 1, 1, 0])
    assert expected_calibration_error(confidence, correct, n_bins=4) == pytest.approx((0.1 + 0.75 + 0.1) / 6)
    assert netcal.ECE(4).measure(confidence, correct) == pytest.approx((0.4 + 0.5 + 0.65) / 6)


def test_the_reliability_curve_leaves_out_empty_bins_and_holds_exact_intervals():
    curve = reliability_curve([0.1, 0.1, 0.1, 0.95], [0, 0, 0, 1], n_bins=10, interval=0.95)
    assert curve.lower.tolist() == pytest.approx([0.0, 0.9])
    assert curve.accuracy.tolist() == [0, 1]
    assert curve.low.tolist() == pytest.approx([0, 0.025])
    assert curve.high.tolist() == pytest.approx([1 - 0.025 ** (1 / 3), 1])
    assert set(curve.to_dict()) == {"lower", "upper", "confidence", "accuracy", "weight", "low", "high"}


@pytest.mark.parametrize("metric", BINNED)
def test_an_interval_is_seeded_and_ordered(metric):
    confidence, correct = calibrated(2000)
    value = metric(confidence, correct, interval=Bootstrap(0.9, n_resamples=200, seed=3))
    assert value.low <= value.high
    assert value.level == 0.9
    again = metric(confidence, correct, interval=Bootstrap(0.9, n_resamples=200, seed=3))
    assert (value.low, value.high) == (again.low, again.high)
    copy = pickle.loads(pickle.dumps(value))
    assert (float(copy), copy.low, copy.high, copy.level) == (float(value), value.low, value.high, value.level)


def slightly_off(rng, n):
    confidence = rng.uniform(0.3, 1, n)
    return confidence, expit(logit(confidence) - 0.25)


def strongly_off(rng, n):
    confidence = rng.uniform(0.3, 1, n)
    return confidence, confidence**3


def calibrated_near_one(rng, n):
    confidence = rng.beta(8, 0.3, n)
    return confidence, confidence


def calibrated_everywhere(rng, n):
    confidence = rng.random(n)
    return confidence, confidence


@pytest.mark.parametrize("metric", [*BINNED, sweep_calibration_error, smooth_calibration_error])
@pytest.mark.parametrize("regime", [calibrated_everywhere, calibrated_near_one, slightly_off, strongly_off])
def test_intervals_cover_the_true_error(metric, regime):
    """A percentile bootstrap covered a calibrated model's true 0 in none of 200 draws."""
    # The error of a large population whose outcomes are replaced by their probabilities.
    confidence, probability = regime(np.random.default_rng(0), 200_000)
    right = np.concatenate([np.ones(200_000, bool), np.zeros(200_000, bool)])
    twice, shares = np.tile(confidence, 2), np.concatenate([probability, 1 - probability])
    truth = 0.0
    if regime in (slightly_off, strongly_off):
        reference = expected_calibration_error if metric is sweep_calibration_error else metric
        truth = float(reference(twice, right, weights=np.maximum(shares, 1e-12)))
        if metric is debiased_calibration_error:
            truth = float(np.sqrt(np.mean((confidence - probability) ** 2)))
    covered, draws = 0, 60
    for draw in range(draws):
        rng = np.random.default_rng([draw, 7])
        values, chance = regime(rng, 300)
        value = metric(values, rng.random(300) < chance, interval=Bootstrap(0.95, n_resamples=400, seed=draw))
        assert value.low <= value <= value.high
        covered += value.low - 1e-9 <= truth <= value.high + 1e-9
    # At 95 % fewer than 52 of 60 has a probability of 0.5 %.
    assert covered >= 52


def test_intervals_narrow_as_items_are_added():
    for metric in [*BINNED, smooth_calibration_error]:
        widths = []
        for n in (300, 3_000, 30_000):
            rng = np.random.default_rng(n)
            confidence, probability = strongly_off(rng, n)
            value = metric(confidence, rng.random(n) < probability, interval=0.95)
            widths.append(value.high - value.low)
        assert widths[0] > 1.8 * widths[1] > 3 * widths[2], metric.__name__


def test_an_interval_reaches_what_items_without_an_error_cannot_rule_out():
    # 50 right answers at 0.99: an error rate of up to 1 - 0.025^(1/50) = 7.1 % is compatible with them.
    value = expected_calibration_error(np.full(50, 0.99), np.ones(50), interval=0.95)
    assert value.low == 0
    assert value.high == pytest.approx(1 - 0.025 ** (1 / 50) + 0.01, abs=1e-6)


def test_memory_stays_below_the_input():
    confidence = np.random.default_rng(0).random(1_000_000)
    correct = confidence > 0.5
    expected_calibration_error(confidence[:100], correct[:100])
    tracemalloc.start()
    expected_calibration_error(confidence, correct)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= confidence.nbytes + correct.nbytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 0}, "n_bins is 0"),
        ({"n_bins": 2.5}, "n_bins is 2.5"),
        ({"strategy": "quantile"}, "strategy is 'quantile'"),
        ({"interval": 95}, "interval is 95"),
        ({"weights": [1.0, -1.0]}, r"weights\[1\] is -1.0"),
        ({"weights": [0.0, 0.0]}, "weights are all zero"),
        ({"weights": [1.0]}, "weights has shape"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        expected_calibration_error([0.5, 0.6], [1, 0], **options)


def test_an_estimate_is_a_float_that_shows_its_interval():
    assert repr(Estimate(0.25)) == "0.25"
    assert repr(Estimate(0.25, 0.2, 0.3, 0.95)) == "0.25 [0.2, 0.3] at 0.95"
    assert Estimate(0.25, 0.2, 0.3, 0.95).to_dict() == {"value": 0.25, "low": 0.2, "high": 0.3, "level": 0.95}


def test_kolmogorov_smirnov_by_hand():
    # residuals in order: 0.2 -> -0.2, 0.5 -> 0.5, 0.9 -> -0.9; sums -0.2, 0.3, -0.6
    assert kolmogorov_smirnov_error([0.9, 0.2, 0.5], [0, 0, 1]) == pytest.approx(0.2)
    # ties are summed before they are compared: 0.5 and 0.5, one right, cancel
    assert kolmogorov_smirnov_error([0.5, 0.5], [1, 0]) == 0


def reflected_smoothing(confidence, correct, bandwidth):
    grid = (np.arange(4096) + 0.5) / 4096
    density = np.zeros_like(grid)
    for p, y in zip(confidence, correct, strict=True):
        for image in [2 * k + sign * p for k in range(-3, 4) for sign in (1, -1)]:
            density += (y - p) * np.exp(-(((grid - image) / bandwidth) ** 2) / 2) / (bandwidth * math.sqrt(2 * math.pi))
    return np.abs(density / len(confidence)).mean()


def test_smooth_error_is_the_bandwidth_that_equals_the_smoothed_error():
    rng = np.random.default_rng(0)
    confidence = rng.random(60)
    correct = rng.random(60) < confidence**2
    error = smooth_calibration_error(confidence, correct)
    assert reflected_smoothing(confidence, correct, float(error)) == pytest.approx(error, abs=2e-4)


def test_smooth_error_of_one_confidence_is_its_gap():
    correct = np.arange(1000) % 10 < 5
    assert smooth_calibration_error(np.full(1000, 0.8), correct) == pytest.approx(0.3, abs=1e-3)


@given(rows)
@settings(max_examples=30, deadline=None)
def test_errors_without_bins_lie_between_zero_and_one_and_weights_count_items(data):
    confidence, correct = data
    for metric in (kolmogorov_smirnov_error, smooth_calibration_error):
        value = metric(confidence, correct)
        assert 0 <= value <= 1 + 1e-12
        twice = metric(np.tile(confidence, 2), np.tile(correct, 2))
        assert value == pytest.approx(twice, abs=1e-8)
        assert value == pytest.approx(metric(confidence, correct, weights=np.full(correct.size, 3.0)), abs=1e-8)


def test_errors_without_bins_tend_to_zero_on_a_calibrated_stream_only():
    rng = np.random.default_rng(1)
    confidence = rng.random(200_000)
    for metric, least in ((kolmogorov_smirnov_error, 0.1), (smooth_calibration_error, 0.1)):
        assert metric(confidence, rng.random(200_000) < confidence) < 0.02
        assert metric(confidence, rng.random(200_000) < confidence**2) > least


def test_kolmogorov_smirnov_is_at_most_the_finest_binned_error():
    rng = np.random.default_rng(2)
    confidence = np.round(rng.random(500), 2)
    correct = rng.random(500) < 0.5
    finest = expected_calibration_error(confidence, correct, n_bins=1000)
    assert kolmogorov_smirnov_error(confidence, correct) <= finest


@pytest.mark.parametrize("metric", [kolmogorov_smirnov_error, smooth_calibration_error])
def test_intervals_of_errors_without_bins_are_ordered(metric):
    rng = np.random.default_rng(3)
    confidence = rng.random(200)
    value = metric(confidence, rng.random(200) < confidence**3, interval=0.9)
    assert value.low < value.high


@pytest.mark.parametrize("metric", [*BINNED, sweep_calibration_error, smooth_calibration_error])
def test_a_single_item_says_hardly_anything(metric):
    value = metric([0.5], [True], interval=Bootstrap(0.95, n_resamples=500))
    assert value.low == pytest.approx(0, abs=1e-6)
    assert value.high >= value
