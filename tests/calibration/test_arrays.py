"""Input: what every metric accepts, and how everything else is refused."""

import numpy as np
import pytest

from calibration import (
    ConformalAbstention,
    InvalidInput,
    PlattScaling,
    class_wise_calibration_error,
    expected_calibration_error,
)


def test_torch_tensors_of_every_type_are_accepted():
    """E5: bfloat16 and tensors with a gradient raised errors of torch."""
    torch = pytest.importorskip("torch")
    values = [0.25, 0.5, 0.75, 1.0]  # exact in every type
    correct = torch.tensor([True, False, True, True])
    expected = expected_calibration_error(values, [True, False, True, True])
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        for requires_grad in (False, True):
            confidence = torch.tensor(values, dtype=dtype, requires_grad=requires_grad)
            assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
            assert expected_calibration_error(confidence, correct.to(dtype), weights=confidence) >= 0
            fitted = PlattScaling().fit(confidence, correct)
            assert fitted.transform(confidence) == pytest.approx(fitted.transform(values))
            probabilities = torch.stack([confidence, 1 - confidence], dim=1)
            assert class_wise_calibration_error(probabilities, correct.long()) >= 0
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
