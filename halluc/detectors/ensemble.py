"""An ensemble of detectors: a weighted combination of their scores, fitted on labeled answers.

Scores have different units and heavy tails, so each is replaced by its rank among the scores the ensemble was fitted on, and
a logistic regression weights the ranks. Not covered: probes on the model's states (internal_state.py), which may be members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from halluc.detectors.detector import Detector, Family
from halluc.detectors.score_calibration import checked_labels, checked_scores
from halluc.detectors.statistics import FloatArray, Statistics
from halluc.errors import InvalidInput, check_same_length
from halluc.files import check_output_path, read_json, write_json

__all__ = ["Ensemble", "check_ensemble_path"]

_FORMAT = 1
_KNOTS = np.linspace(0, 1, 101)
_FOLDS = 5
# Inverse strengths of regularization, from nearly equal small weights to almost none.
_STRENGTHS = np.logspace(-3, 1, 9)


@dataclass(frozen=True)
class Ensemble:
    """Fitted weights of detectors; its score is the probability in [0, 1] that an answer is wrong.

    Attributes:
        members: M names, in the order of the weights; detectors with weight 0 are left out.
        quantiles: (M, 101) quantiles of each member's scores on the fitted answers; they map scores to ranks.
        weight: (M,) coefficients of the ranks, which are centered and scaled to unit variance.
        bias: intercept.
    """

    members: tuple[str, ...]
    quantiles: FloatArray
    weight: FloatArray
    bias: float

    @classmethod
    def fit(cls, scores: Mapping[str, FloatArray], wrong: ArrayLike, *, seed: int = 0) -> Self:
        """Fit weights on N labeled answers.

        The strength of regularization is chosen by cross-validation. If the ensemble does not rank the held-out folds better
        than its best member does, all weight goes to that member.

        Args:
            scores: (N,) per detector, such as a `Detection`; NaN where a detector has no score.
            wrong: (N,) booleans.
            seed: of the folds.

        Raises:
            InvalidInput: there are no scores, the labels do not match them, or there are fewer than 5 of either kind.
        """
        if not scores:
            raise InvalidInput("there are no scores; pass those of at least one detector")
        members = tuple(scores)
        columns = [checked_scores(name, scores[name]) for name in members]
        check_same_length(**dict(zip(members, columns, strict=True)))
        labels = checked_labels(wrong, columns[0].size)
        if min(labels.sum(), (~labels).sum()) < _FOLDS:
            raise InvalidInput(f"{labels.sum()} of {labels.size} answers are wrong; an ensemble needs {_FOLDS} of each kind")
        for name, column in zip(members, columns, strict=True):
            if not np.isfinite(column).any():
                raise InvalidInput(f"{name} has no score that is a number; leave it out")
        quantiles = np.stack([np.quantile(column[np.isfinite(column)], _KNOTS) for column in columns])
        ranks = _ranks(np.stack(columns, 1), quantiles)
        weight, bias = _fit(ranks, labels, seed)
        kept = np.flatnonzero(weight)
        return cls(tuple(members[j] for j in kept), quantiles[kept], weight[kept], bias)

    @property
    def shares(self) -> dict[str, float]:
        """Each member's share of the absolute weight, in [0, 1], largest first; they sum to 1."""
        total = np.abs(self.weight).sum() or 1.0
        shares = zip(self.members, (np.abs(self.weight) / total).tolist(), strict=True)
        return dict(sorted(shares, key=lambda pair: -pair[1]))

    def probability(self, scores: Mapping[str, FloatArray]) -> FloatArray:
        """Combine the members' scores; a NaN score counts as the median of the fitted answers.

        Args:
            scores: (N,) per member; other detectors are ignored.

        Returns:
            (N,) probability that each answer is wrong.

        Raises:
            InvalidInput: a member's scores are missing.
        """
        from scipy.special import expit

        missing = [name for name in self.members if name not in scores]
        if missing:
            raise InvalidInput(f"the ensemble needs the scores of {', '.join(missing)}; run these detectors too")
        ranks = _ranks(np.stack([np.asarray(scores[name], dtype=np.float64) for name in self.members], 1), self.quantiles)
        return np.asarray(expit(ranks @ self.weight + self.bias), dtype=np.float64)

    def detector(self, detectors: Mapping[str, Detector], *, name: str = "ensemble") -> Detector:
        """Make the ensemble a detector.

        Args:
            detectors: its members, by name.
            name: its name in results.

        Raises:
            InvalidInput: a member is missing.
        """
        missing = [member for member in self.members if member not in detectors]
        if missing:
            raise InvalidInput(f"there is no detector {missing[0]!r}; which the ensemble needs; pass it with the others")
        needs = frozenset[Any]().union(*(detectors[member].needs for member in self.members))

        def score(statistics: Statistics) -> FloatArray:
            """Probability of being wrong by the weighted ranks of the members' scores."""
            return self.probability({member: detectors[member].score(statistics) for member in self.members})

        return Detector(name, Family.learned, needs, score)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": _FORMAT,
            "kind": "detector ensemble",
            "members": list(self.members),
            "quantiles": self.quantiles.tolist(),
            "weight": self.weight.tolist(),
            "bias": self.bias,
            "shares": self.shares,
        }

    def save(self, path: str | Path) -> None:
        """Write the ensemble to a JSON file, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InvalidInput: the file cannot be read or is not an ensemble.
        """
        data = read_json(path, "detector ensemble", _FORMAT)
        try:
            members = tuple(str(name) for name in data["members"])
            quantiles = np.asarray(data["quantiles"], dtype=np.float64).reshape(len(members), _KNOTS.size)
            weight = np.asarray(data["weight"], dtype=np.float64).reshape(len(members))
            return cls(members, quantiles, weight, float(data["bias"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{path} is damaged ({error!r}); pass a file written by Ensemble.save") from error


def check_ensemble_path(out: str | Path) -> None:
    """Check, before the work, that an ensemble can be saved to a path and replaces nothing but an ensemble.

    Raises:
        InvalidInput: the path cannot be written, or is a file that holds something else.
    """
    check_output_path(out)
    if Path(out).exists():
        try:
            Ensemble.load(out)
        except InvalidInput as error:
            raise InvalidInput(f"{out} exists and is not a saved ensemble; name another file, or delete it") from error


def _ranks(columns: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Map (N, M) scores to ranks among the fitted scores, scaled to mean 0 and variance 1; NaN is the median rank, 0."""
    ranks = np.empty_like(columns)
    for j, knots in enumerate(quantiles):
        column = columns[:, j]
        # Scores with few distinct values repeat over several knots: a score is ranked in the middle of its knots.
        low = np.searchsorted(knots, column, side="left")
        high = np.searchsorted(knots, column, side="right")
        between = np.interp(column, *_distinct(knots))
        middle = (low + high - 1) / 2 / (knots.size - 1)
        ranks[:, j] = np.where(high > low, middle, between)
    return np.where(np.isnan(columns), 0.0, (np.clip(ranks, 0, 1) - 0.5) * np.sqrt(12))


def _distinct(knots: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, first, count = np.unique(knots, return_index=True, return_counts=True)
    return values, (first + (count - 1) / 2) / (knots.size - 1)


def _fit(ranks: FloatArray, labels: np.ndarray[Any, np.dtype[np.bool_]], seed: int) -> tuple[FloatArray, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    from calibration import auroc

    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(ranks, labels))

    def fit(columns: FloatArray, strength: float, rows: Any) -> Any:
        return LogisticRegression(C=strength, max_iter=1000).fit(columns[rows], labels[rows])

    def quality(columns: FloatArray, strength: float) -> float:
        aurocs = [
            auroc(fit(columns, strength, train).predict_proba(columns[test])[:, 1], labels[test]) for train, test in folds
        ]
        return float(np.mean(aurocs))

    alone = [quality(ranks[:, [j]], 1.0) for j in range(ranks.shape[1])]
    best = int(np.argmax(alone))
    together = [quality(ranks, strength) for strength in _STRENGTHS]
    weight = np.zeros(ranks.shape[1])
    all_rows = np.arange(len(labels))
    if max(together) > alone[best]:
        fitted = fit(ranks, _STRENGTHS[int(np.argmax(together))], all_rows)
        weight[:] = fitted.coef_[0]
    else:
        fitted = fit(ranks[:, [best]], 1.0, all_rows)
        weight[best] = fitted.coef_[0][0]
    return weight, float(fitted.intercept_[0])
