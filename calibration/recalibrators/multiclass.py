"""Recalibration of class probabilities (N, K): temperature, vector, matrix and Dirichlet, all softmax(W log p + b).

Maximum likelihood with a quadratic penalty per item on the distance from temperature scaling, so that few items give
temperature scaling, and separable data (a class never seen, all labels alike) keep the fit finite.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin

from calibration.arrays import Float64Array, as_array, check_number, check_probabilities, effective_weights
from calibration.errors import FewItemsWarning, InvalidInput, UnreadableFile
from calibration.persistence import JsonEstimator

__all__ = [
    "DirichletCalibration",
    "MatrixScaling",
    "MulticlassRecalibrator",
    "MulticlassTemperatureScaling",
    "VectorScaling",
]

# Probabilities of exactly 0 have no logarithm.
_CLIP = 1e-12


class MulticlassRecalibrator(TransformerMixin, JsonEstimator):
    """Base of the recalibrators of class probabilities, which are transformers of scikit-learn.

    Attributes:
        weight_: W of softmax(W log p + b): (K, K), (K,) for its diagonal, or (1,) for one number on all of it.
        intercept_: (K,), b.
    """

    weight_: Float64Array
    intercept_: Float64Array

    def fit(self, probabilities: ArrayLike, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the map.

        Args:
            probabilities: (N, K) in [0, 1], rows summing to 1.
            labels: (N,) integers in 0..K-1.
            sample_weight: (N,) of any scale, at least 0; None counts every item once.

        Returns:
            This recalibrator.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        matrix, classes = check_probabilities(probabilities, labels)
        weights = effective_weights(sample_weight, classes.size)
        self._fit(np.log(np.maximum(matrix.astype(np.float64), _CLIP)), classes, weights)
        return self

    def transform(self, probabilities: ArrayLike) -> Float64Array:
        """Recalibrate.

        Args:
            probabilities: (N, K) in [0, 1], rows summing to 1, with the K of `fit`.

        Returns:
            (N, K) in [0, 1], rows summing to 1; a data frame if `set_output` asks for one.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the probabilities are unusable.
        """
        return self.predict(probabilities)

    def predict(self, probabilities: ArrayLike) -> Float64Array:
        """Recalibrate as `transform` does, always to an array, also by `sklearn.model_selection.cross_val_predict`.

        Args:
            probabilities: (N, K) rows that sum to 1, with the K classes of `fit`.

        Returns:
            (N, K) recalibrated rows.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the probabilities are unusable.
        """
        from scipy.special import softmax

        self.check_fitted()
        rows = as_array(probabilities, "probabilities")
        matrix, _ = check_probabilities(rows, np.zeros(rows.shape[0] if rows.ndim else 0, dtype=np.intp))
        if matrix.shape[1] != self.intercept_.size:
            raise InvalidInput(f"probabilities has {matrix.shape[1]} classes; this was fitted on {self.intercept_.size}")
        logs = np.log(np.maximum(matrix.astype(np.float64), _CLIP))
        scores = logs * self.weight_ if self.weight_.ndim == 1 else logs @ self.weight_.T
        return np.asarray(softmax(scores + self.intercept_, axis=1))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """The names (K,) of the output columns: that of the class in lower case and a number, as in scikit-learn."""
        self.check_fitted()
        return np.array([f"{type(self).__name__.lower()}{k}" for k in range(self.intercept_.size)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.required = True
        return tags

    def _fit(self, scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> None:
        raise NotImplementedError

    def _check_restored(self) -> None:
        classes = self.intercept_.size
        shapes = ((classes, classes), (classes,), (1,))
        if self.weight_.shape not in shapes or not np.isfinite(self.predict(np.eye(2, classes))).all():
            raise UnreadableFile("weight_ and intercept_ are not of the same classes, or not numbers; pass what save wrote")


class MulticlassTemperatureScaling(MulticlassRecalibrator):
    """softmax(log p / T), keeping every row's order (Guo et al. 2017, arXiv 1706.04599, eq. 9).

    Attributes:
        temperature_: T, in [0.01, 100].
    """

    temperature_: float

    def _fit(self, scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> None:
        self.temperature_ = _temperature(scores, labels, weights)
        self.weight_ = np.array([1 / self.temperature_])
        self.intercept_ = np.zeros(scores.shape[1])


class VectorScaling(MulticlassRecalibrator):
    """A scale and an intercept for each class: W is diagonal (arXiv 1706.04599, section 4.2).

    Args:
        penalty: on the squares of both, at least 0.
    """

    def __init__(self, penalty: float = 1e-4) -> None:
        self.penalty = penalty

    def _fit(self, scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> None:
        strength = np.full(scores.shape[1], check_number(self.penalty, "penalty", least=0))
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, weights, strength, self.penalty)


class MatrixScaling(MulticlassRecalibrator):
    """A full W and an intercept (arXiv 1706.04599, section 4.2). Needs N well above K^2, and issues a FewItemsWarning below.

    Args:
        penalty: on the squares of all entries, at least 0; 10 K / N if that is more.
    """

    def __init__(self, penalty: float = 1e-4) -> None:
        self.penalty = penalty

    def _fit(self, scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> None:
        classes = scores.shape[1]
        check_number(self.penalty, "penalty", least=0)
        penalty = _enough(self.penalty, type(self).__name__, weights, classes)
        strength = np.full((classes, classes), penalty)
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, weights, strength, self.penalty)


class DirichletCalibration(MulticlassRecalibrator):
    """Dirichlet calibration with off-diagonal and intercept regularization (Kull et al. 2019, arXiv 1910.12656).

    The form of MatrixScaling on log-probabilities; the penalties fall on the entries off the diagonal and on the
    intercept, so that every class keeps a scale of its own. The diagonal bears a thousandth of the penalty, to stay finite.
    A FewItemsWarning is issued if there are fewer items than entries.

    Args:
        off_diagonal: penalty on the squares of the entries off the diagonal, at least 0; 10 K / N if that is more.
        intercept: penalty on the squares of the intercept, at least 0.
    """

    def __init__(self, off_diagonal: float = 1e-2, intercept: float = 1e-2) -> None:
        self.off_diagonal = off_diagonal
        self.intercept = intercept

    def _fit(self, scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> None:
        classes = scores.shape[1]
        check_number(self.off_diagonal, "off_diagonal", least=0)
        strength = np.full((classes, classes), _enough(self.off_diagonal, type(self).__name__, weights, classes))
        np.fill_diagonal(strength, strength[0, 0] / 1000)
        penalty = check_number(self.intercept, "intercept", least=0)
        self.weight_, self.intercept_ = _fit_softmax(scores, labels, weights, strength, penalty)


def _enough(penalty: float, name: str, weights: Float64Array, classes: int) -> float:
    """The penalty, raised to what few (effective) items need; warns if there are fewer items than entries of W.

    10 K / N is a normal prior of standard deviation 1 / sqrt(20 K): over K classes the entries of a row then move a score
    by a few tenths of a typical log-probability.
    """
    size = float(weights.sum())
    if size < classes**2:
        warnings.warn(
            f"{name} fits {classes**2} entries to {size:.0f} items; use VectorScaling or MulticlassTemperatureScaling, or "
            "pass more items",
            FewItemsWarning,
            stacklevel=4,
        )
    return max(penalty, 10 * classes / size)


def _temperature(scores: Float64Array, labels: NDArray[np.intp], weights: Float64Array) -> float:
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    target = scores[np.arange(labels.size), labels]
    if (target >= scores.max(axis=1)).all():
        # Every label is the most probable class, and the likelihood has no finite maximum. As in Platt's method the target
        # is the posterior mean under a uniform prior, (n + 1) / (n + K) for the label.
        classes = scores.shape[1]
        others = (classes - 1) / (weights.sum() + classes)
        target = target + others * ((scores.sum(axis=1) - target) / (classes - 1) - target)
    share = weights / weights.sum()

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(share @ (logsumexp(inverse * scores, axis=1) - inverse * target))

    # Convex in 1/T, hence with one minimum in log T as well.
    solution = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(solution.x))


def _fit_softmax(
    scores: Float64Array,
    labels: NDArray[np.intp],
    weights: Float64Array,
    strength: Float64Array,
    intercept_strength: float,
) -> tuple[Float64Array, Float64Array]:
    """W and b (K,) of least mean loss plus strength * (W - I / T)^2 and intercept_strength * b^2, T that of the items.

    W is full if `strength` is (K, K), and diagonal if it is (K,).
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    classes = scores.shape[1]
    share = weights / weights.sum()
    full = strength.ndim == 2
    # Without a right temperature the fit would leave the penalty's center for lack of it.
    scale = 1 / min(max(_temperature(scores, labels, weights), 0.1), 10.0)
    center = scale * scores
    rows = np.arange(labels.size)

    def loss(flat: Float64Array) -> tuple[float, Float64Array]:
        moved, intercept = flat[: strength.size].reshape(strength.shape), flat[strength.size :]
        shift = scores @ moved.T if full else scores * moved
        log_probability = log_softmax(center + shift + intercept, axis=1)
        residual = np.exp(log_probability)
        residual[rows, labels] -= 1
        residual *= share[:, None]
        value = -(share @ log_probability[rows, labels])
        value += (strength * moved**2).sum() + intercept_strength * (intercept**2).sum()
        slope = (residual.T @ scores if full else (residual * scores).sum(axis=0)) + 2 * strength * moved
        return float(value), np.concatenate([slope.ravel(), residual.sum(axis=0) + 2 * intercept_strength * intercept])

    start = np.zeros(strength.size + classes)
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 2000})
    moved = solution.x[: strength.size].reshape(strength.shape)
    weight = moved + scale * np.eye(classes) if full else moved + scale
    return weight, np.asarray(solution.x[strength.size :])
