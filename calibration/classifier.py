"""Any classifier of scikit-learn with calibrated probabilities: `CalibratedClassifier`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone

from calibration.arrays import Float64Array, check_count, check_seed
from calibration.errors import InvalidInput
from calibration.recalibrators.multiclass import MulticlassRecalibrator
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.selection import (
    MULTICLASS_RECALIBRATORS,
    RECALIBRATORS,
    select_multiclass_recalibrator,
    select_recalibrator,
)

__all__ = ["CalibratedClassifier"]


class CalibratedClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Recalibrates a classifier with its own held-out predictions.

    The classifier predicts every fold after a fit to the other folds; the recalibrator is fitted to these predictions, and
    the classifier then to all items. scikit-learn's CalibratedClassifierCV(ensemble=False) does the same, with two kinds of
    recalibrator. To recalibrate a classifier that is fitted already, pass it as sklearn.frozen.FrozenEstimator(classifier),
    with items that it was not fitted on.

    Args:
        estimator: a classifier with `predict_proba`, or with `decision_function`, which is taken as a logit; None for a
            logistic regression.
        recalibrator: for two classes a short name of `RECALIBRATORS` or a Recalibrator, for more one of
            `MULTICLASS_RECALIBRATORS` or a MulticlassRecalibrator; "auto" chooses by cross-validation.
        n_folds: number of folds, at least 2; fewer if a class has fewer items.
        seed: of the folds.

    Attributes:
        classes_: (K,) the distinct labels, ascending.
        estimator_: the classifier, fitted on all items.
        recalibrator_: the fitted recalibrator; of the probability of the second class if there are two.
        held_out_: (N, K) the raw held-out probabilities that it was fitted to.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        recalibrator: str | Recalibrator | MulticlassRecalibrator = "auto",
        n_folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.estimator = estimator
        self.recalibrator = recalibrator
        self.n_folds = n_folds
        self.seed = seed

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the classifier and the recalibrator.

        Args:
            X: (N, D) or whatever the classifier takes.
            y: (N,) labels of at least two classes, each with at least two items.
            sample_weight: (N,) of any scale, at least 0; the classifier gets them too if its `fit` takes them.

        Returns:
            This classifier.

        Raises:
            InvalidInput: a parameter is unusable, or there are too few classes or items of a class.
        """
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.utils import indexable
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import _check_sample_weight, column_or_1d, has_fit_parameter

        check_count(self.n_folds, "n_folds", least=2)
        check_seed(self.seed)
        X, y = indexable(X, column_or_1d(y, warn=True))
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._check_recalibrator()
        fewest = self._fewest(labels)
        base = self._base()
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        params = {"sample_weight": weights} if weights is not None and has_fit_parameter(base, "sample_weight") else {}
        method = "predict_proba" if hasattr(base, "predict_proba") else "decision_function"
        folds = StratifiedKFold(min(self.n_folds, fewest), shuffle=True, random_state=self.seed)
        scores = cross_val_predict(base, X, y, cv=folds, method=method, params=params)
        self.held_out_ = _probabilities(scores, method)
        self.estimator_ = clone(base).fit(X, y, **params)
        self.recalibrator_ = self._fitted(labels, weights)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict_proba(self, X: Any) -> Float64Array:
        """The recalibrated probabilities (N, K) of items X (N, D), in the order of `classes_`; rows sum to 1."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        method = "predict_proba" if hasattr(self.estimator_, "predict_proba") else "decision_function"
        raw = _probabilities(getattr(self.estimator_, method)(X), method)
        if isinstance(self.recalibrator_, MulticlassRecalibrator):
            return self.recalibrator_.predict(raw)
        second = self.recalibrator_.predict(raw[:, 1])
        return np.stack([1 - second, second], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class (N,) of each item of X (N, D)."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self._base()).input_tags.sparse
        return tags

    def _base(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator

    def _fewest(self, labels: NDArray[np.intp]) -> int:
        """The number of items of the rarest class; InvalidInput if cross-validation is impossible."""
        if self.classes_.size == 0:
            raise InvalidInput("y is empty; pass items of at least two classes")
        if self.classes_.size < 2:
            raise InvalidInput(f"y holds one class, {self.classes_[0]}; pass items of at least two")
        counts = np.bincount(labels)
        if counts.min() < 2:
            rare = self.classes_[int(counts.argmin())]
            raise InvalidInput(f"class {rare} has one item; cross-validation needs at least two of each class")
        return int(counts.min())

    def _check_recalibrator(self) -> None:
        two = self.classes_.size <= 2
        names = RECALIBRATORS if two else MULTICLASS_RECALIBRATORS
        kind = self.recalibrator
        if isinstance(kind, Recalibrator if two else MulticlassRecalibrator):
            return
        if not isinstance(kind, str) or kind not in ("auto", *names):
            choice = f"pass auto, {', '.join(names)}, or an unfitted recalibrator of this kind"
            raise InvalidInput(f"recalibrator is {kind!r}; for {self.classes_.size} classes {choice}")

    def _fitted(self, labels: NDArray[np.intp], weights: ArrayLike | None) -> Recalibrator | MulticlassRecalibrator:
        import calibration

        kind, second = self.recalibrator, self.held_out_[:, 1]
        if self.classes_.size == 2:
            if kind == "auto":
                return select_recalibrator(second, labels == 1, weights, seed=self.seed).recalibrator
            one = getattr(calibration, RECALIBRATORS[kind])() if isinstance(kind, str) else clone(kind)
            fitted: Recalibrator = one.fit(second, labels == 1, weights)
            return fitted
        if kind == "auto":
            return select_multiclass_recalibrator(self.held_out_, labels, weights, seed=self.seed).recalibrator
        many = getattr(calibration, MULTICLASS_RECALIBRATORS[kind])() if isinstance(kind, str) else clone(kind)
        recalibrator: MulticlassRecalibrator = many.fit(self.held_out_, labels, weights)
        return recalibrator


def _probabilities(scores: NDArray[np.floating], method: str) -> Float64Array:
    """Probabilities (N, K) from what a classifier returns: (N, K), or (N,) scores of the second of two classes."""
    from scipy.special import expit, softmax

    values = np.asarray(scores, dtype=np.float64)
    if method == "predict_proba":
        # Rounding aside, rows sum to 1; a class that a fold lacks has probability 0 there.
        normalized: Float64Array = values / values.sum(axis=1, keepdims=True)
        return normalized
    if values.ndim == 1:
        second = expit(values)
        return np.stack([1 - second, second], axis=1)
    return np.asarray(softmax(values, axis=1))
