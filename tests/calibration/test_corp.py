"""Isotonic reliability curves, their consistency bands, and the decomposition of the Brier score."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from calibration import Bootstrap, brier_score, corp_curve, score_decomposition


def sample(n, seed=0, power=1.0):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < confidence**power


def test_the_curve_is_scikit_learns_isotonic_fit():
    confidence, correct = sample(300)
    confidence = np.round(confidence, 2)
    weights = np.random.default_rng(1).gamma(2, 1, 300)
    curve = corp_curve(confidence, correct, weights=weights)
    theirs = IsotonicRegression().fit(confidence, correct, sample_weight=weights)
    assert curve.accuracy == pytest.approx(theirs.predict(curve.confidence), abs=1e-9)
    assert (np.diff(curve.confidence) > 0).all()


def test_a_calibrated_model_lies_in_its_band_and_an_overconfident_one_does_not():
    inside = []
    for seed in range(10):
        curve = corp_curve(*sample(500, seed), band=Bootstrap(0.9, 200))
        inside.append(np.mean((curve.accuracy >= curve.low - 1e-9) & (curve.accuracy <= curve.high + 1e-9)))
    assert 0.8 < np.mean(inside) < 0.98
    curve = corp_curve(*sample(500, power=3), band=0.9)
    assert np.mean(curve.accuracy < curve.low) > 0.5
    assert ((curve.low <= curve.high) & (curve.low >= 0) & (curve.high <= 1)).all()


def test_the_parts_of_the_score_add_up_and_a_perfect_model_discriminates_fully():
    confidence, correct = sample(400, power=2)
    weights = np.random.default_rng(1).gamma(2, 1, 400)
    parts = score_decomposition(np.round(confidence, 1), correct, weights=weights)
    assert parts.brier == pytest.approx(brier_score(np.round(confidence, 1), correct, weights=weights))
    assert parts.brier == pytest.approx(parts.miscalibration - parts.discrimination + parts.uncertainty)
    assert min(parts.miscalibration, parts.discrimination) > 0
    perfect = score_decomposition([0.0, 1.0, 1.0], [0, 1, 1])
    assert (perfect.brier, perfect.miscalibration) == (0, 0)
    assert perfect.discrimination == pytest.approx(perfect.uncertainty) == pytest.approx(2 / 9)
    assert score_decomposition([0.7], [1]).to_dict()["miscalibration"] == pytest.approx(0.09)
