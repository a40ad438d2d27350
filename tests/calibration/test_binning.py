"""Bins: their edges, ties, and the sweep over their number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration.binning import equal_mass_bins, equal_width_bins, most_rising_bins

rows = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]))),
        arrays(np.bool_, n),
    )
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_bins", [2, 3, 7, 10, 15, 49, 100, 1000])
def test_an_edge_belongs_to_the_bin_below_it_and_its_neighbor_to_the_bin_above(n_bins, dtype):
    edges = (np.arange(n_bins + 1) / n_bins).astype(dtype)
    bins = equal_width_bins(n_bins, dtype)
    assert bins.index(edges[1:]).tolist() == list(range(n_bins))
    assert bins.index(edges[:1]).tolist() == [0]
    above = np.nextafter(edges[1:-1], dtype(1))
    assert bins.index(above).tolist() == list(range(1, n_bins))


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1)), st.integers(1, 40))
def test_the_quick_index_is_the_search_among_edges(confidence, n_bins):
    bins = equal_width_bins(n_bins)
    assert (bins.index(confidence) == np.searchsorted(bins.edges[1:-1], confidence, side="left")).all()


def test_equal_mass_bins_never_separate_equal_confidences():
    confidence = np.array([0.1] * 7 + [0.5] * 2 + [0.9] * 3)
    bins = equal_mass_bins(confidence, 4)
    assert bins.edges.tolist() == [0.0, 0.1, 0.5, 1.0]
    shuffled = np.random.default_rng(0).permutation(confidence)
    assert equal_mass_bins(shuffled, 4).edges.tolist() == bins.edges.tolist()


def test_equal_mass_bins_hold_equal_numbers_when_nothing_ties():
    confidence = np.random.default_rng(1).random(1000)
    bins = equal_mass_bins(confidence, 8)
    assert np.bincount(bins.index(confidence)).tolist() == [125] * 8


def sweep_by_definition(confidence, correct):
    """The number of bins of Algorithm 1, with every number of bins tried on all bins."""
    order = np.argsort(confidence, kind="stable")
    confidence, correct = confidence[order], correct[order]
    chosen = 1
    for n_bins in range(2, confidence.size + 1):
        index = equal_mass_bins(confidence, n_bins).index(confidence)
        right, items = np.bincount(index, correct), np.bincount(index)
        if (np.diff(right[items > 0] / items[items > 0]) < 0).any():
            break
        chosen = n_bins
    return chosen


@given(rows, st.integers(0, 60), st.lists(st.integers(0, 59), max_size=2))
@settings(max_examples=200)
def test_the_sweep_chooses_the_bins_of_its_definition(data, first_right, flips):
    confidence, correct = data
    rising = np.arange(confidence.size) >= first_right
    for flip in flips:
        rising[flip % rising.size] ^= True
    for truth in (correct[np.argsort(confidence)], rising):
        ascending = np.sort(confidence)
        assert most_rising_bins(ascending, truth) == sweep_by_definition(ascending, truth)
