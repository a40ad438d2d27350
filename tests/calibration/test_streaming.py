"""Accumulators over shards give the numbers of one pass."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration import (
    BinnedAccumulator,
    InvalidInput,
    TableAccumulator,
    adaptive_calibration_error,
    auprc,
    aurc,
    brier_score,
    debiased_calibration_error,
    expected_calibration_error,
    kolmogorov_smirnov_error,
    maximum_calibration_error,
    negative_log_likelihood,
    reliability_curve,
    smooth_calibration_error,
)

shards = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 1.0]))),
        arrays(np.bool_, n),
        st.lists(st.integers(0, n), max_size=4).map(sorted),
    )
)


@given(shards)
@settings(max_examples=60)
def test_merging_shards_equals_one_pass(data):
    confidence, correct, cuts = data
    binned, table = BinnedAccumulator(n_bins=10), TableAccumulator()
    for part, truth in zip(np.split(confidence, cuts), np.split(correct, cuts), strict=True):
        binned.merge(pickle.loads(pickle.dumps(BinnedAccumulator(n_bins=10).update(part, truth))))
        table.merge(pickle.loads(pickle.dumps(TableAccumulator().update(part, truth))))
    summary = binned.compute(interval=0.95)
    assert summary.weight == confidence.size
    assert summary.accuracy == pytest.approx(correct.mean(), abs=1e-12)
    assert summary.mean_confidence == pytest.approx(confidence.mean(), abs=1e-12)
    assert summary.ece == pytest.approx(expected_calibration_error(confidence, correct, n_bins=10), abs=1e-12)
    assert summary.mce == pytest.approx(maximum_calibration_error(confidence, correct, n_bins=10), abs=1e-12)
    assert summary.brier == pytest.approx(brier_score(confidence, correct), abs=1e-12)
    assert summary.negative_log_likelihood == pytest.approx(negative_log_likelihood(confidence, correct), abs=1e-12)
    curve = reliability_curve(confidence, correct, n_bins=10, interval=0.95)
    for column, values in curve.to_dict().items():
        assert getattr(summary.curve, column) == pytest.approx(np.array(values), abs=1e-12)
    metrics = [adaptive_calibration_error, debiased_calibration_error, aurc, kolmogorov_smirnov_error]
    for metric in [*metrics, smooth_calibration_error, *([auprc] if correct.any() else [])]:
        assert table.compute(metric) == pytest.approx(metric(confidence, correct), abs=1e-8)


def test_weights_and_options_pass_through():
    table = TableAccumulator().update([0.9, 0.2], [1, 0], weights=[2, 1]).update([0.9], [0])
    expected = expected_calibration_error([0.9, 0.9, 0.2, 0.9], [1, 1, 0, 0], n_bins=4)
    assert table.compute(expected_calibration_error, n_bins=4) == pytest.approx(expected)
    binned = BinnedAccumulator(4).update([0.9, 0.2], [1, 0], weights=[2, 1]).update([0.9], [0])
    assert binned.compute().ece == pytest.approx(expected)


def test_float32_batches_keep_their_edges():
    confidence = np.array([0.2, 0.4, 0.6], dtype=np.float32)
    table = TableAccumulator().update(confidence, [1, 0, 1])
    ours = expected_calibration_error(confidence, [1, 0, 1], n_bins=5)
    assert table.compute(expected_calibration_error, n_bins=5) == pytest.approx(ours, abs=1e-7)


def test_misuse_of_accumulators_is_refused():
    with pytest.raises(InvalidInput, match="call update first"):
        BinnedAccumulator().compute()
    with pytest.raises(InvalidInput, match="call update first"):
        TableAccumulator().update([], []).compute(aurc)
    with pytest.raises(InvalidInput, match="cannot merge 5 bins into 10"):
        BinnedAccumulator(10).merge(BinnedAccumulator(5))
    with pytest.raises(InvalidInput, match="no items to resample"):
        TableAccumulator().update([0.5], [1]).compute(aurc, interval=0.95)
