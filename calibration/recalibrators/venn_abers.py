"""Venn–Abers prediction: a probability interval that is calibrated whatever the data (Vovk et al. 2015, arXiv 1511.00213).

For a new confidence s, isotonic regression is fitted twice: with s added as a wrong item, which gives p0, and as a right
item, which gives p1. One of the two is perfectly calibrated. Only the fits at calibration confidences are needed: an added
right item always pools with the next higher confidence and a wrong one with the next lower, so that p1(s) is that of the
next confidence up and p0(s) that of the next one down.
"""

from __future__ import annotations

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
        knots, group = np.unique(confidence, return_inverse=True)
        mass = np.bincount(group, weights, knots.size).astype(np.float64)
        right = np.bincount(group, weights * correct, knots.size).astype(np.float64)
        self.high_ = _fits_with_one_more_right(mass, right)
        # A wrong item is the mirror image of a right one: the order reversed, right and wrong exchanged.
        self.low_ = 1 - _fits_with_one_more_right(mass[::-1], (mass - right)[::-1])[::-1]
        self.knots_ = knots

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


def _fits_with_one_more_right(mass: Float64Array, right: Float64Array) -> Float64Array:
    """(M,) the isotonic fit at each knot if one more right item is added there.

    The isotonic fit at knot j is the max over i <= j of the min over k >= j of the mean of knots i..k. In the cumulative
    diagram (x, y) that mean, with one more right item at j, is the slope from point i to point k + 1 shifted by (1, 1), and
    the extremes lie on the lower convex hulls of points 0..j and j+1..M. Hulls of noisy data have few corners.
    """
    x = np.concatenate([[0.0], np.cumsum(mass)])
    y = np.concatenate([[0.0], np.cumsum(right)])
    size = mass.size
    after = _Hull(x, y)
    undo = [after.push(point) for point in range(size, 0, -1)]
    before = _Hull(x, y)
    fits = np.empty(size)
    for knot in range(size):
        before.push(knot)
        start, end = before.corners(), after.corners()
        rise = y[end] + 1 - y[start][:, None]
        fits[knot] = (rise / (x[end] + 1 - x[start][:, None])).min(axis=1).max()
        after.restore(undo.pop())
    return np.minimum(fits, 1.0)


class _Hull:
    """Lower convex hull of points that arrive in order along x.

    Every push can be undone in constant time, because it overwrites only one entry of the stack.
    """

    def __init__(self, x: Float64Array, y: Float64Array) -> None:
        self._x, self._y = x.tolist(), y.tolist()
        self._stack = np.zeros(x.size, dtype=np.intp)
        self._size = 0

    def corners(self) -> NDArray[np.intp]:
        return self._stack[: self._size]

    def push(self, point: int) -> tuple[int, int, int]:
        size = self._size
        while size >= 2 and not self._bends_down(int(self._stack[size - 2]), int(self._stack[size - 1]), point):
            size -= 1
        state = (self._size, size, int(self._stack[size]))
        self._stack[size] = point
        self._size = size + 1
        return state

    def restore(self, state: tuple[int, int, int]) -> None:
        self._size, place, point = state
        self._stack[place] = point

    def _bends_down(self, first: int, middle: int, last: int) -> bool:
        """Whether the middle point lies strictly below the line from first to last."""
        x, y = self._x, self._y
        left, right = (first, last) if x[first] < x[last] else (last, first)
        chord = (y[right] - y[left]) * (x[middle] - x[left])
        return bool((y[middle] - y[left]) * (x[right] - x[left]) < chord)
