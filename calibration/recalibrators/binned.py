"""Recalibration by bins: histogram binning, scaling-binning and Bayesian binning into quantiles (BBQ)."""

from __future__ import annotations

import numpy as np

from calibration.arrays import BoolArray, Float64Array, check_count
from calibration.binning import Bins, BinTotals, Strategy, equal_mass_bins, make_bins
from calibration.recalibrators.recalibrator import Recalibrator, without_certainty
from calibration.recalibrators.scaling import PlattScaling

__all__ = ["BayesianBinning", "HistogramBinning", "ScalingBinning"]


class HistogramBinning(Recalibrator):
    """Every confidence becomes the accuracy of its bin (Zadrozny & Elkan 2001), or the middle of an empty bin.

    Accuracies of exactly 0 and 1 are kept 1 / (n + 2) away, for n (effective) items in all.

    Args:
        n_bins: at least 1.
        strategy: "equal-mass" or "equal-width".

    Attributes:
        edges_: (n_bins + 1,) in [0, 1]; fewer with equal-mass bins and many ties.
        value_: (n_bins,) in [0, 1].
    """

    increasing = False
    edges_: Float64Array
    value_: Float64Array

    def __init__(self, n_bins: int = 15, strategy: Strategy = "equal-mass") -> None:
        self.n_bins = n_bins
        self.strategy = strategy

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        bins = make_bins(confidence, check_count(self.n_bins, "n_bins"), self.strategy, weights)
        totals = BinTotals.of(bins, confidence, correct, weights)
        self.edges_ = bins.edges.astype(np.float64)
        middle = (self.edges_[:-1] + self.edges_[1:]) / 2
        full = totals.weight > 0
        self.value_ = without_certainty(np.where(full, totals.correct / np.where(full, totals.weight, 1), middle), weights)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return self.value_[Bins(self.edges_, evenly=False).index(confidence)]


class ScalingBinning(Recalibrator):
    """Platt scaling, then every value becomes the mean of its equal-mass bin (Kumar et al. 2019, arXiv 1909.10155).

    The output takes at most n_bins values, so that bins do not underestimate its calibration error. The paper fits the
    scaling and the bins on separate thirds; as in its code, both are fitted here on all items.

    Args:
        n_bins: at least 1.

    Attributes:
        scaling_: the fitted Platt scaling.
        edges_: (n_bins + 1,) in [0, 1]; fewer with many ties.
        value_: (n_bins,) in [0, 1].
    """

    scaling_: PlattScaling
    edges_: Float64Array
    value_: Float64Array

    def __init__(self, n_bins: int = 15) -> None:
        self.n_bins = n_bins

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        self.scaling_ = PlattScaling().fit(confidence, correct, weights)
        scaled = self.scaling_.predict(confidence)
        bins = equal_mass_bins(scaled, check_count(self.n_bins, "n_bins"), weights)
        totals = BinTotals.of(bins, scaled, correct, weights)
        self.edges_ = bins.edges.astype(np.float64)
        # Equal-mass bins are never empty: their upper edges are values that occur.
        self.value_ = totals.confidence / totals.weight

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return self.value_[Bins(self.edges_, evenly=False).index(self.scaling_.predict(confidence))]


class BayesianBinning(Recalibrator):
    """BBQ: an average of equal-mass histograms, weighted by the likelihood of the data under each (Naeini et al. 2015).

    Numbers of bins go from N^(1/3) / 10 to 10 N^(1/3), as in the paper. In each bin the accuracy has a Beta prior of total
    weight 2 centered on the bin's middle, so that no bin gives exactly 0 or 1.

    Args:
        max_bins: the most bins of a histogram, at least 1.

    Attributes:
        edges_: the edges of each histogram, in [0, 1].
        value_: the values of each histogram's bins, in [0, 1].
        score_: each histogram's share of the average; they sum to 1.
    """

    increasing = False
    edges_: list[Float64Array]
    value_: list[Float64Array]
    score_: Float64Array

    def __init__(self, max_bins: int = 200) -> None:
        self.max_bins = max_bins

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        from scipy.special import betaln

        root = weights.sum() ** (1 / 3)
        most = min(check_count(self.max_bins, "max_bins"), max(1, int(10 * root)), confidence.size)
        least = min(most, max(1, int(root / 10)))
        # A hundred different resolutions are as good as all of them.
        sizes = np.unique(np.geomspace(least, most, 100).round().astype(int))
        self.edges_, self.value_, scores = [], [], []
        # Sorted once, every histogram is a few differences of cumulative sums at distinct confidences.
        order = np.argsort(confidence)
        values, mass = confidence[order], weights[order]
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
        distinct, cumulative = values[last], np.cumsum(mass)[last]
        right_ones = np.cumsum(mass * correct[order])[last]
        for size in sizes.tolist():
            targets = np.arange(1, size) * (cumulative[-1] / size)
            cuts = np.unique(np.searchsorted(cumulative, targets * (1 - 1e-12)))
            cuts = cuts[cuts < distinct.size - 1]
            edges = np.concatenate([[0.0], distinct[cuts], [1.0]])
            total, correct_ones = (
                np.diff(np.concatenate([[0.0], sums[cuts], sums[-1:]])) for sums in (cumulative, right_ones)
            )
            prior = np.clip((edges[:-1] + edges[1:]) / 2, 1e-3, 1 - 1e-3)
            right, wrong = 2 * prior, 2 * (1 - prior)
            evidence = betaln(right + correct_ones, wrong + total - correct_ones) - betaln(right, wrong)
            scores.append(float(evidence.sum()))
            self.edges_.append(edges)
            self.value_.append((right + correct_ones) / (2 + total))
        share = np.exp(np.array(scores) - max(scores))
        self.score_ = share / share.sum()

    def _transform(self, confidence: Float64Array) -> Float64Array:
        # In the order of the confidences the average is a sum of steps, one for each edge of each histogram.
        order = np.argsort(confidence)
        inner = np.concatenate([edges[1:-1] for edges in self.edges_])
        steps = np.concatenate([share * np.diff(value) for share, value in zip(self.score_, self.value_, strict=True)])
        start = sum(share * value[0] for share, value in zip(self.score_, self.value_, strict=True))
        place = np.searchsorted(confidence[order], inner, side="right")
        average = np.empty_like(confidence)
        average[order] = start + np.cumsum(np.bincount(place, steps, confidence.size + 1)[:-1])
        return average
