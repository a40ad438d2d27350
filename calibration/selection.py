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

from calibration.arrays import BoolArray, Float64Array, FloatArray, check_count, check_pair, check_seed
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["RECALIBRATORS", "Selection", "check_recalibrator", "make_recalibrator", "select_recalibrator"]

# From the fewest numbers learned to the most: of two that score the same the first is used.
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


@dataclass(frozen=True)
class Selection:
    """A recalibrator chosen by cross-validation, and what choosing costs and gains on unseen items.

    Attributes:
        name: the choice.
        recalibrator: the choice, fitted on all N items.
        scores: mean Brier score of every candidate over the folds of all items, on which the choice is based; that of the
            best is optimistic.
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
    *,
    candidates: Mapping[str, Recalibrator] | None = None,
    n_outer: int = 5,
    n_inner: int = 5,
    seed: int = 0,
) -> Selection:
    """Choose the candidate of least Brier score in cross-validation.

    The Brier score is proper, and bounded: unlike under the log-likelihood, one mistake that a step function was certain of
    does not decide alone. Folds hold right and wrong items in equal shares as far as their numbers allow.

    Args:
        confidence: (N,) in [0, 1], N >= 2.
        correct: (N,) booleans.
        candidates: unfitted recalibrators by name; None for all of `RECALIBRATORS`.
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
    known = {name: make_recalibrator(name) for name in RECALIBRATORS} if candidates is None else dict(candidates)
    held_out = np.empty(values.size)
    chosen: Counter[str] = Counter()
    for number, (train, fold) in enumerate(_splits(_folds(truth, n_outer, seed))):
        # A training part of one item has no folds of its own: the first candidate is used.
        few = train.sum() < 2
        scores = (
            dict.fromkeys(known, 0.0) if few else _scores(values[train], truth[train], known, n_inner, seed + 1 + number)
        )
        name = min(scores, key=scores.__getitem__)
        chosen[name] += 1
        held_out[fold] = _fitted(known[name], values[train], truth[train]).transform(values[fold])
    scores = _scores(values, truth, known, n_inner, seed)
    best = min(scores, key=scores.__getitem__)
    return Selection(best, _fitted(known[best], values, truth), scores, held_out, dict(chosen))


def _scores(
    confidence: FloatArray, correct: BoolArray, candidates: Mapping[str, Recalibrator], n_folds: int, seed: int
) -> dict[str, float]:
    losses = dict.fromkeys(candidates, 0.0)
    for train, fold in _splits(_folds(correct, n_folds, seed)):
        for name, candidate in candidates.items():
            recalibrated = _fitted(candidate, confidence[train], correct[train]).transform(confidence[fold])
            losses[name] += float(((recalibrated - correct[fold]) ** 2).sum())
    return {name: loss / confidence.size for name, loss in losses.items()}


def _fitted(candidate: Recalibrator, confidence: FloatArray, correct: BoolArray) -> Recalibrator:
    from sklearn.base import clone

    fitted: Recalibrator = clone(candidate).fit(confidence, correct)
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
