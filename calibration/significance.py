"""Tests of calibration: could a calibrated model have an error this large by chance?

Not covered: how large the true error may be (the `interval` of the errors), and Spiegelhalter's Z (scores.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import Float64Array, FloatArray, check_count, check_pair, check_seed, unit_weights
from calibration.binless_error import smooth_errors
from calibration.binning import Strategy, make_bins
from calibration.errors import InvalidInput

__all__ = ["CalibrationTest", "Statistic", "calibration_test"]

Statistic = Literal["smooth", "kolmogorov-smirnov", "ece"]

_STREAM = 2007
# Cells of the smooth error: coarser than that of the estimate, and the same for all models that are compared.
_GRID = 512
_BATCH = 64


@dataclass(frozen=True)
class CalibrationTest:
    """The result of `calibration_test`.

    Attributes:
        statistic: the calibration error of the items.
        p_value: the share of calibrated models with such items whose error is at least as large, in (0, 1].
        expected: the mean error of calibrated models with such items: what noise alone gives.
    """

    statistic: float
    p_value: float
    expected: float

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return {"statistic": self.statistic, "p_value": self.p_value, "expected": self.expected}


def calibration_test(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    statistic: Statistic = "smooth",
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    n_resamples: int = 999,
    seed: int = 0,
) -> CalibrationTest:
    """Test whether every item is right with the probability that its confidence states.

    Outcomes are drawn from the confidences themselves (consistency resampling, Broecker & Smith 2007), so the p-value is
    exact for any number of items: under calibration it is at most a with probability at most a.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        statistic: the error that is compared: "smooth", "kolmogorov-smirnov" or "ece".
        n_bins, strategy: of "ece".
        weights: (N,) of any scale, at least 0.
        n_resamples: number of calibrated models, at least 1.
        seed: of their outcomes.

    Raises:
        InvalidInput: an argument is unusable.

    >>> calibration_test([0.9] * 20, [True] * 10 + [False] * 10).p_value
    0.001
    """
    if statistic not in get_args(Statistic):
        raise InvalidInput(f"statistic is {statistic!r}; pass one of {', '.join(get_args(Statistic))}")
    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    cell, size = _cells(statistic, values, check_count(n_bins, "n_bins"), strategy, None if weights is None else mass)
    # A stream of its own: the items may have been drawn with the same small seed.
    generator = np.random.default_rng([check_seed(seed), _STREAM])
    share, p = mass / mass.sum(), values.astype(np.float64)
    errors = np.empty(1 + check_count(n_resamples, "n_resamples"))
    for start in range(0, errors.size, _BATCH):
        stop = min(start + _BATCH, errors.size)
        surplus = np.empty((stop - start, size))
        for row in range(start, stop):
            outcome = generator.random(p.size) < p if row else truth
            surplus[row - start] = np.bincount(cell, share * (outcome - p), size)
        errors[start:stop] = _errors(statistic, surplus)
    observed, drawn = float(errors[0]), errors[1:]
    # Some slack, so that rounding does not split ties.
    above = int((drawn >= observed - 1e-9).sum())
    return CalibrationTest(observed, (1 + above) / (1 + drawn.size), float(drawn.mean()))


def _cells(
    statistic: Statistic, confidence: FloatArray, n_bins: int, strategy: Strategy, weights: Float64Array | None
) -> tuple[NDArray[np.intp], int]:
    """The cell (N,) of each item, and the number of cells, whose surpluses give the statistic."""
    if statistic == "ece":
        bins = make_bins(confidence, n_bins, strategy, weights)
        return bins.index(confidence), bins.size
    if statistic == "smooth":
        return np.minimum((confidence.astype(np.float64) * _GRID).astype(np.intp), _GRID - 1), _GRID
    distinct, group = np.unique(confidence, return_inverse=True)
    return group, distinct.size


def _errors(statistic: Statistic, surplus: Float64Array) -> Float64Array:
    """The error of each row of surpluses (R, cells)."""
    if statistic == "smooth":
        return smooth_errors(surplus)
    gaps = np.abs(surplus) if statistic == "ece" else np.abs(np.cumsum(surplus, axis=1))
    return np.asarray(gaps.sum(axis=1) if statistic == "ece" else gaps.max(axis=1))
