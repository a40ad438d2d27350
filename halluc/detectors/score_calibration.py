"""From a detector's score, in whatever unit, to a calibrated probability that the answer is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from halluc.detectors.statistics import FloatArray
from halluc.errors import InvalidInput
from halluc.files import read_json, write_json

if TYPE_CHECKING:
    from calibration import Recalibrator

__all__ = ["ScoreCalibration", "checked_labels"]

_FORMAT = 1
# Scores further out than this many spreads say no more; one huge perplexity must not decide the fit.
_FURTHEST = 5.0


@dataclass(frozen=True)
class ScoreCalibration:
    """A map from one detector's scores to probabilities of being wrong, fitted on labelled answers.

    The score is standardised, squashed to (0, 1) and recalibrated by a recalibrator of `calibration`.

    Attributes:
        detector: whose scores it is for.
        centre, spread: median and a robust standard deviation of the scores it was fitted on.
        recalibrator: from the squashed score to P(wrong).
        base_rate: share of wrong answers among those it was fitted on; what a NaN score comes to.
    """

    detector: str
    centre: float
    spread: float
    recalibrator: Recalibrator
    base_rate: float

    @classmethod
    def fit(cls, detector: str, scores: ArrayLike, wrong: ArrayLike, *, recalibrator: Recalibrator | None = None) -> Self:
        """Learn from N scores and (N,) booleans; by default by `calibration.PlattScaling`, which keeps the order.

        Raises:
            InvalidInput: scores and labels do not go together, are all of one kind, or no score is a number.
        """
        from calibration import PlattScaling

        values = np.asarray(scores, dtype=np.float64)
        labels = checked_labels(wrong, values.size)
        known = np.isfinite(values)
        if not known.any():
            raise InvalidInput(f"{detector} has no score that is a number; leave it out")
        centre = float(np.median(values[known]))
        low, high = np.quantile(values[known], [0.16, 0.84])
        spread = float((high - low) / 2) or float(values[known].std()) or 1.0
        made = PlattScaling() if recalibrator is None else recalibrator
        made.fit(_squashed(values[known], centre, spread), labels[known])
        return cls(detector, centre, spread, made, float(labels.mean()))

    def probability(self, scores: ArrayLike) -> FloatArray:
        """(N,) probability in [0, 1] that each answer is wrong."""
        values = np.asarray(scores, dtype=np.float64)
        found = np.full(values.shape, self.base_rate)
        known = np.isfinite(values)
        if known.any():
            found[known] = self.recalibrator.transform(_squashed(values[known], self.centre, self.spread))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": _FORMAT,
            "kind": "score calibration",
            "detector": self.detector,
            "centre": self.centre,
            "spread": self.spread,
            "recalibrator": self.recalibrator.to_dict(),
            "base_rate": self.base_rate,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What `to_dict` described; InvalidInput where it is something else."""
        from calibration import Recalibrator
        from calibration.errors import UnreadableFile

        try:
            recalibrator = Recalibrator.from_dict(data["recalibrator"])
            return cls(
                str(data["detector"]),
                float(data["centre"]),
                float(data["spread"]),
                recalibrator,
                float(data["base_rate"]),
            )
        except (KeyError, TypeError, ValueError, UnreadableFile) as error:
            raise InvalidInput(f"this is no score calibration ({error!r}); pass what to_dict or save wrote") from error

    def save(self, path: str | Path) -> None:
        """Write JSON to `path`, aside first."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; InvalidInput where the file holds something else."""
        return cls.from_dict(read_json(path, "score calibration", _FORMAT))


def checked_labels(wrong: ArrayLike, n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) booleans of both kinds.

    Raises:
        InvalidInput: there are not n of them, or all are equal.
    """
    labels = np.asarray(wrong).astype(bool)
    if labels.shape != (n,):
        raise InvalidInput(f"{n} scores for labels of shape {labels.shape}; pass one label an answer")
    if labels.all() or not labels.any():
        raise InvalidInput(f"all {n} answers are {'wrong' if n and labels.all() else 'right'}; pass some of either kind")
    return labels


def _squashed(values: FloatArray, centre: float, spread: float) -> FloatArray:
    z = np.clip((values - centre) / spread, -_FURTHEST, _FURTHEST)
    return np.asarray(1 / (1 + np.exp(-z)))
