"""Kolmogorov–Smirnov and smooth calibration errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration import expected_calibration_error, kolmogorov_smirnov_error, smooth_calibration_error

rows = st.integers(1, 30).flatmap(lambda n: st.tuples(arrays(np.float64, n, elements=st.floats(0, 1)), arrays(np.bool_, n)))


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
def test_both_lie_between_zero_and_one_and_weights_are_frequencies(data):
    confidence, correct = data
    for metric in (kolmogorov_smirnov_error, smooth_calibration_error):
        value = metric(confidence, correct)
        assert 0 <= value <= 1 + 1e-12
        twice = metric(np.tile(confidence, 2), np.tile(correct, 2))
        assert value == pytest.approx(twice, abs=1e-8)
        assert value == pytest.approx(metric(confidence, correct, weights=np.full(correct.size, 3.0)), abs=1e-8)


def test_both_tend_to_zero_on_a_calibrated_stream_and_not_on_another():
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
def test_intervals_are_ordered(metric):
    rng = np.random.default_rng(3)
    confidence = rng.random(200)
    value = metric(confidence, rng.random(200) < confidence**3, interval=0.9)
    assert value.low < value.high
