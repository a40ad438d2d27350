"""Class-wise and top-label errors of (N, K) probabilities."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from calibration import (
    InvalidInput,
    adaptive_calibration_error_by_class,
    class_wise_calibration_error,
    confidence_of_top_label,
    expected_calibration_error,
    multiclass_brier_score,
    multiclass_negative_log_likelihood,
    top_label_calibration_error,
)


def sample(n=2000, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    labels = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return probabilities, labels


def test_by_hand():
    probabilities, labels = [[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1]
    # class 0: 0.8 twice with one right, 0.3 with none; class 1: the complement
    per_class = (2 * 0.3 + 0.3) / 3
    assert class_wise_calibration_error(probabilities, labels) == pytest.approx(per_class)
    assert adaptive_calibration_error_by_class(probabilities, labels, n_bins=2) == pytest.approx(0.3)
    assert top_label_calibration_error(probabilities, labels) == pytest.approx(2 / 3 * 0.3 + 1 / 3 * 0.3)
    assert multiclass_brier_score(probabilities, labels) == pytest.approx((0.08 + 1.28 + 0.18) / 3)


def test_top_label_errors_do_not_cancel_between_classes():
    # both classes are predicted with 0.75; class 0 is always right, class 1 half the time
    probabilities = [[0.75, 0.25]] * 2 + [[0.25, 0.75]] * 2
    labels = [0, 0, 1, 0]
    assert expected_calibration_error(*confidence_of_top_label(probabilities, labels)) == 0
    assert top_label_calibration_error(probabilities, labels) == pytest.approx(0.25)


def test_torchmetrics_and_scikit_learn_agree():
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    probabilities, labels = sample()
    theirs = torchmetrics.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(labels), num_classes=4, n_bins=15
    )
    # torchmetrics works in float32 here
    ours = expected_calibration_error(*confidence_of_top_label(probabilities, labels))
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert multiclass_negative_log_likelihood(probabilities, labels) == pytest.approx(
        log_loss(labels, probabilities), abs=1e-9
    )


def test_calibrated_probabilities_have_small_errors():
    probabilities, labels = sample(100_000)
    assert class_wise_calibration_error(probabilities, labels) < 0.01
    assert top_label_calibration_error(probabilities, labels) < 0.02


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.6]], [0], r"probabilities\[0\] sums to 1.1"),
        ([[0.5, 0.5]], [2], r"labels\[0\] is 2"),
        ([[0.5, 0.5]], [0.5], "labels has shape"),
        ([0.5, 0.5], [0, 1], "probabilities has shape"),
        ([[0.5, np.nan]], [0], r"probabilities\[0, 1\] is nan"),
    ],
)
def test_unusable_probabilities_are_refused(probabilities, labels, message):
    with pytest.raises(InvalidInput, match=message):
        class_wise_calibration_error(probabilities, labels)


@pytest.mark.parametrize(
    "metric", [class_wise_calibration_error, adaptive_calibration_error_by_class, top_label_calibration_error]
)
def test_errors_by_class_carry_a_bootstrap_interval_on_request(metric):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 400)
    labels = (rng.random((400, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    plain, made = metric(probabilities, labels), metric(probabilities, labels, interval=0.9)
    assert plain.low is None
    assert float(made) == float(plain)
    assert made.low < made.high
    assert made.level == 0.9
    # Resampling the same number of copies of every row changes nothing but the noise.
    assert metric(np.repeat(probabilities, 2, axis=0), np.repeat(labels, 2)) == pytest.approx(float(plain), abs=1e-3)
