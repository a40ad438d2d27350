"""Figures of a benchmark with their intervals, and paired differences of two runs.

A figure is a function of row weights, so that the same function gives the value (weights of 1) and bootstrap resamples of
it. A share of rows gets Wilson's interval instead, which also holds at 0 and 1. Where all resamples agree, as for the mean
of equal rows, the bootstrap would claim certainty. The interval then allows that only a share p of all rows is like these,
with p^n = 2.5 % (Clopper and Pearson 1934, for n of n), and that the others are at either bound of the figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.records import Record

__all__ = [
    "Curve",
    "Difference",
    "Figure",
    "Measured",
    "difference",
    "groups",
    "mean",
    "measure",
    "ratio",
    "share",
    "wilson",
]

FloatArray = NDArray[np.float64]
LEVEL = 0.95
# Below it, resamples differ by rounding alone.
_LEAST_WIDTH = 1e-12


@dataclass(frozen=True)
class Figure:
    """A figure of N rows.

    Attributes:
        name: what is measured; a group follows after a colon ("accuracy: age").
        kernel: from row weights (N,) to the figure; NaN where it is undefined.
        n: number of rows that the figure is about.
        successes: number of these rows that count, if the figure is their share.
        bounds: the least and the greatest value that the figure can have; None if there are none.
    """

    name: str
    kernel: Callable[[FloatArray], float]
    n: int
    successes: int | None = None
    bounds: tuple[float, float] | None = (0.0, 1.0)


@dataclass(frozen=True)
class Measured(Record):
    """A figure with its 95 % interval; both are None where the figure is undefined, the interval where it is unknown."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Difference(Record):
    """How much a figure changed from an earlier run to this one, on the rows of both, with its 95 % bootstrap interval."""

    name: str
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Curve(Record):
    """A curve to plot: its axes and its points (x, y)."""

    x: str
    y: str
    points: tuple[tuple[float, float], ...]


def share(name: str, hits: ArrayLike, among: ArrayLike | None = None) -> Figure:
    """The share of rows that count.

    Args:
        name: what is measured.
        hits: (N,) booleans.
        among: (N,) booleans, the rows that the share is of; all by default.
    """
    counted = np.asarray(hits, dtype=bool)
    rows = np.ones_like(counted) if among is None else np.asarray(among, dtype=bool)
    return Figure(name, _ratio_kernel(counted & rows, rows), int(rows.sum()), int((counted & rows).sum()))


def mean(
    name: str,
    values: ArrayLike,
    among: ArrayLike | None = None,
    *,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> Figure:
    """The mean of (N,) values, which are within the bounds, over the rows `among`, all by default."""
    numbers = np.asarray(values, dtype=np.float64)
    rows = np.ones(numbers.shape, dtype=bool) if among is None else np.asarray(among, dtype=bool)
    return Figure(name, _ratio_kernel(np.where(rows, numbers, 0.0), rows), int(rows.sum()), bounds=bounds)


def ratio(numerator: float | FloatArray, denominator: float | FloatArray) -> float:
    """The ratio of two sums; NaN if the second is 0."""
    return float(numerator) / float(denominator) if denominator else math.nan


def measure(figure: Figure, n_rows: int) -> Measured:
    """Compute a figure of `n_rows` rows with its interval."""
    value = figure.kernel(np.ones(n_rows)) if n_rows else math.nan
    if math.isnan(value):
        return Measured(figure.name, None, None, None, figure.n)
    if figure.successes is not None:
        return Measured(figure.name, value, *wilson(figure.successes, figure.n), figure.n)
    return Measured(figure.name, value, *_bootstrap(figure.kernel, value, n_rows, figure.n, figure.bounds), figure.n)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927); (0, 1) without trials."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    interval = binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def difference(before: Figure, after: Figure, n_rows: int) -> Difference:
    """Compare a figure of two runs over the same `n_rows` rows, which are resampled together."""
    ones = np.ones(n_rows)
    old, new = before.kernel(ones), after.kernel(ones)
    if math.isnan(old) or math.isnan(new):
        defined = [None if math.isnan(value) else value for value in (old, new)]
        return Difference(after.name, defined[0], defined[1], None, None, None, n_rows)
    change = new - old
    bounds = None if after.bounds is None else (after.bounds[0] - after.bounds[1], after.bounds[1] - after.bounds[0])
    low, high = _bootstrap(
        lambda weights: after.kernel(weights) - before.kernel(weights), change, n_rows, min(before.n, after.n), bounds
    )
    return Difference(after.name, old, new, change, low, high, n_rows)


def _bootstrap(
    kernel: Callable[[FloatArray], float], value: float, n_rows: int, n: int, bounds: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    from calibration.estimate import estimate

    interval = estimate(kernel, np.ones(n_rows), LEVEL)
    if interval.low is not None and interval.high is not None and interval.high - interval.low > _LEAST_WIDTH:
        return interval.low, interval.high
    if bounds is None:
        return None, None
    equal = ((1 - LEVEL) / 2) ** (1 / max(n, 1))
    return equal * value + (1 - equal) * bounds[0], equal * value + (1 - equal) * bounds[1]


def groups(values: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each distinct value in order, with the (N,) mask of its rows."""
    array = np.asarray(values, dtype=object)
    return [(value, array == value) for value in sorted(set(values))]


def _ratio_kernel(numerator: ArrayLike, denominator: ArrayLike) -> Callable[[FloatArray], float]:
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return lambda weights: ratio(float(weights @ above), float(weights @ below))
