"""Claim filtering whose guarantee holds in every group of answers, at a level that adapts to each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import (
    BoolArray,
    Float64Array,
    as_array,
    check_confidence,
    check_fraction,
    check_pair,
    check_seed,
)
from calibration.combination import SourceCombination
from calibration.errors import InvalidInput
from calibration.factuality import check_answers
from calibration.persistence import JsonEstimator

__all__ = ["ConditionalFactuality"]


class ConditionalFactuality(JsonEstimator):
    """Keeps the claims of an answer above a threshold of its own, so that a false one is left with a stated probability.

    `ConformalFactuality` keeps its guarantee on average over answers, which leaves more false claims in hard groups than in
    easy ones. Here it holds in every group that the features tell, also if groups overlap: the threshold is a quantile
    regression on features of the answer, fitted together with the answer to be filtered (Gibbs et al. 2023, arXiv
    2305.12616). With `retention` the level adapts (Cherian et al. 2024, arXiv 2406.09714): an answer of which the risk would
    keep too little gets a higher risk of its own, at which about that share of its claims is kept, and the stated risks are
    calibrated among answers of the same stated risk.

    Args:
        risk: probability that a false claim is left, in (0, 1); the lowest one if the level adapts.
        retention: share of the claims of each answer that should be kept, in (0, 1); None for the same risk everywhere.
        seed: of the split of the answers, if the level adapts: one half learns the risks, the other the thresholds.

    Attributes:
        level_: from an answer and its features to the probability that its kept claims are true; None if the level does
            not adapt.
        scores_: (M,) of the answers that thresholds are computed from: the largest support of a false claim, less the
            support at which the requested share is kept.
        risks_: (M,) of these answers.
        features_: (M, 1 + D) of these answers, the first one constant.
    """

    level_: SourceCombination | None
    scores_: Float64Array
    risks_: Float64Array
    features_: Float64Array

    def __init__(self, risk: float = 0.1, *, retention: float | None = None, seed: int = 0) -> None:
        self.risk = risk
        self.retention = retention
        self.seed = seed

    def fit(self, support: Sequence[ArrayLike], correct: Sequence[ArrayLike], features: ArrayLike | None = None) -> Self:
        """Learn from answers whose claims are known to be true or false.

        Args:
            support: for each of N answers (C_i,), the support of its claims in [0, 1]; an answer may have no claims.
            correct: for each answer (C_i,), which of them are true.
            features: (N, D) numbers, e.g. 0 and 1 for being in each of D groups; None for none.

        Returns:
            This rule.

        Raises:
            InvalidInput: a parameter or an array is unusable, or there are too few answers.
        """
        check_fraction(self.risk, "risk")
        check_seed(self.seed)
        if self.retention is not None:
            check_fraction(self.retention, "retention")
        check_answers(support, correct, least=2)
        answers = [_checked(values) for values in support]
        largest = np.array([_largest_false(values, truth) for values, truth in zip(answers, correct, strict=True)])
        columns = _columns(features, len(answers))
        cuts = np.array([self._cut(values) for values in answers])
        rows = np.ones(len(answers), dtype=np.bool_)
        self.level_ = None
        if self.retention is not None:
            rows = np.random.default_rng(self.seed).permutation(len(answers)) % 2 == 0
            described = np.concatenate([_description(*answer) for answer in zip(answers, cuts, columns, strict=True)])
            self.level_ = SourceCombination().fit(described[~rows], (largest <= cuts)[~rows])
        self.scores_ = (largest - cuts)[rows]
        known = [(values, row) for values, row, kept in zip(answers, columns, rows, strict=True) if kept]
        self.risks_ = np.array([self._risk(values, row) for values, row in known])
        self.features_ = self._with_risk(columns[rows], self.risks_)
        return self

    def stated_risk(self, support: ArrayLike, features: ArrayLike | None = None) -> float:
        """The probability that a false claim is left in an answer, in [risk, 1).

        Args:
            support: (C,) in [0, 1]; C may be 0.
            features: (D,) of the answer, as in `fit`.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: an array is unusable.
        """
        return self._risk(_checked(support), self._row(features))

    def keep(self, support: ArrayLike, features: ArrayLike | None = None) -> BoolArray:
        """Decide which claims of one answer to keep.

        Args:
            support: (C,) in [0, 1]; C may be 0.
            features: (D,) of the answer, as in `fit`.

        Returns:
            (C,) booleans.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: an array is unusable.
        """
        self.check_fitted()
        values = _checked(support)
        row = self._row(features)
        risk = self._risk(values, row)
        described = self._with_risk(row[None], np.array([risk]))
        # A claim is dropped if its support may be a score that the threshold covers. Those supports are the lowest ones, so
        # the first that is kept is found by halving.
        distinct = np.unique(values)
        low, high = 0, distinct.size
        while low < high:
            middle = (low + high) // 2
            if self._covered(float(distinct[middle]) - self._cut(values), described[0], risk):
                low = middle + 1
            else:
                high = middle
        return values > distinct[low - 1] if low else np.ones(values.size, dtype=np.bool_)

    def _row(self, features: ArrayLike | None) -> Float64Array:
        """The features (1 + D,) of one answer, after a constant one."""
        self.check_fitted()
        row: Float64Array = _columns(None if features is None else np.atleast_2d(as_array(features, "features")), 1)[0]
        number = self.features_.shape[1] - 1 - (self.level_ is not None)
        if row.size != 1 + number:
            raise InvalidInput(f"features has {row.size - 1} values; pass the {number} features that fit had")
        return row

    def _risk(self, support: Float64Array, row: Float64Array) -> float:
        if self.level_ is None or support.size == 0:
            return float(self.risk)
        sure = float(self.level_.predict(_description(support, self._cut(support), row))[0])
        return min(max(float(self.risk), 1 - sure), 1 - 1e-6)

    def _covered(self, score: float, described: Float64Array, risk: float) -> bool:
        """Whether the score would be at or below the quantile regression that includes it.

        In the dual of the regression, maximize sum(eta * scores) under features' eta = 0 and -risk <= eta <= 1 - risk, it is
        above if its eta is at the upper bound. It is lowered a little, so that it counts as covered where it equals others.
        """
        from scipy.optimize import linprog

        risks = np.append(self.risks_, risk)
        solution = linprog(
            -np.append(self.scores_, score - 1e-6),
            A_eq=np.vstack([self.features_, described]).T,
            b_eq=np.zeros(described.size),
            bounds=np.stack([-risks, 1 - risks], axis=1),
        )
        return bool(solution.x[-1] < 1 - risk - 1e-7)

    def _cut(self, support: Float64Array) -> float:
        """The support at or below which claims are dropped if the requested share is to be kept; 0 without a request."""
        if self.retention is None or support.size == 0:
            return 0.0
        dropped = int(np.floor((1 - self.retention) * support.size + 1e-9))
        return float(np.sort(support)[dropped - 1]) if dropped else 0.0

    def _with_risk(self, columns: Float64Array, risks: Float64Array) -> Float64Array:
        """Features with the stated risk among them, so that it is calibrated, if it differs between answers."""
        return columns if self.level_ is None else np.concatenate([columns, risks[:, None]], axis=1)


def _checked(support: ArrayLike) -> Float64Array:
    values = as_array(support, "support")
    return np.zeros(0) if values.size == 0 else check_confidence(values, name="support").astype(np.float64)


def _largest_false(support: Float64Array, correct: ArrayLike) -> float:
    """The largest support of a false claim, since a threshold there or above keeps none; -1 without false claims."""
    if support.size == 0 and np.size(as_array(correct, "correct")) == 0:
        return -1.0
    values, truth = check_pair(support, correct)
    return -1.0 if truth.all() else float(values[~truth].max())


def _columns(features: ArrayLike | None, size: int) -> Float64Array:
    """Features (size, 1 + D) after a constant one."""
    constant = np.ones((size, 1))
    if features is None:
        return constant
    array = as_array(features, "features")
    if array.ndim != 2 or array.shape[0] != size or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InvalidInput(
            f"features has shape {array.shape} and type {array.dtype}; pass finite numbers, one row per answer"
        )
    return np.concatenate([constant, array.astype(np.float64)], axis=1)


def _description(support: Float64Array, cut: float, row: Float64Array) -> Float64Array:
    """What the level is learned from, (1, 3 + D) in [0, 1].

    The lowest support that is kept, the mean one, one over their number, and the features as logits of probabilities.
    """
    from scipy.special import expit

    kept = support[support > cut]
    own = [kept.min(), kept.mean(), 1 / kept.size] if kept.size else [1.0, 1.0, 1.0]
    return np.concatenate([own, expit(row[1:])])[None]
