"""Calibrate a detector's scores, in whatever unit, to probabilities that the answer is wrong."""

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

__all__ = ["ScoreCalibration", "checked_labels", "checked_scores"]

_FORMAT = 1
# Scores are clipped at this many spreads from the center; one huge perplexity must not decide the fit.
_MAX_SPREADS = 5.0


@dataclass(frozen=True)
class ScoreCalibration:
    """A map from one detector's scores to probabilities of being wrong, fitted on labeled answers.

    The score is standardized, mapped to (0, 1) by the logistic function and recalibrated by a recalibrator of `calibration`.

    Attributes:
        detector: name of the detector whose scores it maps.
        center, spread: median and a robust standard deviation of the scores it was fitted on.
        recalibrator: from the score in (0, 1) to P(wrong).
        base_rate: share of wrong answers among those it was fitted on; the probability of a NaN score.
    """

    detector: str
    center: float
    spread: float
    recalibrator: Recalibrator
    base_rate: float

    @classmethod
    def fit(cls, detector: str, scores: ArrayLike, wrong: ArrayLike, *, recalibrator: Recalibrator | None = None) -> Self:
        """Fit the map on labeled answers.

        Args:
            detector: name of the detector.
            scores: (N,) its scores; NaN where it has none.
            wrong: (N,) booleans.
            recalibrator: `calibration.PlattScaling()` if None, which preserves the order of scores.

        Raises:
            InvalidInput: scores and labels do not match, all labels are equal, or no score is a number.
        """
        from calibration import PlattScaling

        values = checked_scores(detector, scores)
        labels = checked_labels(wrong, values.size)
        known = np.isfinite(values)
        if not known.any():
            raise InvalidInput(f"{detector} has no score that is a number; leave it out")
        center = float(np.median(values[known]))
        low, high = np.quantile(values[known], [0.16, 0.84])
        spread = float((high - low) / 2) or float(values[known].std()) or 1.0
        fitted = PlattScaling() if recalibrator is None else recalibrator
        fitted.fit(_squashed(values[known], center, spread), labels[known])
        return cls(detector, center, spread, fitted, float(labels.mean()))

    def probability(self, scores: ArrayLike) -> FloatArray:
        """(N,) probability in [0, 1] that each answer is wrong."""
        values = np.asarray(scores, dtype=np.float64)
        probability = np.full(values.shape, self.base_rate)
        known = np.isfinite(values)
        if known.any():
            probability[known] = self.recalibrator.predict(_squashed(values[known], self.center, self.spread))
        return probability

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": _FORMAT,
            "kind": "score calibration",
            "detector": self.detector,
            "center": self.center,
            "spread": self.spread,
            "recalibrator": self.recalibrator.to_dict(),
            "base_rate": self.base_rate,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` described.

        Raises:
            InvalidInput: the dictionary describes something else.
        """
        from calibration import Recalibrator
        from calibration.errors import UnreadableFile

        try:
            recalibrator = Recalibrator.from_dict(data["recalibrator"])
            return cls(
                str(data["detector"]),
                float(data["center"]),
                float(data["spread"]),
                recalibrator,
                float(data["base_rate"]),
            )
        except (KeyError, TypeError, ValueError, UnreadableFile) as error:
            raise InvalidInput(f"this is not a score calibration ({error!r}); pass what to_dict or save wrote") from error

    def save(self, path: str | Path) -> None:
        """Write the map to a JSON file, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InvalidInput: the file cannot be read or is not a score calibration.
        """
        return cls.from_dict(read_json(path, "score calibration", _FORMAT))


def checked_labels(wrong: ArrayLike, n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Check labels that something is to be fitted on.

    Args:
        wrong: (N,) whether each answer is wrong.
        n: number of answers.

    Returns:
        (N,) booleans.

    Raises:
        InvalidInput: there are not n labels, one is neither true nor false, or all are equal.
    """
    values = np.asarray(wrong)
    if not np.isin(values, (0, 1)).all():
        raise InvalidInput("a label is neither true nor false; pass booleans, or 0 and 1")
    labels = values.astype(bool)
    if labels.shape != (n,):
        raise InvalidInput(f"{n} scores for labels of shape {labels.shape}; pass one label per answer")
    if labels.all() or not labels.any():
        raise InvalidInput(f"all {n} answers are {'wrong' if n and labels.all() else 'right'}; pass some of each kind")
    return labels


def checked_scores(detector: str, scores: ArrayLike) -> FloatArray:
    """Check scores that something is to be fitted on.

    Args:
        detector: its name.
        scores: (N,) numbers; NaN for a missing score.

    Returns:
        (N,).

    Raises:
        InvalidInput: they are not N numbers.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the scores of {detector} are not all numbers; pass one number per answer") from error
    if values.ndim != 1:
        raise InvalidInput(f"the scores of {detector} have the shape {values.shape}; pass one number per answer")
    return values


def _squashed(values: FloatArray, center: float, spread: float) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(np.clip((values - center) / spread, -_MAX_SPREADS, _MAX_SPREADS)), dtype=np.float64)
