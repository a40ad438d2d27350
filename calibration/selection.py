"""Which recalibrator to use, by nested cross-validation.

Inner folds choose, outer folds report: the confidences of an outer fold come from a recalibrator that was chosen and fitted
without it, so their score is what the whole procedure will score on new items, not the luck of the best of ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, FloatArray, check_count, check_pair, check_seed, unit_weights
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["RECALIBRATORS", "Selection", "check_recalibrator", "make_recalibrator", "select_recalibrator"]

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

# A candidate that was certain of a mistake pays this much, and not everything.
_CLIP = 1e-9


@dataclass(frozen=True)
class Selection:
    """A recalibrator chosen by cross-validation, and what choosing costs and gains on unseen items.

    Attributes:
        name: the choice.
        recalibrator: the choice, fitted on all N items.
        scores: mean log loss of every candidate over the folds of all items, in nats, on which the choice is based; that of
            the best is optimistic.
        held_out: (N,) confidences, each from the candidate that was chosen and fitted on the outer folds without the item;
            compare them with `correct` for an honest report.
        chosen: how many outer folds chose which candidate.
    """

    name: str
    recalibrator: Recalibrator
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
) -> Selection:
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
    usable = isinstance(candidates, Mapping) and candidates and all(isinstance(v, Recalibrator) for v in candidates.values())
    if candidates is not None and not usable:
        raise InvalidInput(f"candidates is {candidates!r}; pass at least one recalibrator by its name, as a dict")
    check_count(n_outer, "n_outer", least=2)
    check_count(n_inner, "n_inner", least=2)
    check_seed(seed)
    values, truth = check_pair(confidence, correct)
    if values.size < 2:
        raise InvalidInput("one item cannot be split into folds; pass at least two")
    weights = unit_weights(sample_weight, values.size)
    known = {name: make_recalibrator(name) for name in RECALIBRATORS} if candidates is None else dict(candidates)
    held_out = np.empty(values.size)
    chosen: Counter[str] = Counter()
    for number, (train, fold) in enumerate(_splits(_folds(truth, n_outer, seed))):
        # A training part of one item has no folds of its own: the first candidate is used.
        part = (values[train], truth[train], weights[train])
        few = train.sum() < 2 or not weights[train].any()
        name = next(iter(known)) if few else _choice(_losses(*part, known, n_inner, seed + 1 + number), part[2])
        chosen[name] += 1
        held_out[fold] = _fitted(known[name], *part).transform(values[fold])
    losses = _losses(values, truth, weights, known, n_inner, seed)
    best = _choice(losses, weights)
    scores = {name: float(weights @ loss / weights.sum()) for name, loss in losses.items()}
    return Selection(best, _fitted(known[best], values, truth, weights), scores, held_out, dict(chosen))


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


def _losses(
    confidence: FloatArray,
    correct: BoolArray,
    weights: Float64Array,
    candidates: Mapping[str, Recalibrator],
    n_folds: int,
    seed: int,
) -> dict[str, Float64Array]:
    """Log loss (N,) of every candidate on each item, fitted without the item's fold."""
    losses = {name: np.zeros(confidence.size) for name in candidates}
    for train, fold in _splits(_folds(correct, n_folds, seed)):
        if not weights[train].any():
            continue
        for name, candidate in candidates.items():
            fitted = _fitted(candidate, confidence[train], correct[train], weights[train])
            p = fitted.transform(confidence[fold])
            losses[name][fold] = -np.log(np.maximum(np.where(correct[fold], p, 1 - p), _CLIP))
    return losses


def _fitted(candidate: Recalibrator, confidence: FloatArray, correct: BoolArray, weights: Float64Array) -> Recalibrator:
    from sklearn.base import clone

    fitted: Recalibrator = clone(candidate).fit(confidence, correct, weights)
    return fitted


def _folds(correct: BoolArray, n_folds: int, seed: int) -> NDArray[np.intp]:
    """The fold (N,) of each item: right and wrong items are dealt out in turn, each in random order."""
    shuffled = np.random.default_rng(seed).permutation(correct.size)
    dealt = shuffled[np.argsort(correct[shuffled], kind="stable")]
    folds = np.empty(correct.size, dtype=np.intp)
    folds[dealt] = np.arange(correct.size) % min(n_folds, correct.size)
    return folds


def _splits(folds: NDArray[np.intp]) -> Iterator[tuple[BoolArray, BoolArray]]:
    """For each fold the masks (N,) of the items to train on and of the fold itself."""
    for number in range(int(folds.max()) + 1):
        yield folds != number, folds == number
