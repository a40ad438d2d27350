"""Checks after deployment: false alarms as often as stated at any time, true ones soon, and formulas by hand."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom

from calibration import Calibrator, GuaranteeMonitor, InvalidInput
from calibration.betting import betting_p_value, calibration_wealth, excess_risk_wealth, risk_interval


def fitted(risk=0.2):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 400)
    return Calibrator(risk, recalibrator="platt").fit(confidence, rng.random(400) < confidence)


def test_the_wealth_against_a_risk_is_the_mean_likelihood_ratio():
    wrong = np.array([1.0, 0.0, 1.0])
    ratio = quad(lambda q: (q / 0.2) ** 2 * ((1 - q) / 0.8), 0.2, 1)[0] / 0.8
    assert excess_risk_wealth(wrong, 0.2)[-1] == pytest.approx(math.log(ratio))
    first = quad(lambda q: q / 0.2, 0.2, 1)[0] / 0.8
    assert excess_risk_wealth(wrong, 0.2)[0] == pytest.approx(math.log(first))


def test_the_wealth_against_calibration_by_hand():
    shifts = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
    shifted = 1 / (1 + np.exp(-(math.log(0.8 / 0.2) + shifts)))
    assert calibration_wealth(np.array([0.8]), np.array([1.0]))[0] == pytest.approx(math.log(np.mean(shifted / 0.8)))
    both = np.mean(shifted / 0.8 * (1 - shifted) / 0.2)
    assert calibration_wealth(np.array([0.8, 0.8]), np.array([1.0, 0.0]))[1] == pytest.approx(math.log(both))


def test_a_kept_guarantee_raises_an_alarm_at_any_time_no_more_often_than_stated():
    rng = np.random.default_rng(1)
    draws, alarms, missed = 400, 0, 0
    for _ in range(draws):
        wrong = (rng.random(300) < 0.2).astype(float)
        alarms += excess_risk_wealth(wrong, 0.2).max() > math.log(1 / 0.05)
        low, high = risk_interval(int(wrong.sum()), 300, 0.95)
        missed += not low <= 0.2 <= high
    assert alarms <= binom.ppf(0.999, draws, 0.05)
    assert missed <= binom.ppf(0.999, draws, 0.05)


def test_calibrated_items_raise_an_alarm_no_more_often_than_stated():
    rng = np.random.default_rng(2)
    draws, alarms = 400, 0
    for _ in range(draws):
        confidence = rng.beta(4, 1, 200)
        alarms += calibration_wealth(confidence, (rng.random(200) < confidence).astype(float)).max() > math.log(20)
    assert alarms <= binom.ppf(0.999, draws, 0.05)


def test_the_interval_of_a_risk_ends_where_the_mixture_says():
    low, high = risk_interval(10, 100, 0.95)
    for end in (low, high):
        log_ratio = (
            math.lgamma(10.5) + math.lgamma(90.5) - math.lgamma(101) - 2 * math.lgamma(0.5)
            - 10 * math.log(end) - 90 * math.log1p(-end)
        )  # fmt: skip
        assert log_ratio == pytest.approx(math.log(20), abs=1e-6)
    assert low < 0.1 < high
    assert risk_interval(0, 0, 0.95) == (0, 1)
    assert risk_interval(0, 50, 0.95)[0] == 0
    assert risk_interval(50, 50, 0.95)[1] == 1


def test_the_p_value_of_bets_is_valid_with_weights():
    rng = np.random.default_rng(3)
    draws, rejected = 1000, 0
    for _ in range(draws):
        weights = rng.choice([0.1, 1.0], 150)
        # The weighted risk is 0.2 exactly: heavy items are wrong with 0.21, light ones with 0.1.
        wrong = rng.random(150) < np.where(weights == 1, 0.21, 0.1)
        rejected += betting_p_value(weights * (wrong - 0.2), 0.2, 0.05) <= 0.05
    assert rejected <= binom.ppf(0.999, draws, 0.05)
    assert betting_p_value(np.full(100, -0.2), 0.2, 0.05) < 1e-3
    assert betting_p_value(np.empty(0), 0.2, 0.05) == 1


def test_the_monitor_counts_answers_and_notices_what_went_wrong():
    calibrator = fitted()
    rng = np.random.default_rng(4)
    confidence = rng.uniform(0.3, 1, 400)
    correct = rng.random(400) < confidence
    kept = GuaranteeMonitor(calibrator).update(confidence, correct).compute()
    above = calibrator.answer(confidence)
    assert (kept.count, kept.answered, kept.wrong) == (400, above.sum(), (above & ~correct).sum())
    assert (kept.held, kept.calibrated, kept.drifted) == (True, True, False)
    assert kept.risk.low < kept.risk < kept.risk.high
    broken = GuaranteeMonitor(calibrator).update(confidence, rng.random(400) < confidence - 0.3).compute()
    assert (broken.held, broken.calibrated, broken.drifted) == (False, False, False)
    higher = 1 - (1 - confidence) / 3
    drifted = GuaranteeMonitor(calibrator).update(higher, rng.random(400) < higher).compute()
    assert (drifted.held, drifted.drifted) == (True, True)
    json.dumps(broken.to_dict(), allow_nan=False)


def test_batches_give_what_one_pass_gives():
    calibrator = fitted()
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.3, 1, 100)
    correct = rng.random(100) < confidence
    monitor = GuaranteeMonitor(calibrator)
    for start in range(0, 100, 7):
        monitor.update(confidence[start : start + 7], correct[start : start + 7])
    assert monitor.compute() == GuaranteeMonitor(calibrator).update(confidence, correct).compute()


def test_misuse_of_the_monitor_is_refused():
    with pytest.raises(InvalidInput, match="pass a fitted Calibrator"):
        GuaranteeMonitor(Calibrator())
    with pytest.raises(InvalidInput, match="call update first"):
        GuaranteeMonitor(fitted()).compute()
    with pytest.raises(InvalidInput, match="significance is 0"):
        GuaranteeMonitor(fitted(), significance=0)
