"""Detectors that read the model's internals: hidden states and attention, mostly with a probe fitted on labeled answers.

A `Probe` is a logistic regression on one vector per answer. On hidden states it is SAPLMA's classifier in its linear form
(Azaria & Mitchell 2023, arXiv 2304.13734); with high semantic entropy rather than wrong answers as the label, a
semantic-entropy probe (Kossen et al. 2024, arXiv 2406.15927); on lookback ratios, the Lookback Lens (Chuang et al. 2024,
arXiv 2407.07071).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halluc.detectors.detector import Detector, Family
from halluc.detectors.score_calibration import checked_labels
from halluc.detectors.statistics import FloatArray, Statistic, Statistics
from halluc.errors import InvalidInput
from halluc.files import read_json, write_json

__all__ = ["LOOKBACK_RATIO", "Feature", "Probe", "semantic_entropy_threshold"]

Feature = Literal["hidden_state", "lookback"]

_NEEDS: dict[Feature, Statistic] = {"hidden_state": Statistic.hidden_state, "lookback": Statistic.attention}
_FORMAT = 1


@dataclass(frozen=True)
class Probe:
    """A fitted linear probe; its score is the probability in [0, 1] of what it was fitted to detect.

    Attributes:
        name: its name in results.
        feature: what it reads: "hidden_state" (D,) or "lookback", the mean over tokens of each head's ratio (L * H,).
        model: name of the language model it was fitted on; the states of other models are not comparable.
        mean, scale, weight: (F,) standardization and coefficients.
        bias: intercept.
    """

    name: str
    feature: Feature
    model: str
    mean: FloatArray
    scale: FloatArray
    weight: FloatArray
    bias: float

    @classmethod
    def fit(
        cls,
        statistics: Statistics,
        hallucinated: ArrayLike,
        *,
        model: str,
        feature: Feature = "hidden_state",
        name: str | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit a probe on N labeled answers.

        Args:
            statistics: must hold what the probe reads (from `detect` with a detector that needs it, or from
                `collect_statistics`).
            hallucinated: (N,) booleans, whether each answer is wrong, or its semantic entropy high.
            model: name of the language model.
            feature: what to read.
            name: its name in results; "probe_hidden_state" or "probe_lookback" by default.
            seed: of the folds of the cross-validation that chooses the strength of regularization.

        Raises:
            InvalidInput: the labels do not match the answers, or there are fewer than 5 of either kind.
        """
        from sklearn.linear_model import LogisticRegressionCV
        from sklearn.model_selection import StratifiedKFold

        if feature not in get_args(Feature):
            raise InvalidInput(f"feature is {feature!r}; pass one of {', '.join(get_args(Feature))}")
        features = _features(statistics, feature)
        labels = checked_labels(hallucinated, len(features))
        if min(labels.sum(), (~labels).sum()) < 5:
            raise InvalidInput(f"{labels.sum()} of {labels.size} answers are labeled true; a probe needs 5 of each kind")
        mean, scale = features.mean(0), features.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        # Hidden states have more dimensions than there are labels, so the strength of regularization matters most.
        learner = LogisticRegressionCV(
            Cs=np.logspace(-5, 0, 6),
            l1_ratios=(0.0,),
            cv=StratifiedKFold(5, shuffle=True, random_state=seed),
            scoring="neg_log_loss",
            max_iter=1000,
            use_legacy_attributes=False,
        )
        learner.fit((features - mean) / scale, labels)
        weight = np.asarray(learner.coef_, dtype=np.float64).reshape(-1)
        bias = float(np.asarray(learner.intercept_).reshape(-1)[0])
        return cls(name or f"probe_{feature}", feature, model, mean, scale, weight, bias)

    @property
    def detector(self) -> Detector:
        """The probe as a detector, to pass to `detect` with other detectors."""
        return Detector(self.name, Family.internal_state, frozenset({_NEEDS[self.feature]}), self.score)

    def score(self, statistics: Statistics) -> FloatArray:
        """Probability that an answer is hallucinated, by a linear probe; (N,).

        Raises:
            InvalidInput: the vectors differ in length from those it was fitted on.
        """
        from scipy.special import expit

        features = _features(statistics, self.feature)
        if features.shape[1] != self.weight.size:
            raise InvalidInput(
                f"probe {self.name} was fitted on {self.weight.size} numbers per answer of {self.model}, not on "
                f"{features.shape[1]}; use that model, or fit a probe on this one"
            )
        logit = (features - self.mean) / self.scale @ self.weight + self.bias
        return np.asarray(expit(logit), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        arrays = {key: getattr(self, key).tolist() for key in ("mean", "scale", "weight")}
        plain = {"name": self.name, "feature": self.feature, "model": self.model, "bias": self.bias}
        return {"format": _FORMAT, "kind": "probe", **plain, **arrays}

    def save(self, path: str | Path) -> None:
        """Write the probe to a JSON file, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InvalidInput: the file cannot be read or is not a probe.
        """
        data = read_json(path, "probe", _FORMAT)
        try:
            arrays = {key: np.asarray(data[key], dtype=np.float64) for key in ("mean", "scale", "weight")}
            return cls(data["name"], data["feature"], data["model"], bias=float(data["bias"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{path} is damaged ({error!r}); pass a file written by Probe.save") from error


def semantic_entropy_threshold(entropy: FloatArray) -> float:
    """Split semantic entropies into low and high at the least squared error (arXiv 2406.15927, eq. 2).

    Args:
        entropy: (N,) in nats.

    Returns:
        The threshold; entropies of at least this value are the positive labels of a semantic-entropy probe.

    Raises:
        InvalidInput: all entropies are equal.
    """
    values = np.unique(entropy)
    if values.size < 2:
        raise InvalidInput("all semantic entropies are equal; draw more samples, or answer more questions")
    between = (values[1:] + values[:-1]) / 2

    def error(threshold: float) -> float:
        low, high = entropy[entropy < threshold], entropy[entropy >= threshold]
        return float(((low - low.mean()) ** 2).sum() + ((high - high.mean()) ** 2).sum())

    return float(min(between, key=error))


def _features(statistics: Statistics, feature: Feature) -> FloatArray:
    """(N, F)."""
    if feature == "hidden_state":
        return statistics.hidden_state
    rows: list[NDArray[np.float64]] = [ratios.mean(-1).ravel() for ratios in statistics.lookback]
    return np.stack(rows)


def _lookback_ratio(statistics: Statistics) -> FloatArray:
    """1 - mean lookback ratio: how much heads attend to generated tokens rather than to the prompt (arXiv 2407.07071)."""
    return np.array([1 - ratios.mean() for ratios in statistics.lookback])


LOOKBACK_RATIO = Detector("lookback_ratio", Family.internal_state, frozenset({Statistic.attention}), _lookback_ratio)
