"""Bins of confidence and the totals of what falls in them.

Bins are (a, b], the first closed on both sides: 0 belongs to the first bin, 1 to the last, and a confidence that
equals an edge to the bin below it. Edges are k / n rounded to the type of the confidences, so that a float32 0.2 lies
on the edge 0.2. Equal confidences never part: equal-mass bins are cut at observed values, and where ties are longer
than a bin there are fewer bins than asked for.

Totals are sums, so that those of shards add up to those of the whole. Work goes through 32,768 rows at a time: the
temporaries stay in cache and take half a megabyte whatever the input.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray, FloatArray
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap

__all__ = [
    "BinTotals",
    "Bins",
    "Strategy",
    "equal_mass_bins",
    "equal_mass_edges_of_sorted",
    "equal_width_bins",
    "make_bins",
    "resample_totals",
]

Strategy = Literal["equal-width", "equal-mass"]

_CHUNK = 1 << 15
# Up to this many rows the bootstrap draws rows; beyond it, cell counts (see resample_totals).
_ROWS_DRAWN_ONE_BY_ONE = 10_000


@dataclass(frozen=True)
class Bins:
    """Cuts of [0, 1]: `edges` (n_bins + 1,) from 0 to 1; `evenly` when they are k / n_bins."""

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
        # The product may be rounded across an edge (0.07 * 100 > 7), but only when it is within rounding of one. Such a
        # chunk, and only such a one, is compared with the edges themselves.
        slack = 4 * self.size * float(np.finfo(confidence.dtype).eps)
        if scaled.min() <= slack or scaled.max() >= 1 - slack:
            np.clip(index, 0, self.size - 1, out=index)
            index += (confidence > self.edges[index + 1]).astype(np.intp)
            index -= ((confidence <= self.edges[index]) & (index > 0)).astype(np.intp)
        return index


def equal_width_bins(n_bins: int, dtype: np.dtype[np.floating] | type[np.floating] = np.float64) -> Bins:
    """Bins of width 1 / n_bins."""
    return Bins((np.arange(n_bins + 1) / n_bins).astype(dtype), evenly=True)


def equal_mass_bins(confidence: FloatArray, n_bins: int, weights: NDArray[np.float64] | None = None) -> Bins:
    """Bins with as equal a number of items as ties allow; upper edges are observed confidences."""
    if weights is None:
        rank = _last_of_each_bin(confidence.size, n_bins)
        inner = np.partition(confidence, np.unique(rank))[rank] if rank.size else confidence[:0]
    else:
        order = np.argsort(confidence, kind="stable")
        mass = np.cumsum(weights[order])
        wanted = np.arange(1, n_bins) * (mass[-1] / n_bins)
        place = np.searchsorted(mass, wanted * (1 - 1e-12), side="left")
        inner = confidence[order][np.minimum(place, confidence.size - 1)]
    inner = np.unique(inner)
    # An edge at or above the largest confidence would leave an empty bin behind it.
    inner = inner[inner < (confidence.max() if weights is None else confidence[weights > 0].max())]
    zero, one = confidence.dtype.type(0), confidence.dtype.type(1)
    return Bins(np.concatenate([[zero], inner, [one]]).astype(confidence.dtype), evenly=False)


def equal_mass_edges_of_sorted(values: FloatArray, n_bins: int) -> FloatArray:
    """Inner edges of equal-mass bins, as `equal_mass_bins` places them, from confidences already sorted."""
    edges = np.unique(values[_last_of_each_bin(values.size, n_bins)])
    below: FloatArray = edges[edges < values[-1]]
    return below


def _last_of_each_bin(size: int, n_bins: int) -> NDArray[np.intp]:
    # Integer arithmetic: k * size / n_bins rounded up, without the floating-point product's errors.
    return -(-np.arange(1, n_bins) * size // n_bins) - 1


def make_bins(confidence: FloatArray, n_bins: int, strategy: Strategy, weights: NDArray[np.float64] | None = None) -> Bins:
    """Bins by name; InvalidInput for a name that is not a Strategy."""
    if strategy == "equal-width":
        return equal_width_bins(n_bins, confidence.dtype)
    if strategy == "equal-mass":
        return equal_mass_bins(confidence, n_bins, weights)
    raise InvalidInput(f"strategy is {strategy!r}; pass 'equal-width' or 'equal-mass'")


@dataclass(frozen=True)
class BinTotals:
    """Sums over each bin, the last axis being the bins: weight, weight * confidence and weight * correct."""

    weight: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        bins: Bins,
        confidence: FloatArray,
        correct: BoolArray,
        weights: NDArray[np.float64] | None = None,
    ) -> "BinTotals":
        """Totals of confidences (N,) and correctness (N,)."""
        # One joint index (bin, correct) gives both integer counts from a single pass.
        cells = 2 * bins.size
        counts, sums = np.zeros(cells), np.zeros(cells)
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
        by_outcome = counts.reshape(-1, 2)
        return cls(by_outcome.sum(axis=1), sums.reshape(-1, 2).sum(axis=1), by_outcome[:, 1].copy())

    def __add__(self, other: "BinTotals") -> "BinTotals":
        return BinTotals(self.weight + other.weight, self.confidence + other.confidence, self.correct + other.correct)

    @staticmethod
    def surplus(bins: Bins, confidence: FloatArray, correct: BoolArray) -> NDArray[np.float64]:
        """Sum of correct - confidence in each bin: all that ECE needs, in two thirds of the time of the three totals."""
        sums = np.zeros(bins.size)
        for rows in _chunks(confidence.size):
            part = confidence[rows]
            sums += np.bincount(bins.index(part), np.subtract(correct[rows], part, dtype=np.float64), bins.size)
        return sums

    def gaps(self) -> NDArray[np.float64]:
        """|accuracy - mean confidence| of each bin; 0 in empty bins."""
        return np.abs(self.correct - self.confidence) / np.where(self.weight > 0, self.weight, 1)


def resample_totals(
    bins: Bins,
    confidence: FloatArray,
    correct: BoolArray,
    weights: NDArray[np.float64] | None,
    plan: Bootstrap,
) -> BinTotals:
    """Totals of every bootstrap resample, each field of shape (n_resamples, n_bins); bins stay where they are.

    With weights, or up to 10,000 rows, rows are drawn one by one. Beyond that the resample's numbers of right and wrong
    items in each bin are drawn at once from their exact law, the multinomial over cells (bin, right or wrong). Only the
    sum of the confidences within a cell is not fixed by those counts; its mean and variance given the counts are
    matched exactly and its shape taken as normal. Its spread is at most half a bin's width, next to the spread of 0/1
    outcomes.
    """
    generator = np.random.default_rng(plan.seed)
    if weights is not None or confidence.size <= _ROWS_DRAWN_ONE_BY_ONE:
        return _resample_rows(bins, confidence, correct, weights, plan.n_resamples, generator)
    cells = 2 * bins.size
    counts, sums, squares = np.zeros(cells), np.zeros(cells), np.zeros(cells)
    for rows in _chunks(confidence.size):
        part = confidence[rows].astype(np.float64)
        cell = bins.index(confidence[rows]) * 2 + correct[rows]
        counts += np.bincount(cell, minlength=cells)
        sums += np.bincount(cell, part, cells)
        squares += np.bincount(cell, part * part, cells)
    # Empty cells are never drawn: leaving them out saves their share of the work.
    full = np.flatnonzero(counts)
    mean = sums[full] / counts[full]
    variance = np.maximum(squares[full] / counts[full] - mean**2, 0)
    drawn = generator.multinomial(confidence.size, counts[full] / confidence.size, size=plan.n_resamples)
    noise = generator.standard_normal(drawn.shape) * np.sqrt(drawn * variance)
    count, total = np.zeros((plan.n_resamples, cells)), np.zeros((plan.n_resamples, cells))
    count[:, full] = drawn
    total[:, full] = drawn * mean + noise
    by_outcome = count.reshape(plan.n_resamples, -1, 2)
    return BinTotals(by_outcome.sum(axis=2), total.reshape(plan.n_resamples, -1, 2).sum(axis=2), by_outcome[:, :, 1])


def _resample_rows(
    bins: Bins,
    confidence: FloatArray,
    correct: BoolArray,
    weights: NDArray[np.float64] | None,
    n_resamples: int,
    generator: np.random.Generator,
) -> BinTotals:
    row_weight = np.ones(confidence.size) if weights is None else weights
    index = bins.index(confidence)
    columns = np.stack([row_weight, row_weight * confidence, row_weight * correct])
    totals = np.empty((3, n_resamples, bins.size))
    for draw in range(n_resamples):
        counts = np.bincount(generator.integers(0, index.size, index.size), minlength=index.size)
        for kind in range(3):
            totals[kind, draw] = np.bincount(index, columns[kind] * counts, bins.size)
    return BinTotals(*totals)


def _chunks(size: int) -> Iterator[slice]:
    for start in range(0, size, _CHUNK):
        yield slice(start, min(start + _CHUNK, size))
