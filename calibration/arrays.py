"""What every metric and recalibrator accepts, and how the rest is refused.

Confidence is kept as float32 or float64 (other number types become float64), correctness becomes boolean, weights
become float64. Weights are frequencies: weight 2 is the same as the row twice, weight 0 as the row left out.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.errors import InvalidInput

__all__ = [
    "BoolArray",
    "FloatArray",
    "check_confidence",
    "check_count",
    "check_fraction",
    "check_pair",
    "check_probabilities",
    "check_weights",
    "unit_weights",
]

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_CHUNK = 1 << 15


def check_confidence(confidence: ArrayLike, *, name: str = "confidence") -> FloatArray:
    """The confidences as a one-dimensional float array with every value in [0, 1]; InvalidInput otherwise."""
    values = _as_floats(confidence, name)
    if values.ndim != 1:
        raise InvalidInput(f"{name} has shape {values.shape}; pass one number per item, shape (N,)")
    if values.size == 0:
        raise InvalidInput(f"{name} is empty; pass at least one item")
    _check_unit_range(values, name)
    return values


def check_pair(confidence: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Confidences (N,) in [0, 1] and correctness (N,) of booleans or zeros and ones; InvalidInput otherwise."""
    values = check_confidence(confidence)
    truth = np.asarray(correct)
    if truth.shape != values.shape:
        raise InvalidInput(
            f"correct has shape {truth.shape} but confidence has shape {values.shape}; pass one of each for every item"
        )
    if truth.dtype != np.bool_:
        if truth.dtype.kind not in "iuf":
            raise InvalidInput(f"correct has type {truth.dtype}; pass booleans, or zeros and ones")
        wrong_values = (truth != 0) & (truth != 1)
        if wrong_values.any():
            row = int(np.argmax(wrong_values))
            raise InvalidInput(f"correct[{row}] is {truth[row]}; pass booleans, or zeros and ones")
        truth = truth.astype(np.bool_)
    return values, truth


def check_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[np.intp]]:
    """Class probabilities (N, K) whose rows sum to 1 (to 1e-3) and labels (N,) in 0..K-1; InvalidInput otherwise."""
    matrix = _as_floats(probabilities, "probabilities")
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] < 2:
        raise InvalidInput(f"probabilities has shape {matrix.shape}; pass (N, K) with N >= 1 items and K >= 2 classes")
    _check_unit_range(matrix, "probabilities")
    sums = matrix.sum(axis=1)
    off = np.abs(sums - 1) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise InvalidInput(f"probabilities[{row}] sums to {sums[row]:.6g}; every row must sum to 1, as softmax gives it")
    classes = np.asarray(labels)
    if classes.shape != (matrix.shape[0],) or classes.dtype.kind not in "iu":
        raise InvalidInput(
            f"labels has shape {classes.shape} and type {classes.dtype}; pass {matrix.shape[0]} integers, one per row"
        )
    if classes.min() < 0 or classes.max() >= matrix.shape[1]:
        bad = int(np.argmax((classes < 0) | (classes >= matrix.shape[1])))
        raise InvalidInput(
            f"labels[{bad}] is {classes[bad]}; with {matrix.shape[1]} classes pass 0 to {matrix.shape[1] - 1}"
        )
    return matrix, classes.astype(np.intp)


def check_weights(weights: ArrayLike, size: int) -> NDArray[np.float64]:
    """Weights (size,), finite, none negative, not all zero; InvalidInput otherwise."""
    values = np.asarray(_as_floats(weights, "weights"), dtype=np.float64)
    if values.shape != (size,):
        raise InvalidInput(f"weights has shape {values.shape}; pass one for each of the {size} items")
    usable = np.isfinite(values) & (values >= 0)
    if not usable.all():
        row = int(np.argmin(usable))
        raise InvalidInput(f"weights[{row}] is {values[row]}; weights are finite and not negative")
    if not values.any():
        raise InvalidInput("weights are all zero; at least one item must count")
    return values


def unit_weights(weights: ArrayLike | None, size: int) -> NDArray[np.float64]:
    """The checked weights, or ones where none were given."""
    return np.ones(size) if weights is None else check_weights(weights, size)


def check_fraction(value: float, name: str) -> float:
    """A number strictly between 0 and 1; InvalidInput otherwise."""
    if not 0 < value < 1:
        raise InvalidInput(f"{name} is {value}; pass a number strictly between 0 and 1")
    return float(value)


def check_count(value: int, name: str, *, least: int = 1) -> int:
    """A whole number of at least `least`; InvalidInput otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInput(f"{name} is {value!r}; pass a whole number of at least {least}")
    return int(value)


def _as_floats(values: ArrayLike, name: str) -> FloatArray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidInput(f"{name} has rows of unequal length; pass a rectangular array") from error
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} has type {array.dtype}; pass numbers")
    return array.astype(np.float64)


def _check_unit_range(values: FloatArray, name: str) -> None:
    flat = values.reshape(-1)
    # Two reductions, the second from cache; a NaN makes the comparisons false.
    parts = (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
    if all(part.min() >= 0 and part.max() <= 1 for part in parts):
        return
    position = int(np.argmin((flat >= 0) & (flat <= 1)))
    where = ", ".join(str(index) for index in np.unravel_index(position, values.shape))
    mend = "drop or fill missing items first" if np.isnan(flat[position]) else "rescale to [0, 1], e.g. with a sigmoid"
    raise InvalidInput(f"{name}[{where}] is {flat[position]}; {mend}")
