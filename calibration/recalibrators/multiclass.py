"""Recalibration of class probabilities (N, K): temperature, vector, matrix and Dirichlet, all softmax(W log p + b).

`fit(probabilities, labels)` learns from (N, K) rows that sum to 1 and (N,) labels in 0..K-1; `transform(probabilities)`
gives (N, K) rows that sum to 1. Maximum likelihood with a quadratic penalty per item on what leaves the identity, so that
separable data (a class never seen, all labels alike) keep the fit finite.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_probabilities
from calibration.errors import InvalidInput
from calibration.persistence import Saved, register

__all__ = [
    "DirichletCalibration",
    "MatrixScaling",
    "MulticlassRecalibrator",
    "MulticlassTemperatureScaling",
    "VectorScaling",
]

Float64 = NDArray[np.float64]

# Probabilities of exactly 0 have no logarithm.
_CLIP = 1e-12


class MulticlassRecalibrator(Saved):
    """Base: weight_ (K, K) and intercept_ (K,) of softmax(W log p + b)."""

    _learned = "weight_"
    weight_: Float64
    intercept_: Float64

    def fit(self, probabilities: ArrayLike, labels: ArrayLike) -> Self:
        """Learn from probabilities (N, K) and labels (N,)."""
        matrix, classes = check_probabilities(probabilities, labels)
        self._fit(np.log(np.maximum(matrix.astype(np.float64), _CLIP)), classes)
        return self

    def transform(self, probabilities: ArrayLike) -> Float64:
        """Recalibrated probabilities (N, K); InvalidInput for another number of classes than in `fit`."""
        from scipy.special import softmax

        self.check_fitted()
        rows = np.asarray(probabilities)
        matrix, _ = check_probabilities(rows, np.zeros(rows.shape[0] if rows.ndim else 0, dtype=np.intp))
        if matrix.shape[1] != self.intercept_.size:
            raise InvalidInput(f"probabilities has {matrix.shape[1]} classes; this was fitted on {self.intercept_.size}")
        scores = np.log(np.maximum(matrix.astype(np.float64), _CLIP)) @ self.weight_.T + self.intercept_
        return np.asarray(softmax(scores, axis=1))

    def _fit(self, scores: Float64, labels: NDArray[np.intp]) -> None:
        raise NotImplementedError


@register
class MulticlassTemperatureScaling(MulticlassRecalibrator):
    """softmax(log p / T), keeping every row's order (Guo 2017, arXiv 1706.04599, eq. 9); temperature_ in [0.01, 100]."""

    temperature_: float

    def _fit(self, scores: Float64, labels: NDArray[np.intp]) -> None:
        from scipy.optimize import minimize_scalar
        from scipy.special import logsumexp

        given = scores[np.arange(labels.size), labels]

        def loss(log_temperature: float) -> float:
            inverse = np.exp(-log_temperature)
            return float(np.mean(logsumexp(inverse * scores, axis=1) - inverse * given))

        # Convex in 1/T, hence with one minimum in log T as well.
        found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded", options={"xatol": 1e-9})
        self.temperature_ = float(np.exp(found.x))
        self.weight_ = np.eye(scores.shape[1]) / self.temperature_
        self.intercept_ = np.zeros(scores.shape[1])


@register
class VectorScaling(MulticlassRecalibrator):
    """A scale and an intercept for each class: W diagonal (arXiv 1706.04599, section 4.2); penalty on both."""

    def __init__(self, penalty: float = 1e-4) -> None:
        self.penalty = penalty

    def _fit(self, scores: Float64, labels: NDArray[np.intp]) -> None:
        classes = scores.shape[1]
        strength = np.full((classes, classes), _check_penalty(self.penalty))
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, np.eye(classes), strength, self.penalty)


@register
class MatrixScaling(MulticlassRecalibrator):
    """A full W and an intercept (arXiv 1706.04599, section 4.2); one penalty on every entry. Needs N well above K^2."""

    def __init__(self, penalty: float = 1e-4) -> None:
        self.penalty = penalty

    def _fit(self, scores: Float64, labels: NDArray[np.intp]) -> None:
        classes = scores.shape[1]
        strength = np.full((classes, classes), _check_penalty(self.penalty))
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, np.ones((classes, classes)), strength, self.penalty)


@register
class DirichletCalibration(MulticlassRecalibrator):
    """Dirichlet calibration with off-diagonal and intercept regularisation (Kull 2019, arXiv 1910.12656).

    The form of MatrixScaling on log-probabilities; the penalties fall on the entries off the diagonal and on the
    intercept, which lets every class keep a scale of its own. The diagonal bears a thousandth of it, for finiteness.
    """

    def __init__(self, off_diagonal: float = 1e-2, intercept: float = 1e-2) -> None:
        self.off_diagonal = off_diagonal
        self.intercept = intercept

    def _fit(self, scores: Float64, labels: NDArray[np.intp]) -> None:
        classes = scores.shape[1]
        strength = np.full((classes, classes), _check_penalty(self.off_diagonal))
        np.fill_diagonal(strength, self.off_diagonal / 1000)
        penalty = _check_penalty(self.intercept)
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, np.ones((classes, classes)), strength, penalty)


def _fit_softmax(
    scores: Float64, labels: NDArray[np.intp], free: Float64, strength: Float64, intercept_strength: float
) -> tuple[Float64, Float64]:
    # W (K, K) and b (K,) of least mean loss plus strength * (W - I)^2 and intercept_strength * b^2; entries of W where
    # `free` is 0 stay those of the identity.
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    size, classes = scores.shape
    identity = np.eye(classes)
    truth = identity[labels]

    def loss(flat: Float64) -> tuple[float, Float64]:
        moved, intercept = flat[: classes * classes].reshape(classes, classes) * free, flat[classes * classes :]
        log_probability = log_softmax(scores @ (identity + moved).T + intercept, axis=1)
        residual = (np.exp(log_probability) - truth) / size
        value = -(truth * log_probability).sum() / size
        value += (strength * moved**2).sum() + intercept_strength * (intercept**2).sum()
        slope = (residual.T @ scores + 2 * strength * moved) * free
        return float(value), np.concatenate([slope.ravel(), residual.sum(axis=0) + 2 * intercept_strength * intercept])

    start = np.zeros(classes * classes + classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 2000})
    moved = found.x[: classes * classes].reshape(classes, classes) * free
    return identity + moved, np.asarray(found.x[classes * classes :])


def _check_penalty(value: float) -> float:
    if not value >= 0:
        raise InvalidInput(f"penalty is {value}; pass a number of 0 or more")
    return float(value)
