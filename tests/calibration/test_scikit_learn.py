"""scikit-learn's contract: transformers, pipelines, cross-validation, data frames, and a classifier with calibration."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

import calibration
from calibration import (
    MULTICLASS_RECALIBRATORS,
    RECALIBRATORS,
    CalibratedClassifier,
    Calibrator,
    InvalidInput,
    NotFitted,
    PlattScaling,
    ScalingBinning,
    VectorScaling,
    VennAbers,
    expected_calibration_error,
    negative_log_likelihood,
    select_multiclass_recalibrator,
)

KINDS = [getattr(calibration, name) for name in (*RECALIBRATORS.values(), *MULTICLASS_RECALIBRATORS.values())]


def sample(n=200, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < confidence**2


@pytest.mark.parametrize("kind", KINDS)
def test_the_checks_of_scikit_learn_that_need_no_data_pass(kind):
    """The others draw data outside [0, 1]; check_estimator leaves them out for input of one column."""
    for check in (
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_mixin_order,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
    ):
        check(kind.__name__, kind())
    assert get_tags(kind()).target_tags.required


@pytest.mark.parametrize("name", RECALIBRATORS.values())
def test_fit_keeps_parameters_and_transform_keeps_the_state_and_the_shape(name):
    confidence, correct = sample()
    fitted = getattr(calibration, name)()
    with pytest.raises(NotFittedError):
        fitted.transform(confidence)
    with pytest.raises(NotFittedError):
        check_is_fitted(fitted)
    parameters = fitted.get_params()
    assert fitted.fit(confidence[:, None], correct) is fitted
    check_is_fitted(fitted)
    assert fitted.get_params() == parameters
    state = fitted.to_dict()
    column = fitted.transform(confidence[:, None])
    assert column.shape == (200, 1)
    assert (column[:, 0] == fitted.transform(confidence)).all()
    assert fitted.to_dict() == state
    with pytest.raises(InvalidInput, match="confidence has shape"):
        fitted.transform(np.stack([confidence, confidence], axis=1))


def test_not_fitted_is_an_error_of_both_packages():
    with pytest.raises(calibration.CalibrationError, match="call fit first"):
        PlattScaling().transform([0.5])
    assert issubclass(NotFitted, NotFittedError)
    with pytest.raises(NotFittedError):
        CalibratedClassifier().predict_proba([[0.5]])


def test_cross_val_predict_gives_held_out_values():
    confidence, correct = sample(500)
    held_out = cross_val_predict(VennAbers(), confidence, correct, cv=5)
    assert held_out.shape == (500,)
    assert expected_calibration_error(held_out, correct) < expected_calibration_error(confidence, correct)


def test_a_recalibrator_is_a_step_of_a_pipeline():
    confidence, correct = sample(500)
    pipeline = make_pipeline(PlattScaling(), ScalingBinning(n_bins=5)).fit(confidence[:, None], correct)
    assert np.unique(pipeline.transform(confidence[:, None])).size <= 5


def test_set_output_gives_data_frames_and_nothing_inside_depends_on_it():
    confidence, correct = sample(300)
    column = pd.DataFrame({"confidence": confidence}, index=np.arange(300) + 7)
    plain = PlattScaling().fit(confidence, correct).transform(confidence)
    frame = PlattScaling().set_output(transform="pandas").fit(column, correct).transform(column)
    assert list(frame.columns) == ["plattscaling"]
    assert (frame.index == column.index).all()
    assert frame["plattscaling"].to_numpy() == pytest.approx(plain)
    matrix = np.stack([1 - confidence, confidence], axis=1)
    scaled = VectorScaling().set_output(transform="pandas").fit(matrix, correct.astype(int)).transform(matrix)
    assert list(scaled.columns) == ["vectorscaling0", "vectorscaling1"]
    with config_context(transform_output="pandas"):
        assert ScalingBinning().fit(confidence, correct).predict(confidence).shape == (300,)
        assert isinstance(Calibrator(0.3, recalibrator="platt").fit(confidence, correct).threshold, float)
        report = calibration.calibration_report(confidence, correct, risk=0.5, groups=np.arange(300) % 2)
        assert report.after[0].count == 90


def test_check_estimator_passes_for_the_classifier():
    reason = "repeated items fall in several folds, as in scikit-learn's own"
    expected = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
    results = estimator_checks.check_estimator(
        CalibratedClassifier(recalibrator="temperature"),
        expected_failed_checks=dict.fromkeys(expected, reason),
        on_skip=None,
    )
    assert sum(result["status"] == "passed" for result in results) > 40


def test_a_classifier_is_calibrated_on_its_own_held_out_predictions():
    X, y = make_classification(4000, n_features=20, n_informative=4, n_redundant=12, random_state=0)
    train, test = slice(0, 2000), slice(2000, None)
    raw = GaussianNB().fit(X[train], y[train]).predict_proba(X[test])[:, 1]
    ours = CalibratedClassifier(GaussianNB()).fit(X[train], y[train])
    theirs = CalibratedClassifierCV(GaussianNB(), method="isotonic", ensemble=False).fit(X[train], y[train])
    assert is_classifier(ours)
    after = ours.predict_proba(X[test])[:, 1]
    assert expected_calibration_error(after, y[test]) < 0.5 * expected_calibration_error(raw, y[test])
    loss = negative_log_likelihood(theirs.predict_proba(X[test])[:, 1], y[test])
    assert negative_log_likelihood(after, y[test]) < 1.02 * loss


@pytest.mark.parametrize("classes", [2, 3])
def test_decision_functions_and_fitted_classifiers_are_recalibrated(classes):
    X, y = make_classification(900, n_informative=6, n_classes=classes, random_state=1)
    y = np.array(["a", "b", "c"])[y]
    ours = CalibratedClassifier(LinearSVC(), recalibrator="temperature").fit(X, y)
    probabilities = ours.predict_proba(X)
    assert probabilities.shape == (900, classes)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (ours.predict(X) == y).mean() > 0.6
    known = LogisticRegression(max_iter=1000).fit(X[:450], y[:450])
    frozen = CalibratedClassifier(FrozenEstimator(known), recalibrator="temperature").fit(X[450:], y[450:])
    assert (frozen.estimator_.coef_ == known.coef_).all()
    with pytest.raises(InvalidInput, match=f"recalibrator is 'nothing'; for {classes} classes pass auto"):
        CalibratedClassifier(recalibrator="nothing").fit(X, y)


def test_a_class_of_one_item_cannot_be_cross_validated():
    with pytest.raises(InvalidInput, match="class b has one item"):
        CalibratedClassifier().fit([[0.0], [1.0], [2.0]], ["a", "a", "b"])
    with pytest.raises(InvalidInput, match="y holds one class, a;"):
        CalibratedClassifier().fit([[0.0], [1.0]], ["a", "a"])


def test_class_probabilities_are_recalibrated_by_the_candidate_of_least_loss():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, (1500, 3))
    true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (rng.random((1500, 1)) > true.cumsum(axis=1)).sum(axis=1)
    sharp = true**2 / (true**2).sum(axis=1, keepdims=True)
    selection = select_multiclass_recalibrator(sharp, labels, n_outer=2, n_inner=3)
    assert selection.name == "temperature"
    assert selection.recalibrator.temperature_ == pytest.approx(2, rel=0.15)
    assert selection.held_out.shape == (1500, 3)
    biased = true * np.array([4.0, 1.0, 0.25])
    biased /= biased.sum(axis=1, keepdims=True)
    assert select_multiclass_recalibrator(biased, labels, n_outer=2, n_inner=3).name == "vector"
    few = select_multiclass_recalibrator(sharp[:8], labels[:8], n_outer=2, n_inner=2)
    assert set(few.scores) == {"temperature", "vector"}


def test_weights_of_class_probabilities_count_as_repetitions():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([1, 1, 1], 60)
    labels, times = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    weighted = VectorScaling().fit(probabilities, labels, times)
    repeated = VectorScaling().fit(np.repeat(probabilities, times, axis=0), np.repeat(labels, times))
    assert weighted.weight_ == pytest.approx(repeated.weight_, abs=1e-3)
    assert weighted.intercept_ == pytest.approx(repeated.intercept_, abs=1e-3)
