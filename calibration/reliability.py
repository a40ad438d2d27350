"""The reliability curve: accuracy against confidence, by bins (a, b], the first closed on both sides (binning.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, check_count, check_pair, check_weights
from calibration.binning import BinTotals, Strategy, make_bins

__all__ = ["ReliabilityCurve", "curve_of_totals", "reliability_curve"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Accuracy against confidence, one entry for each of M bins that are not empty.

    Attributes:
        lower, upper: (M,) the bin's edges.
        confidence, accuracy: (M,) means in the bin.
        weight: (M,) number (or weight) of items.
        low, high: (M,) ends of the accuracy's interval; equal to the accuracy if none was requested.
    """

    lower: Float64Array
    upper: Float64Array
    confidence: Float64Array
    accuracy: Float64Array
    weight: Float64Array
    low: Float64Array
    high: Float64Array

    def to_dict(self) -> dict[str, list[float]]:
        """Every column as a list of plain numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def reliability_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | None = None,
) -> ReliabilityCurve:
    """Mean confidence and accuracy of every bin that is not empty.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an exact binomial (Clopper–Pearson) interval for each bin's accuracy. Not a bootstrap,
            whose interval has width zero in a bin whose items are all right or all wrong.
    """
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    return curve_of_totals(BinTotals.of(bins, values, truth, mass), bins.edges.astype(np.float64), interval)


def curve_of_totals(totals: BinTotals, edges: Float64Array, interval: float | None) -> ReliabilityCurve:
    """The reliability curve of totals over bins with these edges (n_bins + 1,); interval: see `reliability_curve`."""
    full = totals.weight > 0
    weight, correct = totals.weight[full], totals.correct[full]
    accuracy = correct / weight
    low, high = accuracy, accuracy
    if interval is not None:
        from calibration.bounds import binomial_interval

        effective = totals.effective()[full]
        low, high = binomial_interval(accuracy * effective, effective, level=interval)
    return ReliabilityCurve(
        lower=edges[:-1][full],
        upper=edges[1:][full],
        confidence=totals.confidence[full] / weight,
        accuracy=accuracy,
        weight=weight,
        low=low,
        high=high,
    )
