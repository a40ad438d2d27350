"""The properties of every recalibrator, then each by its own definition."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import calibration
from calibration import (
    BayesianBinning,
    BetaCalibration,
    GroupedRecalibrator,
    HistogramBinning,
    InvalidInput,
    IsotonicCalibration,
    NotFitted,
    PlattScaling,
    ScalingBinning,
    SplineCalibration,
    TemperatureScaling,
    VennAbers,
    expected_calibration_error,
    negative_log_likelihood,
)

ALL = [
    TemperatureScaling,
    PlattScaling,
    BetaCalibration,
    IsotonicCalibration,
    HistogramBinning,
    ScalingBinning,
    BayesianBinning,
    VennAbers,
    SplineCalibration,
]
INCREASING = [TemperatureScaling, BetaCalibration, IsotonicCalibration, VennAbers, SplineCalibration]


def overconfident(n, seed=0, temperature=2.5, bias=0.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0.5, 1, n)
    return expit(temperature * score), rng.random(n) < expit(score + bias)


@pytest.mark.parametrize("kind", ALL)
def test_calibration_error_falls_on_items_not_fitted(kind):
    fitted = kind().fit(*overconfident(4000))
    confidence, correct = overconfident(20_000, seed=1)
    after = expected_calibration_error(fitted.transform(confidence), correct)
    assert after < 0.3 * expected_calibration_error(confidence, correct)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("confidence", "correct"),
    [
        ([0.3, 0.6, 0.9], [1, 1, 1]),
        ([0.3, 0.6, 0.9], [0, 0, 0]),
        ([0.7], [1]),
        ([0.7], [0]),
        ([0.7] * 6, [1, 0, 1, 0, 0, 0]),
        ([0.5] * 4, [1, 0, 1, 0]),
        ([0.0, 1.0], [0, 1]),
        ([0.0, 1.0], [1, 0]),
        ([0.0] * 3 + [1.0] * 3, [0, 0, 1, 0, 1, 1]),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]),
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]),
    ],
)
def test_degenerate_data_gives_probabilities(kind, confidence, correct):
    result = kind().fit(confidence, correct).transform([0.0, 1e-300, 0.2, 0.5, 0.7, 1.0])
    assert result.shape == (6,)
    assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("kind", ALL)
@given(
    data=st.integers(1, 40).flatmap(
        lambda n: st.tuples(arrays(np.float64, n, elements=st.floats(0, 1)), arrays(np.bool_, n))
    )
)
@settings(max_examples=25, deadline=None)
def test_any_data_gives_probabilities(kind, data):
    result = kind().fit(*data).transform(data[0])
    assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("kind", INCREASING)
def test_order_is_kept(kind):
    fitted = kind().fit(*overconfident(500))
    assert (np.diff(fitted.transform(np.linspace(0, 1, 501))) >= 0).all()


@pytest.mark.parametrize("kind", ALL)
def test_a_recalibrator_survives_json_and_pickle_and_clone(kind, tmp_path):
    confidence, correct = overconfident(300)
    fitted = kind().fit(confidence, correct)
    path = tmp_path / "recalibrator.json"
    fitted.save(path)
    for back in (kind.load(path), calibration.load(path), pickle.loads(pickle.dumps(fitted))):
        assert type(back) is kind
        assert (back.transform(confidence) == fitted.transform(confidence)).all()
        assert back.get_params() == fitted.get_params()
    assert clone(fitted).get_params() == fitted.get_params()


@pytest.mark.parametrize("kind", ALL)
def test_the_scale_of_weights_does_not_matter(kind):
    """Importance weights that summed to 1 made Venn-Abers of 0.013 return 0.407."""
    confidence, correct = overconfident(200)
    weights = np.random.default_rng(3).gamma(2, 1, 200)
    grid = np.linspace(0.01, 0.99, 50)
    plain = kind().fit(confidence, correct, weights).transform(grid)
    for scale in (1 / weights.sum(), 1e-9, 1e5):
        assert kind().fit(confidence, correct, weights * scale).transform(grid) == pytest.approx(plain, abs=1e-6)
    equal = kind().fit(confidence, correct, np.full(200, 1 / 200)).transform(grid)
    assert equal == pytest.approx(kind().fit(confidence, correct).transform(grid), abs=1e-6)


@pytest.mark.parametrize("kind", [TemperatureScaling, PlattScaling, BetaCalibration])
def test_a_weight_of_two_counts_an_item_twice(kind):
    confidence, correct = overconfident(200)
    times = np.random.default_rng(3).integers(0, 3, 200)
    weighted = kind().fit(confidence, correct, times)
    repeated = kind().fit(np.repeat(confidence, times), np.repeat(correct, times))
    grid = np.linspace(0.01, 0.99, 50)
    assert weighted.transform(grid) == pytest.approx(repeated.transform(grid), abs=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_a_missing_fit_and_unusable_input_are_refused(kind, tmp_path):
    with pytest.raises(NotFitted, match=f"{kind.__name__} has not seen data"):
        kind().transform([0.5])
    with pytest.raises(NotFitted):
        kind().save(tmp_path / "x.json")
    with pytest.raises(InvalidInput, match="is nan"):
        kind().fit([np.nan], [1])
    with pytest.raises(InvalidInput, match=r"confidence\[0\] is 2"):
        kind().fit([0.5], [1]).transform([2.0])


@pytest.mark.parametrize("kind", [TemperatureScaling, PlattScaling, BetaCalibration, ScalingBinning])
def test_no_outcome_is_called_impossible(kind):
    confidence = np.array([0.0, 0.4, 0.6, 1.0, 1.0])
    fitted = kind().fit(confidence, confidence > 0.5, np.array([1e6, 1, 1, 1e6, 1e6]))
    values = fitted.predict([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])
    assert (values > 0).all()
    assert (values < 1).all()
    assert (np.diff(values) >= 0).all()


def test_temperature_finds_the_temperature_and_the_least_likelihood_loss():
    confidence, correct = overconfident(50_000, temperature=2.5)
    fitted = TemperatureScaling().fit(confidence, correct)
    assert fitted.temperature_ == pytest.approx(2.5, rel=0.05)
    best = negative_log_likelihood(fitted.transform(confidence), correct)
    for near in (0.99, 1.01):
        other = expit(logit(confidence) / (near * fitted.temperature_))
        assert best < negative_log_likelihood(other, correct)


def test_temperature_of_all_right_grows_sharper_with_the_number_of_items():
    few = TemperatureScaling().fit([0.8] * 3, [1] * 3).transform([0.8])[0]
    many = TemperatureScaling().fit([0.8] * 300, [1] * 300).transform([0.8])[0]
    assert few == pytest.approx(4 / 5)
    assert many == pytest.approx(301 / 302)


def test_platt_is_logistic_regression_on_the_logit():
    confidence, correct = overconfident(2000, bias=-0.7)
    fitted = PlattScaling().fit(confidence, correct)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(logit(confidence)[:, None], correct)
    assert fitted.slope_ == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert fitted.intercept_ == pytest.approx(theirs.intercept_[0], rel=1e-3)


def test_platt_of_one_confidence_learns_the_accuracy():
    assert PlattScaling().fit([0.7] * 4, [1, 0, 0, 0]).transform([0.7])[0] == pytest.approx(0.25)


def test_beta_is_logistic_regression_on_both_logarithms():
    rng = np.random.default_rng(0)
    confidence = rng.beta(2, 1, 3000)
    correct = rng.random(3000) < confidence**2
    fitted = BetaCalibration().fit(confidence, correct)
    features = np.stack([np.log(confidence), -np.log1p(-confidence)], axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(features, correct)
    assert theirs.coef_.min() > 0
    assert (fitted.a_, fitted.b_) == pytest.approx(tuple(theirs.coef_[0]), rel=1e-3)


def test_isotonic_is_scikit_learns():
    confidence, correct = overconfident(500)
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, correct)
    grid = np.linspace(0, 1, 200)
    # Only certainty is taken back: with 500 items no probability is nearer than 1 / 502 to 0 or 1.
    expected = np.clip(theirs.predict(grid), 1 / 502, 501 / 502)
    assert IsotonicCalibration().fit(confidence, correct).transform(grid) == pytest.approx(expected, abs=1e-12)


def test_histogram_binning_by_hand():
    fitted = HistogramBinning(n_bins=4, strategy="equal-width").fit([0.1, 0.2, 0.9, 0.95], [0, 1, 1, 1])
    # All right in the last bin, of 4 items: not 1 but 1 - 1 / 6.
    assert fitted.transform([0.25, 0.3, 0.6, 0.8]) == pytest.approx([0.5, 0.375, 0.625, 5 / 6])


def test_scaling_binning_gives_at_most_n_bins_values_near_platts():
    confidence, correct = overconfident(5000)
    fitted = ScalingBinning(n_bins=10).fit(confidence, correct)
    values = fitted.transform(confidence)
    assert np.unique(values).size <= 10
    platt = PlattScaling().fit(confidence, correct).transform(confidence)
    assert values.mean() == pytest.approx(platt.mean(), abs=1e-9)


def test_bayesian_binning_averages_histograms_and_never_gives_0_or_1():
    fitted = BayesianBinning().fit(*overconfident(1000))
    assert fitted.score_.sum() == pytest.approx(1)
    assert len(fitted.edges_) == fitted.score_.size > 10
    values = fitted.transform(np.linspace(0, 1, 100))
    assert 0 < values.min() < values.max() < 1


def test_groups_are_fitted_separately_and_shrunk_towards_the_pooled_fit():
    low, high = overconfident(3000, bias=-1.5), overconfident(3000, seed=1, bias=1.5)
    confidence, correct = np.concatenate([low[0], high[0]]), np.concatenate([low[1], high[1]])
    groups = np.repeat(["low", "high"], 3000)
    pooled = PlattScaling().fit(confidence, correct).transform(confidence)
    separate = GroupedRecalibrator(shrinkage=0).fit(confidence, correct, groups)
    alone = PlattScaling().fit(*low).transform(low[0])
    assert separate.transform(low[0], ["low"] * 3000) == pytest.approx(alone, abs=1e-9)
    shrunk = GroupedRecalibrator(shrinkage=1e12).fit(confidence, correct, groups)
    assert shrunk.transform(confidence, groups) == pytest.approx(pooled, abs=1e-6)
    assert separate.transform(confidence, ["new"] * 6000) == pytest.approx(pooled, abs=1e-12)
    error = expected_calibration_error(
        GroupedRecalibrator().fit(confidence, correct, groups).transform(low[0], ["low"] * 3000), low[1]
    )
    assert error < 0.5 * expected_calibration_error(pooled[:3000], low[1])


def test_a_grouped_recalibrator_survives_its_file(tmp_path):
    confidence, correct = overconfident(200)
    groups = np.arange(200) % 3
    fitted = GroupedRecalibrator(HistogramBinning(n_bins=5), shrinkage=10).fit(confidence, correct, groups)
    fitted.save(tmp_path / "grouped.json")
    back = calibration.load(tmp_path / "grouped.json")
    assert back.recalibrator.n_bins == 5
    assert (back.transform(confidence, groups) == fitted.transform(confidence, groups)).all()
    with pytest.raises(InvalidInput, match="groups has shape"):
        fitted.transform(confidence, groups[:5])
    with pytest.raises(InvalidInput, match="shrinkage is -1"):
        GroupedRecalibrator(shrinkage=-1).fit(confidence, correct, groups)


@pytest.mark.parametrize(
    ("groups", "same", "other"),
    [
        ([1.0, 2.0], [1, 2], ["1.0", "2.0"]),
        ([1, 2], [1.0, 2.0], ["1", "2"]),
        (np.array([1, 2], dtype=np.int32), [1, 2], ["1", "2"]),
        (["1", "2"], np.array(["1", "2"]), [1, 2]),
        (["a", 1], ["a", 1.0], ["a", "1"]),
    ],
)
def test_groups_keep_their_type_in_memory_and_in_a_file(groups, same, other, tmp_path):
    """Fitted on 1.0, a group of 1 got the pooled fit without a word."""
    low, high = overconfident(300, bias=-1.5), overconfident(300, seed=1, bias=1.5)
    confidence, correct = np.concatenate([low[0], high[0]]), np.concatenate([low[1], high[1]])
    fitted = GroupedRecalibrator().fit(confidence, correct, [groups[0]] * 300 + [groups[1]] * 300)
    pooled = fitted.transform([0.7, 0.7], ["new", "new"])
    expected = fitted.transform([0.7, 0.7], groups)
    assert abs(expected - pooled).min() > 0.05
    fitted.save(tmp_path / "grouped.json")
    for estimator in (fitted, calibration.load(tmp_path / "grouped.json")):
        assert (estimator.transform([0.7, 0.7], same) == expected).all()
        with pytest.raises(InvalidInput, match="pass groups of the same type"):
            estimator.transform([0.7, 0.7], other)


@pytest.mark.parametrize("group", [None, float("nan"), ("a", "b"), b"a"])
def test_groups_that_are_neither_text_nor_number_are_refused(group):
    groups = np.array([None, None], dtype=object)
    groups[:] = ["a", "b"]
    groups[1] = group
    with pytest.raises(InvalidInput, match=r"groups\[1\] is .*; pass a text or a number"):
        GroupedRecalibrator().fit([0.2, 0.8], [0, 1], groups)
    assert groups[1] is group


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(
            arrays(np.float64, n, elements=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.8, 1.0])), arrays(np.bool_, n)
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_venn_abers_is_two_isotonic_fits_for_each_new_confidence(data):
    confidence, correct = data
    grid = np.array([0.0, 0.05, 0.1, 0.27, 0.3, 0.6, 0.8, 0.9, 1.0])
    low, high = VennAbers().fit(confidence, correct).interval(grid)
    for place, new in enumerate(grid):
        for label, ours in ((0.0, low), (1.0, high)):
            refit = IsotonicRegression().fit(np.append(confidence, new), np.append(correct, label))
            assert ours[place] == pytest.approx(refit.predict([new])[0], abs=1e-9)


def test_the_venn_abers_package_agrees():
    package = pytest.importorskip("venn_abers")
    confidence, correct = overconfident(800)
    theirs = package.VennAbers()
    theirs.fit(np.stack([1 - confidence, confidence], axis=1), correct.astype(int))
    new = np.random.default_rng(7).random(300)
    probability, pair = theirs.predict_proba(np.stack([1 - new, new], axis=1))
    fitted = VennAbers().fit(confidence, correct)
    low, high = fitted.interval(new)
    assert pair[:, 0] == pytest.approx(low, abs=1e-9)
    assert pair[:, 1] == pytest.approx(high, abs=1e-9)
    assert probability[:, 1] == pytest.approx(fitted.transform(new), abs=1e-9)


def test_the_spline_bends_where_two_numbers_cannot():
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    truth = 0.5 + 0.3 * np.tanh(12 * (confidence - 0.3)) / 2 + 0.3 * np.tanh(12 * (confidence - 0.8)) / 2
    correct = rng.random(20_000) < truth
    platt, spline = (
        PlattScaling().fit(confidence, correct),
        SplineCalibration(n_knots=12, penalty=1e-6).fit(confidence, correct),
    )
    error = [np.abs(kind.transform(confidence) - truth).mean() for kind in (platt, spline)]
    assert error[1] < 0.25 * error[0]


def test_the_spline_without_curvature_is_platts_map():
    confidence, correct = overconfident(5000, bias=-0.5)
    stiff = SplineCalibration(penalty=1e6).fit(confidence, correct)
    grid = np.linspace(0.05, 0.95, 20)
    assert stiff.transform(grid) == pytest.approx(PlattScaling().fit(confidence, correct).transform(grid), abs=0.005)
