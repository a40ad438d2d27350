"""Tests of calibration reject at the stated rate under calibration, and reject what is off."""

import numpy as np
import pytest

from calibration import InvalidInput, calibration_test, expected_calibration_error


@pytest.mark.parametrize("statistic", ["smooth", "kolmogorov-smirnov", "ece"])
def test_a_calibrated_model_is_rejected_at_most_as_often_as_stated(statistic):
    rejected = 0
    for draw in range(100):
        rng = np.random.default_rng([draw, 3])
        # Many ties and confidences near one, where a normal approximation fails.
        confidence = np.round(rng.beta(6, 0.5, 80), 2)
        result = calibration_test(confidence, rng.random(80) < confidence, statistic=statistic, n_resamples=49, seed=draw)
        rejected += result.p_value <= 0.1
    # Of 100 draws, more than 20 rejections at 10 % have a probability below 0.1 %.
    assert rejected <= 20


@pytest.mark.parametrize("statistic", ["smooth", "kolmogorov-smirnov", "ece"])
def test_an_overconfident_model_is_rejected(statistic):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 300)
    result = calibration_test(confidence, rng.random(300) < confidence**2, statistic=statistic, n_resamples=199)
    assert result.p_value == pytest.approx(1 / 200)
    assert result.statistic > 2 * result.expected
    assert set(result.to_dict()) == {"statistic", "p_value", "expected"}


def test_the_p_value_by_hand():
    # Of two items at 0.5, a calibrated model has both right or both wrong in half of its draws: an error of 0.5, else 0.
    result = calibration_test([0.5, 0.5], [1, 1], statistic="ece", n_resamples=9999)
    assert result.statistic == 0.5
    assert result.p_value == pytest.approx(0.5, abs=0.02)
    assert result.expected == pytest.approx(0.25, abs=0.01)
    assert calibration_test([0.5, 0.5], [1, 0], statistic="ece", n_resamples=99).p_value == 1


def test_the_ece_that_is_tested_is_the_public_one_and_the_scale_of_weights_does_not_matter():
    rng = np.random.default_rng(1)
    confidence, weights = rng.random(200), rng.gamma(1, 1, 200)
    correct = rng.random(200) < confidence
    results = [
        calibration_test(confidence, correct, statistic="ece", n_bins=7, weights=weights * scale, n_resamples=99)
        for scale in (1, 1e-6)
    ]
    public = expected_calibration_error(confidence, correct, n_bins=7, weights=weights)
    assert [result.statistic for result in results] == pytest.approx([float(public)] * 2)
    assert results[0].p_value == pytest.approx(results[1].p_value)


def test_an_unknown_statistic_is_refused():
    with pytest.raises(InvalidInput, match="statistic is 'brier'; pass one of smooth, kolmogorov-smirnov, ece"):
        calibration_test([0.5], [1], statistic="brier")
