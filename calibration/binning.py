"""Bins of confidence, and the totals of each bin.

Bins are (a, b], the first closed on both sides: 0 belongs to the first bin, 1 to the last, and a confidence that equals an
edge to the bin below it. Edges are k / n rounded to the type of the confidences, so that a float32 0.2 lies on the edge
0.2. Equal confidences are never separated: equal-mass bins are cut at observed values, and where ties are longer than a
bin there are fewer bins than requested.

Totals are sums, so that the totals of shards add up to those of all rows. Rows are processed 32,768 at a time: the
temporaries stay in cache and take half a megabyte whatever the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray, Float64Array, FloatArray
from calibration.errors import InvalidInput

__all__ = [
    "BinTotals",
    "Bins",
    "Strategy",
    "equal_mass_bins",
    "equal_width_bins",
    "make_bins",
    "most_rising_bins",
]

Strategy = Literal["equal-width", "equal-mass"]

_CHUNK = 1 << 15
# Up to this many cuts, partitioning is faster than sorting.
_CUTS_BY_PARTITION = 64


@dataclass(frozen=True)
class Bins:
    """Cuts of [0, 1].

    Attributes:
        edges: (n_bins + 1,) from 0 to 1.
        evenly: whether they are k / n_bins.
    """

    edges: FloatArray
    evenly: bool

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    def index(self, confidence: FloatArray) -> NDArray[np.intp]:
        """Bin of each confidence (N,), from 0 to size - 1."""
        if not self.evenly:
            return np.searchsorted(self.edges[1:-1], confidence, side="left")
        scaled = np.multiply(confidence, float(self.size), dtype=np.float64)
        ceiling = np.ceil(scaled)
        index = ceiling.astype(np.intp)
        index -= 1
        np.subtract(ceiling, scaled, out=scaled)
        # The product may be rounded across an edge (0.07 * 100 > 7), but only within rounding of it. Only then is the chunk
        # compared with the edges themselves.
        slack = 4 * self.size * float(np.finfo(confidence.dtype).eps)
        if scaled.min() <= slack or scaled.max() >= 1 - slack:
            np.clip(index, 0, self.size - 1, out=index)
            index += (confidence > self.edges[index + 1]).astype(np.intp)
            index -= ((confidence <= self.edges[index]) & (index > 0)).astype(np.intp)
        return index


def equal_width_bins(n_bins: int, dtype: np.dtype[np.floating] | type[np.floating] = np.float64) -> Bins:
    """Make bins of width 1 / n_bins, with edges of this type."""
    return Bins((np.arange(n_bins + 1) / n_bins).astype(dtype), evenly=True)


def equal_mass_bins(confidence: FloatArray, n_bins: int, weights: Float64Array | None = None) -> Bins:
    """Make bins with numbers of items as equal as ties allow; upper edges are observed confidences.

    Args:
        confidence: (N,) in [0, 1].
        n_bins: at least 1.
        weights: (N,), or None.
    """
    if weights is None:
        rank = _last_of_each_bin(confidence.size, n_bins)
        ordered = confidence
        if rank.size:
            few = rank.size <= _CUTS_BY_PARTITION
            ordered = np.partition(confidence, np.unique(rank)) if few else np.sort(confidence)
        inner = ordered[rank]
    else:
        order = np.argsort(confidence, kind="stable")
        mass = np.cumsum(weights[order])
        targets = np.arange(1, n_bins) * (mass[-1] / n_bins)
        rows = np.searchsorted(mass, targets * (1 - 1e-12), side="left")
        inner = confidence[order][np.minimum(rows, confidence.size - 1)]
    inner = np.unique(inner)
    # An edge at or above the largest confidence would leave an empty bin behind it.
    inner = inner[inner < (confidence.max() if weights is None else confidence[weights > 0].max())]
    zero, one = confidence.dtype.type(0), confidence.dtype.type(1)
    return Bins(np.concatenate([[zero], inner, [one]]).astype(confidence.dtype), evenly=False)


def most_rising_bins(confidence: FloatArray, correct: BoolArray) -> int:
    """The largest B such that with 2, 3, ..., B equal-mass bins accuracy never falls from a bin to the next.

    Accuracy can fall only between bins around a *descent*, a distinct confidence with a lower accuracy than the one before
    it. If there are fewer descents than bins, only the bins around them are compared, so that the time grows about linearly
    with N even if accuracy never falls.

    Args:
        confidence: (N,) in [0, 1], ascending.
        correct: (N,).
    """
    size = confidence.size
    starts = np.flatnonzero(np.concatenate([[True], confidence[1:] != confidence[:-1]]))
    ends = np.append(starts[1:], size)
    # Of each row: where its run of equal confidences starts and ends. A cut lies after a whole run.
    run_start, run_end = np.repeat(starts, ends - starts), np.repeat(ends, ends - starts)
    right = np.concatenate([[0], np.cumsum(correct)])
    descents = ends[:-1][np.diff((right[ends] - right[starts]) / (ends - starts)) < 0]
    if descents.size == 0:
        return size
    for n_bins in range(2, size + 1):
        if 4 * descents.size < n_bins:
            cuts = _cuts_around(descents, n_bins, run_start, run_end)
        else:
            inner = run_end[_last_of_each_bin(size, n_bins)]
            cuts = np.unique(np.concatenate([[0], inner, [size]]))[None]
        items, hits = np.diff(cuts), np.diff(right[cuts])
        # accuracy[j + 1] < accuracy[j], in whole numbers; empty bins at the ends never fall.
        if (hits[:, 1:] * items[:, :-1] < hits[:, :-1] * items[:, 1:]).any():
            return n_bins - 1
    return size


def _cuts_around(
    descents: NDArray[np.intp], n_bins: int, run_start: NDArray[np.intp], run_end: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The cuts (D, 5) between equal-mass bins around each descent: two before it, and three at or after it."""
    size = run_start.size

    def after(position: NDArray[np.intp]) -> NDArray[np.intp]:
        # The k-th bin's last row is ceil(k N / n_bins) - 1; the first such row at or after the position gives the next cut.
        k = np.minimum(position * n_bins // size + 1, n_bins)
        return np.asarray(run_end[-(-k * size // n_bins) - 1])

    def before(position: NDArray[np.intp]) -> NDArray[np.intp]:
        k = run_start[np.maximum(position - 1, 0)] * n_bins // size
        return np.where(k > 0, run_end[np.maximum(-(-k * size // n_bins) - 1, 0)], 0)

    first = before(descents)
    second = after(first)
    third = after(second)
    return np.stack([before(first), first, second, third, after(third)], axis=1)


def _last_of_each_bin(size: int, n_bins: int) -> NDArray[np.intp]:
    """Rank of the last item of each bin but the last: k * size / n_bins rounded up, in exact integer arithmetic."""
    return -(-np.arange(1, n_bins) * size // n_bins) - 1


def make_bins(confidence: FloatArray, n_bins: int, strategy: Strategy, weights: Float64Array | None = None) -> Bins:
    """Make bins by the name of their strategy; see `equal_width_bins` and `equal_mass_bins`.

    Raises:
        InvalidInput: there is no such strategy.
    """
    if strategy == "equal-width":
        return equal_width_bins(n_bins, confidence.dtype)
    if strategy == "equal-mass":
        return equal_mass_bins(confidence, n_bins, weights)
    raise InvalidInput(f"strategy is {strategy!r}; pass 'equal-width' or 'equal-mass'")


@dataclass(frozen=True)
class BinTotals:
    """Sums over each bin; the last axis is the bins.

    Attributes:
        weight: (..., n_bins) number (or weight) of items.
        confidence: (..., n_bins) sum of weight * confidence.
        correct: (..., n_bins) sum of weight * correct.
        squares: (..., n_bins) sum of squared weights.
    """

    weight: Float64Array
    confidence: Float64Array
    correct: Float64Array
    squares: Float64Array

    @classmethod
    def of(
        cls,
        bins: Bins,
        confidence: FloatArray,
        correct: BoolArray,
        weights: Float64Array | None = None,
    ) -> BinTotals:
        """Sum up confidences (N,) and correctness (N,), with weights (N,) if given."""
        # One joint index (bin, correct) gives both integer counts from a single pass.
        cells = 2 * bins.size
        counts, sums, squares = np.zeros(cells), np.zeros(cells), np.zeros(cells)
        for rows in _chunks(confidence.size):
            part = confidence[rows]
            cell = bins.index(part)
            cell += cell
            cell += correct[rows]
            if weights is None:
                counts += np.bincount(cell, minlength=cells)
                sums += np.bincount(cell, part, cells)
            else:
                counts += np.bincount(cell, weights[rows], cells)
                sums += np.bincount(cell, weights[rows] * part, cells)
                squares += np.bincount(cell, weights[rows] ** 2, cells)
        by_outcome = counts.reshape(-1, 2)
        weight = by_outcome.sum(axis=1)
        squared = weight if weights is None else squares.reshape(-1, 2).sum(axis=1)
        return cls(weight, sums.reshape(-1, 2).sum(axis=1), by_outcome[:, 1].copy(), squared)

    def __add__(self, other: BinTotals) -> BinTotals:
        return BinTotals(
            self.weight + other.weight,
            self.confidence + other.confidence,
            self.correct + other.correct,
            self.squares + other.squares,
        )

    @staticmethod
    def surplus(bins: Bins, confidence: FloatArray, correct: BoolArray) -> Float64Array:
        """Sum of correct - confidence in each bin (n_bins,): all that ECE needs, in two thirds of the time of the totals."""
        sums = np.zeros(bins.size)
        for rows in _chunks(confidence.size):
            part = confidence[rows]
            sums += np.bincount(bins.index(part), np.subtract(correct[rows], part, dtype=np.float64), bins.size)
        return sums

    def effective(self) -> Float64Array:
        """Effective number of items of each bin, (sum of weights)^2 / (sum of squared weights); 0 in empty bins."""
        return self.weight**2 / np.where(self.weight > 0, self.squares, 1)

    def gaps(self) -> Float64Array:
        """|accuracy - mean confidence| of each bin; 0 in empty bins."""
        return np.abs(self.correct - self.confidence) / np.where(self.weight > 0, self.weight, 1)


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, _CHUNK):
        yield slice(start, min(start + _CHUNK, size))
