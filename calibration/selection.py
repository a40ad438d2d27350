"""Which recalibrator to use, by nested cross-validation.

Inner folds choose, outer folds report: the confidences of an outer fold come from a recalibrator that was chosen and fitted
without it, so their score is what the whole procedure will score on new items, not the luck of the best of ten.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import (
    BoolArray,
    Float64Array,
    FloatArray,
    check_count,
    check_pair,
    check_probabilities,
    check_seed,
    unit_weights,
)
from calibration.errors import FewItemsWarning, InvalidInput
from calibration.recalibrators.multiclass import MulticlassRecalibrator
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = [
    "MULTICLASS_RECALIBRATORS",
    "RECALIBRATORS",
    "Selection",
    "check_recalibrator",
    "cross_validated_losses",
    "make_recalibrator",
    "select_multiclass_recalibrator",
    "select_recalibrator",
]

# From the fewest numbers learned to the most: of those that score about the same the first is used.
RECALIBRATORS: Mapping[str, str] = {
    "identity": "Identity",
    "temperature": "TemperatureScaling",
    "platt": "PlattScaling",
    "beta": "BetaCalibration",
    "spline": "SplineCalibration",
    "scaling-binning": "ScalingBinning",
    "histogram": "HistogramBinning",
    "bayesian-binning": "BayesianBinning",
    "venn-abers": "VennAbers",
    "isotonic": "IsotonicCalibration",
}
"""Class of each recalibrator of one confidence per item, by its short name."""

MULTICLASS_RECALIBRATORS: Mapping[str, str] = {
    "temperature": "MulticlassTemperatureScaling",
    "vector": "VectorScaling",
    "dirichlet": "DirichletCalibration",
    "matrix": "MatrixScaling",
}
"""Class of each recalibrator of class probabilities, by its short name."""

# A candidate that was certain of a mistake pays this much, and not everything.
_CLIP = 1e-9

Kind = TypeVar("Kind", Recalibrator, MulticlassRecalibrator)


@dataclass(frozen=True)
class Selection(Generic[Kind]):
    """A recalibrator chosen by cross-validation, and what choosing costs and gains on unseen items.

    Attributes:
        name: the choice.
        recalibrator: the choice, fitted on all N items.
        scores: mean log loss of every candidate over the folds of all items, in nats, on which the choice is based; that of
            the best is optimistic.
        held_out: (N,) confidences, or (N, K) class probabilities, each from the candidate that was chosen and fitted on the
            outer folds without the item; compare them with the outcomes for an honest report.
        chosen: how many outer folds chose which candidate.
    """

    name: str
    recalibrator: Kind
    scores: dict[str, float]
    held_out: Float64Array
    chosen: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The choice and the scores as plain values; the recalibrator has its own `save`."""
        return {"name": self.name, "scores": self.scores, "chosen": self.chosen}


def check_recalibrator(name: str) -> None:
    """Check the short name of a recalibrator.

    Raises:
        InvalidInput: no recalibrator has that name.
    """
    if not isinstance(name, str) or name not in RECALIBRATORS:
        raise InvalidInput(f"there is no recalibrator {name!r}; pass one of {', '.join(RECALIBRATORS)}")


def make_recalibrator(name: str) -> Recalibrator:
    """Make an unfitted recalibrator by its short name.

    Raises:
        InvalidInput: no recalibrator has that name.
    """
    check_recalibrator(name)
    import calibration

    recalibrator: Recalibrator = getattr(calibration, RECALIBRATORS[name])()
    return recalibrator


def select_recalibrator(
    confidence: ArrayLike,
    correct: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    candidates: Mapping[str, Recalibrator] | None = None,
    n_outer: int = 5,
    n_inner: int = 5,
    seed: int = 0,
) -> Selection[Recalibrator]:
    """Choose the first candidate whose log loss in cross-validation is within one standard error of the least.

    The standard error is that of the paired difference to the best candidate over the items (the one-standard-error rule of
    Breiman et al. 1984). The log loss tells probabilities near 0 and 1 from each other, where the Brier score hardly does.
    Folds hold right and wrong items in equal shares as far as their numbers allow.

    Args:
        confidence: (N,) in [0, 1], N >= 2.
        correct: (N,) booleans.
        sample_weight: (N,) of any scale, at least 0.
        candidates: unfitted recalibrators by name, the simplest first; None for all of `RECALIBRATORS`.
        n_outer, n_inner: numbers of folds, at least 2; more than N count as N.
        seed: of the folds.

    Raises:
        InvalidInput: an array or an option is unusable.
    """
    _check_candidates(candidates, Recalibrator)
    values, truth = check_pair(confidence, correct)
    weights = unit_weights(sample_weight, values.size)
    known = {name: make_recalibrator(name) for name in RECALIBRATORS} if candidates is None else dict(candidates)
    return _Nested(values, truth, weights, known).select(n_outer, n_inner, seed)


def select_multiclass_recalibrator(
    probabilities: ArrayLike,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    candidates: Mapping[str, MulticlassRecalibrator] | None = None,
    n_outer: int = 5,
    n_inner: int = 5,
    seed: int = 0,
) -> Selection[MulticlassRecalibrator]:
    """Choose a recalibrator of class probabilities by the rule of `select_recalibrator`.

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1, N >= 2.
        labels: (N,) integers in 0..K-1.
        sample_weight: (N,) of any scale, at least 0.
        candidates: unfitted recalibrators by name, the simplest first; None for those of `MULTICLASS_RECALIBRATORS`, without
            the two that learn a matrix if there are fewer items than its entries.
        n_outer, n_inner: numbers of folds, at least 2; more than N count as N.
        seed: of the folds.

    Raises:
        InvalidInput: an array or an option is unusable.
    """
    _check_candidates(candidates, MulticlassRecalibrator)
    matrix, classes = check_probabilities(probabilities, labels)
    weights = unit_weights(sample_weight, classes.size)
    if candidates is None:
        import calibration

        few = classes.size < matrix.shape[1] ** 2
        names = list(MULTICLASS_RECALIBRATORS)[: 2 if few else None]
        candidates = {name: getattr(calibration, MULTICLASS_RECALIBRATORS[name])() for name in names}
    with warnings.catch_warnings():
        # Few items in a fold are a reason to choose another candidate, which the scores show.
        warnings.simplefilter("ignore", FewItemsWarning)
        return _Nested(matrix, classes, weights, dict(candidates)).select(n_outer, n_inner, seed)


def cross_validated_losses(
    confidence: Float64Array,
    correct: BoolArray,
    weights: Float64Array,
    candidates: Mapping[str, Recalibrator],
    *,
    n_folds: int = 5,
    seed: int = 0,
) -> dict[str, Float64Array]:
    """The log loss (N,) of every candidate on each item, in nats, fitted without the item's fold; arguments are checked."""
    return _Nested(confidence, correct, weights, candidates)._losses(n_folds, seed)


def _check_candidates(candidates: object, kind: type) -> None:
    usable = isinstance(candidates, Mapping) and candidates and all(isinstance(v, kind) for v in candidates.values())
    if candidates is not None and not usable:
        raise InvalidInput(f"candidates is {candidates!r}; pass at least one recalibrator by its name, as a dict")


@dataclass(frozen=True)
class _Nested(Generic[Kind]):
    """Nested cross-validation of candidates.

    Attributes:
        values: (N,) confidences or (N, K) class probabilities.
        outcomes: (N,) booleans or labels.
        weights: (N,).
        candidates: by name, the simplest first.
    """

    values: FloatArray
    outcomes: NDArray[Any]
    weights: Float64Array
    candidates: Mapping[str, Kind]

    def select(self, n_outer: int, n_inner: int, seed: int) -> Selection[Kind]:
        check_count(n_outer, "n_outer", least=2)
        check_count(n_inner, "n_inner", least=2)
        check_seed(seed)
        if self.weights.size < 2:
            raise InvalidInput("one item cannot be split into folds; pass at least two")
        held_out = np.empty(self.values.shape)
        chosen: Counter[str] = Counter()
        for number, (train, fold) in enumerate(_splits(_folds(self.outcomes, n_outer, seed))):
            part = self._part(train)
            # A training part of one item has no folds of its own: the first candidate is used.
            few = train.sum() < 2 or not part.weights.any()
            name = next(iter(self.candidates)) if few else _choice(part._losses(n_inner, seed + 1 + number), part.weights)
            chosen[name] += 1
            held_out[fold] = part._fitted(name).predict(self.values[fold])
        losses = self._losses(n_inner, seed)
        best = _choice(losses, self.weights)
        scores = {name: float(self.weights @ loss / self.weights.sum()) for name, loss in losses.items()}
        return Selection(best, self._fitted(best), scores, held_out, dict(chosen))

    def _part(self, rows: BoolArray) -> _Nested[Kind]:
        return _Nested(self.values[rows], self.outcomes[rows], self.weights[rows], self.candidates)

    def _fitted(self, name: str) -> Kind:
        from sklearn.base import clone

        fitted: Kind = clone(self.candidates[name]).fit(self.values, self.outcomes, self.weights)
        return fitted

    def _losses(self, n_folds: int, seed: int) -> dict[str, Float64Array]:
        """Log loss (N,) of every candidate on each item, fitted without the item's fold."""
        losses = {name: np.zeros(self.weights.size) for name in self.candidates}
        for train, fold in _splits(_folds(self.outcomes, n_folds, seed)):
            part, outcomes = self._part(train), self.outcomes[fold]
            if not part.weights.any():
                continue
            for name in self.candidates:
                p = part._fitted(name).predict(self.values[fold])
                likelihood = np.where(outcomes, p, 1 - p) if p.ndim == 1 else p[np.arange(outcomes.size), outcomes]
                losses[name][fold] = -np.log(np.maximum(likelihood, _CLIP))
        return losses


def _choice(losses: Mapping[str, Float64Array], weights: Float64Array) -> str:
    """The first candidate whose mean loss (N,) exceeds the least by at most one standard error of the difference."""
    mean = {name: float(weights @ loss / weights.sum()) for name, loss in losses.items()}
    best = min(mean, key=mean.__getitem__)
    for name, loss in losses.items():
        difference = loss - losses[best]
        excess = mean[name] - mean[best]
        error = float(np.sqrt((weights**2) @ (difference - excess) ** 2)) / weights.sum()
        if excess <= error:
            return name
    return best


def _folds(outcomes: NDArray[Any], n_folds: int, seed: int) -> NDArray[np.intp]:
    """The fold (N,) of each item: items of each outcome are dealt out in turn, in random order."""
    shuffled = np.random.default_rng(seed).permutation(outcomes.size)
    dealt = shuffled[np.argsort(outcomes[shuffled], kind="stable")]
    folds = np.empty(outcomes.size, dtype=np.intp)
    folds[dealt] = np.arange(outcomes.size) % min(n_folds, outcomes.size)
    return folds


def _splits(folds: NDArray[np.intp]) -> Iterator[tuple[BoolArray, BoolArray]]:
    """For each fold the masks (N,) of the items to train on and of the fold itself."""
    for number in range(int(folds.max()) + 1):
        yield folds != number, folds == number
