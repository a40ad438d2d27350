"""Input: what every metric accepts, and how everything else is refused."""

import numpy as np
import pytest

import calibration
from calibration import (
    BinnedAccumulator,
    ConditionalFactuality,
    ConformalAbstention,
    ConformalFactuality,
    DirichletCalibration,
    GroupedRecalibrator,
    HistogramBinning,
    InvalidInput,
    PlattScaling,
    SplineCalibration,
    VectorScaling,
    accuracy_at_coverage,
    binomial_interval,
    binomial_p_value,
    brier_score,
    class_wise_calibration_error,
    coverage_at_risk,
    expected_calibration_error,
    false_claim_shares,
    hoeffding_bentkus_p_value,
    make_recalibrator,
    negative_log_likelihood,
    operating_point,
    risk_coverage_diagram,
    select_recalibrator,
    split_rows,
)


def test_torch_tensors_of_every_type_are_accepted():
    """Bfloat16 and tensors with a gradient raised errors of torch."""
    torch = pytest.importorskip("torch")
    values = [0.25, 0.5, 0.75, 1.0]  # exact in every type
    correct = torch.tensor([True, False, True, True])
    truth = [True, False, True, True]
    expected = expected_calibration_error(values, truth)
    weighted = expected_calibration_error(values, truth, weights=values)
    by_class = class_wise_calibration_error([[value, 1 - value] for value in values], [int(right) for right in truth])
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        for requires_grad in (False, True):
            confidence = torch.tensor(values, dtype=dtype, requires_grad=requires_grad)
            assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
            assert expected_calibration_error(confidence, correct.to(dtype), weights=confidence) == pytest.approx(weighted)
            fitted = PlattScaling().fit(confidence, correct)
            assert fitted.transform(confidence) == pytest.approx(fitted.transform(values))
            probabilities = torch.stack([confidence, 1 - confidence], dim=1)
            assert class_wise_calibration_error(probabilities, correct.long()) == pytest.approx(by_class)
            assert ConformalAbstention(0.9).fit(confidence, correct).answer(confidence).shape == (4,)
    with pytest.raises(InvalidInput, match="confidence cannot be made an array"):
        expected_calibration_error([torch.tensor([0.5, 0.5], requires_grad=True)], [True])


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([], [], "confidence is empty"),
        ([0.5, np.nan], [1, 0], r"confidence\[1\] is nan; drop or fill"),
        ([0.5, 1.2], [1, 0], r"confidence\[1\] is 1.2; rescale"),
        ([-0.1], [1], r"confidence\[0\] is -0.1"),
        ([0.5, 0.5], [1], "correct has shape"),
        ([0.5], [2], r"correct\[0\] is 2"),
        ([0.5], ["yes"], "pass booleans"),
        ([[0.5]], [[1]], "confidence has shape"),
        (["a"], [1], "confidence has type"),
        ([[0.5], [0.1, 0.2]], [1, 0], "unequal length"),
    ],
)
def test_unusable_input_is_refused_by_name_and_value(confidence, correct, message):
    with pytest.raises(InvalidInput, match=message):
        expected_calibration_error(confidence, correct)


CONFIDENCE, CORRECT = np.linspace(0.05, 0.95, 40), np.arange(40) % 3 > 0


@pytest.mark.parametrize("value", [None, "ab", [], [0.5], {}, object(), float("nan"), -1, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda value: brier_score(CONFIDENCE, CORRECT, interval=value or []),
        lambda value: negative_log_likelihood(CONFIDENCE, CORRECT, clip=value),
        lambda value: coverage_at_risk(CONFIDENCE, CORRECT, value),
        lambda value: accuracy_at_coverage(CONFIDENCE, CORRECT, value),
        lambda value: operating_point(CONFIDENCE, CORRECT, value),
        lambda value: ConformalAbstention(risk=value).fit(CONFIDENCE, CORRECT),
        lambda value: ConformalAbstention(n_starts=value).fit(CONFIDENCE, CORRECT),
        lambda value: ConformalAbstention(bound=value).fit(CONFIDENCE, CORRECT),
        lambda value: ConformalFactuality(risk=value).fit([[0.5]] * 20, [[1]] * 20),
        lambda value: ConformalFactuality().fit(value, [[1]]),
        lambda value: ConformalFactuality().fit([[0.5]], value),
        lambda value: HistogramBinning(n_bins=value).fit(CONFIDENCE, CORRECT),
        lambda value: SplineCalibration(penalty=value).fit(CONFIDENCE, CORRECT),
        lambda value: GroupedRecalibrator(shrinkage=value).fit(CONFIDENCE, CORRECT, ["a"] * 40),
        lambda value: GroupedRecalibrator(recalibrator=value or []).fit(CONFIDENCE, CORRECT, ["a"] * 40),
        lambda value: VectorScaling(penalty=value).fit([[0.5, 0.5]], [0]),
        lambda value: DirichletCalibration(off_diagonal=value).fit([[0.5, 0.5]], [0]),
        lambda value: select_recalibrator(CONFIDENCE, CORRECT, candidates={"a": value}),
        lambda value: split_rows(value, (0.5, 0.5)),
        lambda value: make_recalibrator(value),
        lambda value: binomial_p_value(1, 5, value),
        lambda value: risk_coverage_diagram(CONFIDENCE, CORRECT, risk=[] if value is None else value),
    ],
)
def test_options_of_the_wrong_type_or_range_are_refused(call, value):
    with pytest.raises(InvalidInput, match=r"(pass|there is no recalibrator)"):
        call(value)


_SUPPORT, _CORRECT = [[0.9, 0.2], [0.5], [0.4]], [[1, 0], [1], [0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binomial_interval("abc", 10), "successes cannot be made an array"),
        (lambda: binomial_interval([[1, 2], [3]], 10), "successes has rows of unequal length"),
        (lambda: binomial_interval([1, 11], 10), "successes is 11 of 10; pass numbers from 0 to the count"),
        (lambda: binomial_interval(np.nan, 10), "successes is nan of 10"),
        (lambda: binomial_interval([1, 2], [1, 2, 3]), r"shape \(2,\) but count has shape \(3,\)"),
        (lambda: binomial_p_value(-1, 10, 0.1), "errors is -1 of 10"),
        (lambda: binomial_p_value(0, -1, 0.1), "count holds a value that is not a number of at least 0"),
        (lambda: hoeffding_bentkus_p_value(1.5, 10, 0.1), "mean_loss goes from 1.5 to 1.5"),
        (lambda: ConditionalFactuality().fit(None, _CORRECT), "support is None; pass a list with one array per answer"),
        (lambda: ConditionalFactuality().fit(_SUPPORT, 5), "correct is 5; pass a list with one array per answer"),
        (lambda: ConditionalFactuality().fit(_SUPPORT[:1], _CORRECT[:1]), "at least two"),
        (lambda: false_claim_shares(_SUPPORT, iter(_CORRECT), [0.5]), "correct is <list_iterator"),
        (lambda: false_claim_shares([], [], [0.5]), "at least one"),
        (lambda: BinnedAccumulator().update([[0.1, 0.2], [0.3]], [1, 0]), "confidence has rows of unequal length"),
        (lambda: calibration.load(None), "path is None; pass a string or a Path"),
        (lambda: PlattScaling().fit([0.2, 0.8], [0, 1]).save(3), "path is 3; pass a string or a Path"),
    ],
)
def test_what_is_no_number_no_list_or_no_path_is_refused_in_a_sentence(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_a_count_of_zero_has_the_whole_interval_and_no_evidence():
    low, high = binomial_interval([0, 0], [0, 5])
    assert (low[0], high[0]) == (0, 1)
    assert high[1] < 1
    assert binomial_p_value(0, 0, 0.1) == 1
