"""Temperature, vector, matrix and Dirichlet scaling of (N, K) probabilities."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import softmax

import calibration
from calibration import (
    DirichletCalibration,
    FewItemsWarning,
    InvalidInput,
    MatrixScaling,
    MulticlassTemperatureScaling,
    NotFitted,
    VectorScaling,
    class_wise_calibration_error,
    multiclass_negative_log_likelihood,
)

ALL = [MulticlassTemperatureScaling, VectorScaling, MatrixScaling, DirichletCalibration]


def sample(n, seed=0, temperature=2.0, bias=(0.0, 0.0, 0.0)):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, 3))
    true = softmax(scores + np.array(bias), axis=1)
    labels = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return softmax(temperature * scores, axis=1), labels


@pytest.mark.parametrize("kind", ALL)
def test_errors_fall_on_rows_not_fitted_and_rows_sum_to_one(kind):
    fitted = kind().fit(*sample(4000))
    probabilities, labels = sample(10_000, seed=1)
    after = fitted.transform(probabilities)
    assert after.sum(axis=1) == pytest.approx(np.ones(10_000))
    assert class_wise_calibration_error(after, labels) < 0.4 * class_wise_calibration_error(probabilities, labels)
    assert multiclass_negative_log_likelihood(after, labels) < multiclass_negative_log_likelihood(probabilities, labels)


def test_the_temperature_is_found():
    assert MulticlassTemperatureScaling().fit(*sample(20_000)).temperature_ == pytest.approx(2.0, rel=0.05)


def test_a_temperature_of_all_right_is_as_certain_as_the_number_of_items_allows():
    """It was 0.01, which made every probability 0 or 1."""
    probabilities = [[0.6, 0.3, 0.1]] * 30
    fitted = MulticlassTemperatureScaling().fit(probabilities, [0] * 30)
    assert 0.85 < fitted.transform(probabilities)[0, 0] < 0.95
    many = MulticlassTemperatureScaling().fit(probabilities * 100, [0] * 3000)
    assert 0.99 < many.transform(probabilities)[0, 0] < 0.9999


def test_a_biased_class_needs_an_intercept():
    fitted = VectorScaling().fit(*sample(20_000, bias=(1.0, 0.0, -1.0)))
    assert fitted.intercept_[0] - fitted.intercept_[2] == pytest.approx(2, abs=0.15)
    assert fitted.weight_ == pytest.approx(np.full(3, 0.5), abs=0.05)


def many_classes(n, seed, classes=40):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, classes))
    true = softmax(scores, axis=1)
    labels = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return softmax(1.5 * scores, axis=1), labels


@pytest.mark.filterwarnings("ignore::calibration.FewItemsWarning")
@pytest.mark.parametrize("kind", [VectorScaling, MatrixScaling, DirichletCalibration])
def test_many_classes_and_few_items_do_not_worsen_the_loss(kind):
    """Matrix and Dirichlet scaling of 100 classes had a higher loss than the probabilities they were given."""
    probabilities, labels = many_classes(4000, seed=1)
    before = multiclass_negative_log_likelihood(probabilities, labels)
    fitted = kind().fit(*many_classes(800, seed=0))
    assert multiclass_negative_log_likelihood(fitted.transform(probabilities), labels) < before


@pytest.mark.parametrize("kind", [MatrixScaling, DirichletCalibration])
def test_fewer_items_than_entries_are_a_warning(kind):
    with pytest.warns(FewItemsWarning, match=f"{kind.__name__} fits 9 entries to 8 items"):
        kind().fit(*sample(8))


def test_scaling_of_very_many_classes_stores_no_square_matrix(tmp_path):
    """A temperature of 32,000 classes took 8 GB."""
    probabilities = np.full((4, 5000), 1 / 5000)
    for kind in (MulticlassTemperatureScaling, VectorScaling):
        tracemalloc.start()
        fitted = kind().fit(probabilities, [0, 1, 2, 3])
        fitted.transform(probabilities)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # 25 million entries would take 200 MB.
        assert peak < 40e6
        fitted.save(tmp_path / "x.json")
        assert (tmp_path / "x.json").stat().st_size < 1e6


@pytest.mark.filterwarnings("ignore::calibration.FewItemsWarning")
@pytest.mark.parametrize("kind", ALL)
def test_degenerate_rows_give_probabilities_and_files_survive(kind, tmp_path):
    for probabilities, labels in (
        ([[1.0, 0.0, 0.0]], [0]),
        ([[1.0, 0.0, 0.0]], [1]),
        ([[1 / 3, 1 / 3, 1 / 3]] * 4, [2] * 4),
        ([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], [0, 1]),
    ):
        fitted = kind().fit(probabilities, labels)
        after = fitted.transform(probabilities)
        assert np.isfinite(after).all()
        assert after.sum(axis=1) == pytest.approx(1)
        fitted.save(tmp_path / "x.json")
        assert (calibration.load(tmp_path / "x.json").transform(probabilities) == after).all()


@pytest.mark.filterwarnings("ignore::calibration.FewItemsWarning")
def test_misuse_is_refused():
    with pytest.raises(NotFitted):
        VectorScaling().transform([[0.5, 0.5]])
    fitted = VectorScaling().fit([[0.5, 0.5]], [0])
    with pytest.raises(InvalidInput, match="has 3 classes; this was fitted on 2"):
        fitted.transform([[0.5, 0.25, 0.25]])
    with pytest.raises(InvalidInput, match="probabilities has shape"):
        fitted.transform([0.5, 0.5])
    with pytest.raises(InvalidInput, match="penalty is -1"):
        MatrixScaling(penalty=-1).fit([[0.5, 0.5]], [0])
