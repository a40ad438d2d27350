import numpy as np
import pytest

import calibration
from calibration import InvalidInput, PlattScaling, StackedRecalibrator, negative_log_likelihood


def bent(n, seed=0):
    """Accuracy rises in two steps, which two numbers cannot follow."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < 0.2 + 0.4 * (confidence > 0.3) + 0.3 * (confidence > 0.8)


def test_a_mixture_is_nearly_as_good_as_its_best_part_and_mostly_leaves_out_bad_ones():
    confidence, correct = bent(4000, seed=1)
    fitted = StackedRecalibrator(["identity", "platt", "isotonic"]).fit(*bent(800))
    assert fitted.weight_.sum() == pytest.approx(1)
    weight = dict(zip((type(part).__name__ for part in fitted.recalibrators_), fitted.weight_, strict=True))
    assert weight["IsotonicCalibration"] > 2 * weight.get("Identity", 0)
    losses = [negative_log_likelihood(part.predict(confidence), correct) for part in fitted.recalibrators_]
    assert negative_log_likelihood(fitted.predict(confidence), correct) < min(losses) + 0.002


def test_one_candidate_is_that_recalibrator_and_a_file_keeps_the_mixture(tmp_path):
    confidence, correct = bent(200)
    alone = StackedRecalibrator(["platt"]).fit(confidence, correct)
    assert alone.predict(confidence) == pytest.approx(PlattScaling().fit(confidence, correct).predict(confidence))
    mixed = StackedRecalibrator().fit(confidence, correct)
    assert (np.diff(mixed.predict(np.linspace(0, 1, 101))) >= 0).all()
    mixed.save(tmp_path / "x.json")
    assert (calibration.load(tmp_path / "x.json").predict(confidence) == mixed.predict(confidence)).all()
    with pytest.raises(InvalidInput, match="candidates is 'platt'"):
        StackedRecalibrator("platt").fit(confidence, correct)
    with pytest.raises(InvalidInput, match="no recalibrator 'magic'"):
        StackedRecalibrator(["magic"]).fit(confidence, correct)
