"""Venn–Abers prediction: a probability interval that is calibrated whatever the data (Vovk et al. 2015, arXiv 1511.00213).

For a new confidence s, isotonic regression is fitted twice: with s added as a wrong item, which gives p0, and as a right
item, which gives p1. One of the two is perfectly calibrated. Only the fits at calibration confidences are needed: an added
right item always pools with the next higher confidence and a wrong one with the next lower, so that p1(s) is that of the
next confidence up and p0(s) that of the next one down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, check_confidence
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["VennAbers"]


class VennAbers(Recalibrator):
    """Recalibrates to p1 / (1 - p0 + p1), the value of least worst-case log loss; `interval` gives p0 and p1.

    Attributes:
        knots_: (M,) distinct calibration confidences, ascending, in [0, 1].
        low_, high_: (M,) p0 and p1 at each of them, in [0, 1].
    """

    knots_: Float64Array
    low_: Float64Array
    high_: Float64Array

    def interval(self, confidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """The interval of each item; it is narrow where there are many calibration items.

        Args:
            confidence: (N,) in [0, 1].

        Returns:
            (N,) p0 and (N,) p1, with 0 <= p0 <= p1 <= 1.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        self.check_fitted()
        return self._interval(check_confidence(confidence).astype(np.float64))

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        self.knots_, group = np.unique(confidence, return_inverse=True)
        mass, right = (np.bincount(group, values, self.knots_.size) for values in (weights, weights * correct))
        diagram = _Diagram.of(mass.astype(np.float64), right.astype(np.float64))
        self.low_, self.high_ = diagram.fits_with(0.0), diagram.fits_with(1.0)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        low, high = self._interval(confidence)
        return np.asarray(high / (1 - low + high))

    def _interval(self, confidence: Float64Array) -> tuple[Float64Array, Float64Array]:
        down = np.searchsorted(self.knots_, confidence, side="right") - 1
        up = np.searchsorted(self.knots_, confidence, side="left")
        # Below all knots a wrong item pools with none, so p0 is 0; above all of them p1 is 1.
        low = np.where(down >= 0, self.low_[np.maximum(down, 0)], 0.0)
        high = np.where(up < self.knots_.size, self.high_[np.minimum(up, self.knots_.size - 1)], 1.0)
        return low, high


@dataclass(frozen=True)
class _Diagram:
    """Cumulative right items over cumulative items, M + 1 points for M knots, with the lower convex hulls of their parts.

    Attributes:
        x, y: (M + 1,) weight of the items, and of the right ones, before each knot and after the last.
        before: (M + 1,) the corner before point p of the hull of points 0..p; 0 at point 0.
        after: (M + 1,) the corner after point p of the hull of points p..M; M at point M.
    """

    x: Float64Array
    y: Float64Array
    before: NDArray[np.intp]
    after: NDArray[np.intp]

    @classmethod
    def of(cls, mass: Float64Array, right: Float64Array) -> _Diagram:
        x = np.concatenate([[0.0], np.cumsum(mass)])
        y = np.concatenate([[0.0], np.cumsum(right)])
        after = mass.size - _corners_before((x[-1] - x)[::-1], y[::-1])[::-1]
        return cls(x, y, _corners_before(x, y), after)

    def fits_with(self, outcome: float) -> Float64Array:
        """(M,) the isotonic fit at each knot if one more item of this outcome, 0 or 1, is added there.

        The isotonic fit at knot j is the max over i <= j of the min over k >= j of the mean of knots i..k. With the item
        added, that mean is the slope from point i to point k + 1 shifted by (1, outcome), and the extremes are the ends of
        the common tangent of the hulls of points 0..j and j + 1..M. All tangents are found together, from the ends next to
        j outwards; hulls being convex, no step leads past the tangent.
        """
        start = np.arange(self.x.size - 1)
        end = start + 1

        def slope(i: NDArray[np.intp], k: NDArray[np.intp]) -> Float64Array:
            return np.asarray((self.y[k] + outcome - self.y[i]) / (self.x[k] + 1 - self.x[i]))

        knots = start.copy()
        while knots.size:
            i, k = start[knots], end[knots]
            further = self.after[k]
            later = slope(i, further) < slope(i, k)
            k = np.where(later, further, k)
            previous = self.before[i]
            earlier = slope(previous, k) > slope(i, k)
            start[knots], end[knots] = np.where(earlier, previous, i), k
            knots = knots[later | earlier]
        return np.clip(slope(start, end), 0.0, 1.0)


def _corners_before(x: Float64Array, y: Float64Array) -> NDArray[np.intp]:
    """For each point p (M + 1,), the corner before it of the lower convex hull of points 0..p."""
    run, rise = x.tolist(), y.tolist()
    before = [0] * x.size
    for point in range(1, x.size):
        corner = point - 1
        x_point, y_point = run[point], rise[point]
        while corner:
            # The corner stays if it lies strictly below the line from the one before it to the new point.
            first = before[corner]
            x_first, y_first = run[first], rise[first]
            if (rise[corner] - y_first) * (x_point - x_first) < (y_point - y_first) * (run[corner] - x_first):
                break
            corner = first
        before[point] = corner
    return np.array(before, dtype=np.intp)
