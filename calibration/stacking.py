"""A mixture of recalibrators, weighted by cross-validation: `StackedRecalibrator`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from calibration.arrays import BoolArray, Float64Array, check_count, check_seed
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.selection import cross_validated_losses, make_recalibrator

__all__ = ["StackedRecalibrator"]

_SMOOTH = ("identity", "temperature", "platt", "beta", "spline", "isotonic")


class StackedRecalibrator(Recalibrator):
    """A weighted mean of recalibrators, with the weights of least log loss on held-out items (Wolpert 1992).

    Where several recalibrators are about equally good, the mean of their values is better than each, while choosing one
    (`select_recalibrator`) is simpler to explain. The default ones never reverse the order of items, so that the mean does
    not either.

    Args:
        candidates: short names of `RECALIBRATORS`; None for the identity, temperature, Platt, beta, spline and isotonic.
        n_folds: number of folds, at least 2.
        seed: of the folds.

    Attributes:
        recalibrators_: those of weight above 0, fitted on all items.
        weight_: of each, above 0; they sum to 1.
    """

    increasing: ClassVar[bool] = False
    recalibrators_: list[Recalibrator]
    weight_: Float64Array

    def __init__(self, candidates: Sequence[str] | None = None, n_folds: int = 5, seed: int = 0) -> None:
        self.candidates = candidates
        self.n_folds = n_folds
        self.seed = seed

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        check_count(self.n_folds, "n_folds", least=2)
        check_seed(self.seed)
        names = _SMOOTH if self.candidates is None else self.candidates
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise InvalidInput(f"candidates is {names!r}; pass short names of recalibrators, as a list")
        known = {name: make_recalibrator(name) for name in names}
        losses = cross_validated_losses(confidence, correct, weights, known, n_folds=self.n_folds, seed=self.seed)
        weight = _mixture(np.exp(-np.stack([losses[name] for name in known], axis=1)), weights)
        kept = weight > 1e-3
        self.weight_ = weight[kept] / weight[kept].sum()
        self.recalibrators_ = [
            recalibrator.fit(confidence, correct, weights)
            for recalibrator, used in zip(known.values(), kept, strict=True)
            if used
        ]

    def _transform(self, confidence: Float64Array) -> Float64Array:
        values = np.stack([recalibrator.predict(confidence) for recalibrator in self.recalibrators_])
        return np.asarray(self.weight_ @ values)


def _mixture(likelihood: Float64Array, weights: Float64Array) -> Float64Array:
    """The weights (K,) of least log loss of a mixture with likelihoods (N, K), by expectation and maximization."""
    share = weights / weights.sum()
    mixture = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(300):
        part = mixture * likelihood
        mixture = share @ (part / part.sum(axis=1, keepdims=True))
    return mixture
