"""Brier, likelihood, Spiegelhalter, AUROC and AUPRC: by hand and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from calibration import (
    Bootstrap,
    InvalidInput,
    auprc,
    auroc,
    binomial_interval,
    brier_decomposition,
    brier_score,
    negative_log_likelihood,
    spiegelhalter_test,
)

rows = st.integers(2, 50).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))),
        arrays(np.bool_, n),
        arrays(np.int64, n, elements=st.integers(1, 3)),
    )
)


def test_scores_by_hand():
    confidence, correct = [0.9, 0.6, 0.3], [True, False, False]
    assert brier_score(confidence, correct) == pytest.approx((0.01 + 0.36 + 0.09) / 3, abs=1e-12)
    expected = -(math.log(0.9) + math.log(0.4) + math.log(0.7)) / 3
    assert negative_log_likelihood(confidence, correct) == pytest.approx(expected, abs=1e-12)
    assert auroc([0.9, 0.6, 0.6, 0.3], [1, 1, 0, 0]) == 3.5 / 4
    assert auprc([0.9, 0.6, 0.3], [1, 0, 1]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3, abs=1e-12)


def test_certainty_that_is_wrong_costs_a_finite_likelihood_unless_clip_is_zero():
    assert negative_log_likelihood([1.0], [False]) == pytest.approx(-math.log(1e-15))
    assert negative_log_likelihood([1.0], [False], clip=0) == math.inf
    assert negative_log_likelihood([1.0, 0.0], [True, False], clip=0) == 0


@given(rows)
@settings(max_examples=80)
def test_scikit_learn_agrees(data):
    confidence, correct, times = data
    assert brier_score(confidence, correct, weights=times) == pytest.approx(
        metrics.brier_score_loss(correct, confidence, sample_weight=times, labels=[False, True]), abs=1e-9
    )
    likelihood = negative_log_likelihood(confidence, correct, weights=times, clip=float(np.finfo(np.float64).eps))
    assert likelihood == pytest.approx(metrics.log_loss(correct, confidence, sample_weight=times, labels=[0, 1]), abs=1e-9)
    if correct.any():
        theirs = metrics.average_precision_score(correct, confidence, sample_weight=times)
        assert auprc(confidence, correct, weights=times) == pytest.approx(theirs, abs=1e-9)
    if correct.any() and not correct.all():
        theirs = metrics.roc_auc_score(correct, confidence, sample_weight=times)
        assert auroc(confidence, correct, weights=times) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("correct", "kind"), [([1, 1], "wrong"), ([0, 0], "right")])
def test_auroc_of_one_kind_is_refused(correct, kind):
    with pytest.raises(InvalidInput, match=f"no item is {kind}"):
        auroc([0.4, 0.5], correct)


def test_auprc_without_a_right_item_is_refused():
    with pytest.raises(InvalidInput, match="no item is right"):
        auprc([0.4, 0.5], [0, 0])


@given(rows, st.sampled_from([None, 1, 4, 15]))
def test_murphys_terms_add_up_to_the_brier_score(data, n_bins):
    confidence, correct, times = data
    parts = brier_decomposition(confidence, correct, n_bins=n_bins, weights=times)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert parts.brier == pytest.approx(total, abs=1e-12)
    assert parts.brier == pytest.approx(brier_score(confidence, correct, weights=times), abs=1e-12)
    if n_bins is None:
        assert parts.within_bins == pytest.approx(0, abs=1e-9)


def test_murphys_terms_by_hand():
    parts = brier_decomposition([0.8, 0.8, 0.2, 0.2], [1, 1, 0, 1])
    assert parts.reliability == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert parts.resolution == pytest.approx(0.25**2)
    assert parts.uncertainty == pytest.approx(0.75 * 0.25)


def test_spiegelhalter_by_hand_and_at_its_limits():
    result = spiegelhalter_test([0.8, 0.3], [True, True])
    top = 0.2 * (1 - 1.6) + 0.7 * (1 - 0.6)
    assert result.z == pytest.approx(top / math.sqrt(0.36 * 0.16 + 0.16 * 0.21))
    assert spiegelhalter_test([1.0, 0.0], [True, False]) == spiegelhalter_test([0.5], [True])
    assert spiegelhalter_test([1.0], [False]).p_value == 0


def test_spiegelhalter_rejects_calibrated_confidences_at_its_level():
    rng = np.random.default_rng(0)
    confidence = rng.random((1000, 200))
    correct = rng.random((1000, 200)) < confidence
    rejected = np.mean([spiegelhalter_test(p, y).p_value < 0.05 for p, y in zip(confidence, correct, strict=True)])
    assert 0.03 < rejected < 0.07


@pytest.mark.parametrize("metric", [brier_score, negative_log_likelihood, auroc, auprc])
def test_intervals_hold_the_value_and_leave_out_undefined_resamples(metric):
    rng = np.random.default_rng(1)
    confidence = rng.random(300)
    value = metric(confidence, rng.random(300) < confidence, interval=0.95)
    assert value.low < value < value.high
    tiny = metric([0.2, 0.4, 0.7], [0, 0, 1], interval=0.9)
    assert tiny.low <= tiny.high


def test_the_binomial_interval_is_scipys():
    from scipy.stats import binomtest

    low, high = binomial_interval([0, 3, 10], [10, 10, 10], level=0.9)
    for k, lo, hi in zip([0, 3, 10], low, high, strict=True):
        theirs = binomtest(k, 10).proportion_ci(0.9, method="exact")
        assert (lo, hi) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_terms_of_the_decomposition_carry_intervals_from_the_same_resamples():
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 11, 300) / 10
    correct = rng.random(300) < confidence
    made = brier_decomposition(confidence, correct, interval=0.9)
    plain = brier_decomposition(confidence, correct)
    assert float(made.brier) == float(plain.brier)
    assert made.brier == pytest.approx(float(made.reliability - made.resolution + made.uncertainty))
    assert made.brier.low < made.brier < made.brier.high
    alone = brier_score(confidence, correct, interval=0.9)
    assert (made.brier.low, made.brier.high) == pytest.approx((alone.low, alone.high), abs=0.003)


def test_the_decomposition_resamples_once_for_all_terms(monkeypatch):
    """It ran the bootstrap once per term, five times in all."""
    drawn = []
    bincount = np.bincount

    def counting(values, *arguments, **options):
        if options.get("minlength") == 50:
            drawn.append(values)
        return bincount(values, *arguments, **options)

    monkeypatch.setattr("calibration.estimate.np.bincount", counting)
    confidence = np.linspace(0, 1, 50)
    brier_decomposition(confidence, confidence > 0.5, n_bins=5, interval=Bootstrap(0.9, n_resamples=20))
    assert len(drawn) == 20
