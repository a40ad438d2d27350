"""The interface of every recalibrator of one confidence per item: `Recalibrator`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin

from calibration.arrays import BoolArray, Float64Array, as_array, check_confidence, check_pair, effective_weights
from calibration.errors import UnreadableFile
from calibration.persistence import JsonEstimator

__all__ = ["Recalibrator", "without_certainty"]


class Recalibrator(TransformerMixin, JsonEstimator):
    """Base of all recalibrators: checks the input and keeps the output within [0, 1].

    A transformer of scikit-learn, of one column: confidences may have the shape (N,) or (N, 1), and come back in it.
    Subclasses implement `_fit` and `_transform` on arrays (N,) that are already checked.

    Attributes:
        increasing: whether a higher confidence never gets a lower value, unless the confidence ranks items in reverse. A
            threshold then needs no rows of its own (calibrator.py).
    """

    increasing: ClassVar[bool] = True

    def fit(self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the map from confidence to accuracy.

        Args:
            confidence: (N,) or (N, 1) in [0, 1].
            correct: (N,) booleans.
            sample_weight: (N,) of any scale, at least 0; None counts every item once.

        Returns:
            This recalibrator.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        values, truth = check_pair(_flat(as_array(confidence, "confidence")), correct)
        weights = effective_weights(sample_weight, values.size)
        if sample_weight is not None:
            kept = weights > 0
            values, truth, weights = values[kept], truth[kept], weights[kept]
        self._fit(values.astype(np.float64), truth, weights)
        return self

    def transform(self, confidence: ArrayLike) -> Float64Array:
        """Recalibrate.

        Args:
            confidence: (N,) or (N, 1) in [0, 1].

        Returns:
            Float64 in [0, 1], in the same shape; a data frame if `set_output` asks for one.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        return self.predict(confidence)

    def predict(self, confidence: ArrayLike) -> Float64Array:
        """Recalibrate as `transform` does, always to an array, also by `sklearn.model_selection.cross_val_predict`."""
        self.check_fitted()
        array = as_array(confidence, "confidence")
        values = check_confidence(_flat(array)).astype(np.float64)
        return np.clip(self._transform(values), 0.0, 1.0).reshape(array.shape)

    def fit_transform(
        self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Float64Array:
        """Fit, then recalibrate the same items, which describes the fit and not its quality on new items; see `fit`."""
        return self.fit(confidence, correct, sample_weight).predict(confidence)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """The name (1,) of the output column in a data frame: that of the class in lower case, as in scikit-learn."""
        return np.array([type(self).__name__.lower()], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.positive_only = True
        tags.target_tags.required = True
        return tags

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        raise NotImplementedError

    def _transform(self, confidence: Float64Array) -> Float64Array:
        raise NotImplementedError

    def _check_restored(self) -> None:
        probes = np.linspace(0, 1, 101)
        if not np.isfinite(self.predict(probes)).all():
            raise UnreadableFile("what was learned gives values that are not numbers; pass what save wrote")


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """One column (N, 1) as (N,); anything else as it is."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def without_certainty(values: Float64Array, weights: Float64Array) -> Float64Array:
    """Keep values in [0, 1] at least 1 / (n + 2) away from 0 and 1, n the sum of the weights."""
    margin = 1 / (float(weights.sum()) + 2)
    return np.clip(values, margin, 1 - margin)
