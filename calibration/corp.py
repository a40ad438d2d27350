"""The CORP reliability diagram and score decomposition: isotonic regression in place of bins.

Dimitriadis, Gneiting & Jordan (2021, arXiv 2008.03033): the isotonic fit of correctness to confidence needs no number of
bins, and splits a proper score into miscalibration, discrimination and uncertainty. Not covered: bins (reliability.py),
Murphy's decomposition over bins (scores.py), and the fit as a recalibrator (recalibrators/isotonic.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, FloatArray, check_pair, unit_weights
from calibration.estimate import Bootstrap, as_bootstrap

__all__ = ["CorpCurve", "ScoreDecomposition", "corp_curve", "score_decomposition"]

# Confidences are grouped into at most so many before the consistency band is drawn; it would look the same with more.
_GROUPS = 1000


@dataclass(frozen=True)
class CorpCurve:
    """Isotonic fit of accuracy to confidence, at M confidences.

    Attributes:
        confidence: (M,) ascending.
        accuracy: (M,) the fit, ascending.
        low, high: (M,) ends of the consistency band: where the fit of a calibrated model would lie at each confidence, with
            the probability that was asked for; equal to the confidence if no band was requested.
    """

    confidence: Float64Array
    accuracy: Float64Array
    low: Float64Array
    high: Float64Array

    def to_dict(self) -> dict[str, list[float]]:
        """Every column as a list of plain numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class ScoreDecomposition:
    """Brier score = miscalibration - discrimination + uncertainty.

    Attributes:
        brier: the Brier score.
        miscalibration: MCB, what the isotonic fit improves on the confidences; lower is better.
        discrimination: DSC, what the isotonic fit improves on the overall accuracy; higher is better.
        uncertainty: UNC, accuracy * (1 - accuracy).
    """

    brier: float
    miscalibration: float
    discrimination: float
    uncertainty: float

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def corp_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    band: float | Bootstrap | None = None,
) -> CorpCurve:
    """Fit accuracy to confidence by isotonic regression.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0. The band is that of as many items without weights.
        band: level in (0, 1) of a consistency band at each confidence, or Bootstrap; None for none.

    Raises:
        InvalidInput: an argument is unusable.

    >>> corp_curve([0.2, 0.4, 0.6, 0.8], [False, True, False, True]).accuracy.tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    from scipy.optimize import isotonic_regression

    plan = None if band is None else as_bootstrap(band)
    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    kept = mass > 0
    distinct, mass, right = _grouped(values[kept], truth[kept].astype(np.float64), mass[kept])
    fitted = isotonic_regression(right / mass, weights=mass).x
    if plan is None:
        return CorpCurve(distinct, fitted, distinct, distinct)
    groups = np.minimum((np.arange(values.size) * min(_GROUPS, values.size)) // values.size, _GROUPS - 1)
    ordered = np.sort(values.astype(np.float64))
    size = np.bincount(groups).astype(np.float64)
    mean = np.bincount(groups, ordered) / size
    generator = np.random.default_rng(plan.seed)
    draws = np.stack(
        [
            isotonic_regression(generator.binomial(size.astype(np.intp), np.clip(mean, 0, 1)) / size, weights=size).x
            for _ in range(plan.n_resamples)
        ]
    )
    low, high = np.quantile(draws, [(1 - plan.level) / 2, (1 + plan.level) / 2], axis=0)
    return CorpCurve(distinct, fitted, np.interp(distinct, mean, low), np.interp(distinct, mean, high))


def score_decomposition(
    confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None
) -> ScoreDecomposition:
    """Split the Brier score by the isotonic fit; all parts are at least 0.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.

    Raises:
        InvalidInput: an argument is unusable.
    """
    from scipy.optimize import isotonic_regression

    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    mass = mass / mass.sum()
    kept = mass > 0
    distinct, share, right = _grouped(values[kept], truth[kept].astype(np.float64), mass[kept])
    accuracy = right / share
    fitted = isotonic_regression(accuracy, weights=share).x
    base = float(right.sum())
    # Outcomes vary within a group of equal confidence; that part is common to all three scores.
    within = float(share @ (accuracy * (1 - accuracy)))
    brier, recalibrated, uncertainty = (
        float(share @ (forecast - accuracy) ** 2) + within for forecast in (distinct, fitted, np.full(distinct.size, base))
    )
    return ScoreDecomposition(brier, max(brier - recalibrated, 0.0), max(uncertainty - recalibrated, 0.0), uncertainty)


def _grouped(
    values: FloatArray, outcomes: Float64Array, mass: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The distinct confidences (M,), ascending, with the weight of their items and of the right ones."""
    distinct, group = np.unique(values.astype(np.float64), return_inverse=True)
    total, right = (np.bincount(group, part, distinct.size).astype(np.float64) for part in (mass, mass * outcomes))
    return distinct, total, right
