"""Which recalibrator to use, by nested cross-validation.

Inner folds choose, outer folds report: the confidences of an outer fold come from a recalibrator that was chosen and fitted
without it, so that what they score is what the whole procedure will score on new items, not the luck of the best of ten.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, check_count, check_pair
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["RECALIBRATORS", "Selection", "make_recalibrator", "select_recalibrator"]

Float64 = NDArray[np.float64]

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
    """A recalibrator chosen by cross-validation, and what choosing costs and gains on items it has not seen.

    name, recalibrator: the choice, fitted on all N items.  scores: mean Brier score of every candidate over the folds of all
    items, which the choice went by; that of the best is optimistic.  held_out: (N,) confidences, each from the candidate
    chosen and fitted on the outer folds that lack the item; compare them with `correct` for an honest report.  chosen: how
    many outer folds chose which candidate.
    """

    name: str
    recalibrator: Recalibrator
    scores: dict[str, float]
    held_out: Float64
    chosen: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The choice and the scores as plain values; the recalibrator is saved by its own `save`."""
        return {"name": self.name, "scores": self.scores, "chosen": self.chosen}


def make_recalibrator(name: str) -> Recalibrator:
    """An unfitted recalibrator by its short name; InvalidInput where there is none of that name."""
    if name not in RECALIBRATORS:
        raise InvalidInput(f"there is no recalibrator {name!r}; pass one of {', '.join(RECALIBRATORS)}")
    import calibration.recalibrators as known

    made: Recalibrator = getattr(known, RECALIBRATORS[name])()
    return made


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

    confidence, correct: (N,), N >= 2.  candidates: unfitted recalibrators by name; by default all of `RECALIBRATORS`.
    n_outer, n_inner: folds, at most N.  seed: of the folds.
    """
    values, truth = check_pair(confidence, correct)
    if values.size < 2:
        raise InvalidInput("one item cannot be split into folds; pass at least two")
    known = {name: make_recalibrator(name) for name in RECALIBRATORS} if candidates is None else dict(candidates)
    if not known:
        raise InvalidInput("candidates is empty; pass at least one recalibrator")
    outer = _folds(truth, check_count(n_outer, "n_outer", least=2), seed)
    check_count(n_inner, "n_inner", least=2)
    held_out = np.empty(values.size)
    chosen: Counter[str] = Counter()
    for number, (rest, fold) in enumerate(_splits(outer)):
        # A rest of one item has no folds of its own: the first candidate stands for it.
        few = rest.sum() < 2
        scores = dict.fromkeys(known, 0.0) if few else _scores(values[rest], truth[rest], known, n_inner, seed + 1 + number)
        name = min(scores, key=scores.__getitem__)
        chosen[name] += 1
        held_out[fold] = _fitted(known[name], values[rest], truth[rest]).transform(values[fold])
    scores = _scores(values, truth, known, n_inner, seed)
    best = min(scores, key=scores.__getitem__)
    return Selection(best, _fitted(known[best], values, truth), scores, held_out, dict(chosen))


def _scores(
    confidence: NDArray[np.floating], correct: BoolArray, candidates: Mapping[str, Recalibrator], n_folds: int, seed: int
) -> dict[str, float]:
    folds = _folds(correct, n_folds, seed)
    losses = dict.fromkeys(candidates, 0.0)
    for rest, fold in _splits(folds):
        for name, candidate in candidates.items():
            given = _fitted(candidate, confidence[rest], correct[rest]).transform(confidence[fold])
            losses[name] += float(((given - correct[fold]) ** 2).sum())
    return {name: loss / confidence.size for name, loss in losses.items()}


def _fitted(candidate: Recalibrator, confidence: NDArray[np.floating], correct: BoolArray) -> Recalibrator:
    from sklearn.base import clone

    fitted: Recalibrator = clone(candidate).fit(confidence, correct)
    return fitted


def _folds(correct: BoolArray, n_folds: int, seed: int) -> NDArray[np.intp]:
    # Right and wrong items are dealt out in turn, each in random order.
    shuffled = np.random.default_rng(seed).permutation(correct.size)
    dealt = shuffled[np.argsort(correct[shuffled], kind="stable")]
    folds = np.empty(correct.size, dtype=np.intp)
    folds[dealt] = np.arange(correct.size) % min(n_folds, correct.size)
    return folds


def _splits(folds: NDArray[np.intp]) -> Iterator[tuple[BoolArray, BoolArray]]:
    for number in range(int(folds.max()) + 1):
        yield folds != number, folds == number
