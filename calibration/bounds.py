"""Exact and finite-sample bounds on an error rate.

P-values are for the hypothesis "the risk is above `risk`", and bound the probability of so few errors under it; that of
`binomial_excess_p_value` is for "the risk is at most `risk`", and is the probability of so many errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, as_array, check_fraction
from calibration.errors import InvalidInput

__all__ = ["binomial_excess_p_value", "binomial_interval", "binomial_p_value", "hoeffding_bentkus_p_value"]


def binomial_p_value(errors: ArrayLike, count: ArrayLike, risk: float) -> Float64Array:
    """P(Binomial(count, risk) <= errors), exact for items that are right or wrong.

    Args:
        errors: numbers of errors, of any shape.
        count: numbers of items, of a shape that broadcasts with it.
        risk: in (0, 1).

    Returns:
        P-values of the broadcast shape, in [0, 1]; 1 where count is 0.

    Raises:
        InvalidInput: the risk or a number is out of range.
    """
    from scipy.special import bdtr

    check_fraction(risk, "risk")
    k, n = _counts(errors, count, "errors")
    return np.where(n > 0, bdtr(k, np.maximum(n, 1).astype(np.int64), risk), 1.0)


def binomial_excess_p_value(errors: ArrayLike, count: ArrayLike, risk: float) -> Float64Array:
    """P(Binomial(count, risk) >= errors), exact: small if so many errors contradict a risk of at most `risk`.

    Args:
        errors: numbers of errors, of any shape.
        count: numbers of items, of a shape that broadcasts with it.
        risk: in (0, 1).

    Returns:
        P-values of the broadcast shape, in [0, 1]; 1 where there are no errors.

    Raises:
        InvalidInput: the risk or a number is out of range.
    """
    from scipy.special import bdtrc

    check_fraction(risk, "risk")
    k, n = _counts(errors, count, "errors")
    return np.where(k > 0, bdtrc(np.maximum(k - 1, 0), np.maximum(n, 1).astype(np.int64), risk), 1.0)


def hoeffding_bentkus_p_value(mean_loss: ArrayLike, count: ArrayLike, risk: float) -> Float64Array:
    """A p-value for any loss in [0, 1] (Bates et al. 2021, arXiv 2101.02703; Angelopoulos et al. 2021, arXiv 2110.01052).

    The smaller of Hoeffding's exp(-n h(min(mean, risk), risk)), h the binary relative entropy, and Bentkus's
    e * P(Binomial(n, risk) <= ceil(n * mean)).

    Args:
        mean_loss: mean losses in [0, 1], of any shape.
        count: numbers of items, of a shape that broadcasts with it.
        risk: in (0, 1).

    Returns:
        P-values of the broadcast shape, in [0, 1]; 1 where count is 0.

    Raises:
        InvalidInput: the risk or a number is out of range.
    """
    from scipy.special import bdtr, rel_entr

    check_fraction(risk, "risk")
    mean, n = _broadcast(mean_loss, count, "mean_loss")
    if not ((mean >= 0) & (mean <= 1)).all():
        raise InvalidInput(f"mean_loss goes from {mean.min():g} to {mean.max():g}; pass numbers from 0 to 1")
    below = np.minimum(mean, risk)
    entropy = rel_entr(below, risk) + rel_entr(1 - below, 1 - risk)
    # n * mean may be rounded to just above a whole number, which ceil would then raise by one.
    worst = np.ceil(n * mean - 1e-9 * np.maximum(n, 1))
    bentkus = np.e * bdtr(np.maximum(worst, 0), np.maximum(n, 1).astype(np.int64), risk)
    return np.where(n > 0, np.minimum(1.0, np.minimum(np.exp(-n * entropy), bentkus)), 1.0)


def binomial_interval(successes: ArrayLike, count: ArrayLike, *, level: float = 0.95) -> tuple[Float64Array, Float64Array]:
    """Exact (Clopper–Pearson) interval of a proportion.

    Args:
        successes: numbers of successes, of any shape.
        count: numbers of trials, of a shape that broadcasts with it.
        level: in (0, 1).

    Returns:
        The lower and the upper ends, each of the broadcast shape, in [0, 1].

    Raises:
        InvalidInput: the level or a number is out of range.
    """
    from scipy.special import betaincinv

    tail = (1 - check_fraction(level, "interval")) / 2
    k, n = _counts(successes, count, "successes")
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-300), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail), 1.0)
    return low, high


def _counts(part: ArrayLike, count: ArrayLike, name: str) -> tuple[Float64Array, Float64Array]:
    """Numbers of items, and of all items among which they are, in a common shape; also effective ones, not whole."""
    k, n = _broadcast(part, count, name)
    # Rounding may lift an effective number a little above that of all.
    if not ((k >= 0) & (k <= n * (1 + 1e-9))).all():
        row = int(np.argmin(((k >= 0) & (k <= n * (1 + 1e-9))).reshape(-1)))
        raise InvalidInput(f"{name} is {k.flat[row]:g} of {n.flat[row]:g}; pass numbers from 0 to the count")
    return np.minimum(k, n), n


def _broadcast(values: ArrayLike, count: ArrayLike, name: str) -> tuple[Float64Array, Float64Array]:
    arrays = [as_array(array, label, dtype=float) for array, label in ((values, name), (count, "count"))]
    try:
        first, second = np.broadcast_arrays(*arrays)
    except ValueError as error:
        raise InvalidInput(
            f"{name} has shape {arrays[0].shape} but count has shape {arrays[1].shape}; pass shapes that broadcast"
        ) from error
    if not np.isfinite(second).all() or (second < 0).any():
        raise InvalidInput("count holds a value that is not a number of at least 0; pass numbers of items")
    return first, second
