"""What every metric and recalibrator accepts, and how everything else is refused.

Lists, NumPy arrays, pandas columns and torch tensors are accepted. Confidence is kept as float32 or float64 (other number
types become float64), correctness becomes boolean, weights become float64. As in scikit-learn only the ratios of
weights matter: an item of weight 2 counts twice as much as one of weight 1, and one of weight 0 is left out. Where the
number of items matters (sampling noise, priors), it is the effective one, (sum of weights)^2 / (sum of squared weights).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.errors import InvalidInput

__all__ = [
    "BoolArray",
    "Float64Array",
    "FloatArray",
    "as_array",
    "check_confidence",
    "check_count",
    "check_fraction",
    "check_number",
    "check_pair",
    "check_probabilities",
    "check_seed",
    "check_weights",
    "effective_weights",
    "unit_weights",
]

FloatArray = NDArray[np.floating]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_CHUNK = 1 << 15


def as_array(values: Any, name: str, *, dtype: type | None = None) -> NDArray[Any]:
    """Convert to a NumPy array, also from torch tensors on a device, in bfloat16 or with a gradient.

    Args:
        values: anything array-like.
        name: the argument, for messages.
        dtype: the type of the array; None keeps what NumPy finds.

    Raises:
        InvalidInput: the rows have unequal lengths, or NumPy cannot convert the values.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        if values.dtype.is_floating_point and str(values.dtype) not in ("torch.float16", "torch.float32", "torch.float64"):
            # NumPy has neither bfloat16 nor the 8-bit floats; every one of them is a float32.
            values = values.float()
    try:
        array = np.asarray(values, dtype=dtype)
        if array.dtype == object and dtype is None and array.ndim and array.size:
            # A column of a data frame may hold plain numbers as objects; what is not a number is refused by the caller.
            kinds = {type(value) for value in array.flat}
            if kinds <= {bool, np.bool_}:
                return array.astype(np.bool_)
            if all(issubclass(kind, (int, float, np.number)) for kind in kinds):
                return array.astype(np.float64)
        return array
    except (TypeError, RuntimeError) as error:
        raise InvalidInput(f"{name} cannot be made an array ({error}); pass numbers") from error
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise InvalidInput(f"{name} cannot be made an array ({error}); pass numbers") from error
        raise InvalidInput(f"{name} has rows of unequal length; pass a rectangular array") from error


def check_confidence(confidence: ArrayLike, *, name: str = "confidence") -> FloatArray:
    """Check confidences.

    Args:
        confidence: (N,) numbers in [0, 1], N >= 1.
        name: the argument, for messages.

    Returns:
        (N,) float32 or float64.

    Raises:
        InvalidInput: another shape, no items, not numbers, or a value that is NaN or outside [0, 1].
    """
    values = _as_floats(confidence, name)
    if values.ndim != 1:
        raise InvalidInput(f"{name} has shape {values.shape}; pass one number per item, shape (N,)")
    if values.size == 0:
        raise InvalidInput(f"{name} is empty; pass at least one item")
    return _in_unit_range(values, name)


def check_pair(confidence: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Check confidences and their correctness.

    Args:
        confidence: (N,) numbers in [0, 1], N >= 1.
        correct: (N,) booleans, or zeros and ones.

    Returns:
        (N,) floats and (N,) booleans.

    Raises:
        InvalidInput: one of them is unusable, or their shapes differ.
    """
    values = check_confidence(confidence)
    truth = as_array(correct, "correct")
    if truth.shape != values.shape:
        raise InvalidInput(
            f"correct has shape {truth.shape} but confidence has shape {values.shape}; pass one of each for every item"
        )
    if truth.dtype != np.bool_:
        if truth.dtype.kind not in "iuf":
            raise InvalidInput(f"correct has type {truth.dtype}; pass booleans, or zeros and ones")
        neither = (truth != 0) & (truth != 1)
        if neither.any():
            row = int(np.argmax(neither))
            raise InvalidInput(f"correct[{row}] is {truth[row]}; pass booleans, or zeros and ones")
        truth = truth.astype(np.bool_)
    return values, truth


def check_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[np.intp]]:
    """Check class probabilities and labels.

    Args:
        probabilities: (N, K) in [0, 1], N >= 1, K >= 2; every row sums to 1 within 1e-3.
        labels: (N,) integers in 0..K-1.

    Returns:
        (N, K) floats and (N,) integers.

    Raises:
        InvalidInput: one of them is unusable, or their lengths differ.
    """
    matrix = _as_floats(probabilities, "probabilities")
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] < 2:
        raise InvalidInput(f"probabilities has shape {matrix.shape}; pass (N, K) with N >= 1 items and K >= 2 classes")
    matrix = _in_unit_range(matrix, "probabilities")
    sums = matrix.sum(axis=1)
    off = np.abs(sums - 1) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise InvalidInput(f"probabilities[{row}] sums to {sums[row]:.6g}; every row must sum to 1, as softmax returns it")
    classes = as_array(labels, "labels")
    if classes.shape != (matrix.shape[0],) or classes.dtype.kind not in "iu":
        raise InvalidInput(
            f"labels has shape {classes.shape} and type {classes.dtype}; pass {matrix.shape[0]} integers, one per row"
        )
    if classes.min() < 0 or classes.max() >= matrix.shape[1]:
        row = int(np.argmax((classes < 0) | (classes >= matrix.shape[1])))
        raise InvalidInput(
            f"labels[{row}] is {classes[row]}; with {matrix.shape[1]} classes pass 0 to {matrix.shape[1] - 1}"
        )
    return matrix, classes.astype(np.intp)


def check_weights(weights: ArrayLike, size: int) -> Float64Array:
    """Check weights.

    Args:
        weights: (size,) finite numbers of at least 0, not all 0.
        size: the number of items.

    Returns:
        (size,) float64.

    Raises:
        InvalidInput: they are not that.
    """
    values = np.asarray(_as_floats(weights, "weights"), dtype=np.float64)
    if values.shape != (size,):
        raise InvalidInput(f"weights has shape {values.shape}; pass one for each of the {size} items")
    usable = np.isfinite(values) & (values >= 0)
    if not usable.all():
        row = int(np.argmin(usable))
        raise InvalidInput(f"weights[{row}] is {values[row]}; pass finite weights, none below 0")
    if not values.any():
        raise InvalidInput("weights are all zero; pass at least one above 0")
    return values


def unit_weights(weights: ArrayLike | None, size: int) -> Float64Array:
    """Return the checked weights (size,), or ones if `weights` is None."""
    return np.ones(size) if weights is None else check_weights(weights, size)


def effective_weights(weights: ArrayLike | None, size: int) -> Float64Array:
    """Return the checked weights (size,) scaled to sum to the effective number of items, or ones if `weights` is None."""
    if weights is None:
        return np.ones(size)
    values = check_weights(weights, size)
    # Dividing by the largest first keeps squares of tiny or huge weights finite.
    values = values / values.max()
    scaled: Float64Array = values * (values.sum() / (values @ values))
    return scaled


def check_fraction(value: float, name: str) -> float:
    """Check a number strictly between 0 and 1.

    Raises:
        InvalidInput: it is not.
    """
    if not _is_number(value) or not 0 < value < 1:
        raise InvalidInput(f"{name} is {value!r}; pass a number strictly between 0 and 1")
    return float(value)


def check_number(value: float, name: str, *, least: float, most: float = math.inf) -> float:
    """Check a number in [least, most].

    Raises:
        InvalidInput: it is not.
    """
    if not _is_number(value) or not least <= value <= most:
        limits = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise InvalidInput(f"{name} is {value!r}; pass a number {limits}")
    return float(value)


def check_count(value: int, name: str, *, least: int = 1) -> int:
    """Check a whole number of at least `least`.

    Raises:
        InvalidInput: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInput(f"{name} is {value!r}; pass a whole number of at least {least}")
    return int(value)


def check_seed(seed: int) -> int:
    """Check a seed: a whole number of at least 0.

    Raises:
        InvalidInput: it is not.
    """
    return check_count(seed, "seed", least=0)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _as_floats(values: ArrayLike, name: str) -> FloatArray:
    array = as_array(values, name)
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} has type {array.dtype}; pass numbers")
    return array.astype(np.float64)


def _in_unit_range(values: FloatArray, name: str) -> FloatArray:
    flat = values.reshape(-1)
    # Two reductions, the second from cache; a NaN makes the comparisons false.
    parts = (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
    if all(part.min() >= 0 and part.max() <= 1 for part in parts):
        return values
    # A softmax in float32 may return 1.0000001: rounding, and no sign of another scale.
    slack = 8 * float(np.finfo(np.float32).eps)
    if flat.min() >= -slack and flat.max() <= 1 + slack:
        return np.clip(values, 0, 1)
    position = int(np.argmin((flat >= -slack) & (flat <= 1 + slack)))
    where = ", ".join(str(index) for index in np.unravel_index(position, values.shape))
    fix = "drop or fill missing items first" if np.isnan(flat[position]) else "rescale to [0, 1], e.g. with a sigmoid"
    raise InvalidInput(f"{name}[{where}] is {flat[position]}; {fix}")
