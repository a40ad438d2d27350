"""Exact and finite-sample bounds on an error rate.

P-values are for the hypothesis "the risk is above `risk`", and bound the probability of so few errors under it; that of
`binomial_excess_p_value` is for "the risk is at most `risk`", and is the probability of so many errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, check_fraction

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
        InvalidInput: the risk is out of range.
    """
    from scipy.special import bdtr

    check_fraction(risk, "risk")
    k, n = np.asarray(errors, dtype=np.float64), np.asarray(count, dtype=np.float64)
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
        InvalidInput: the risk is out of range.
    """
    from scipy.special import bdtrc

    check_fraction(risk, "risk")
    k, n = np.asarray(errors, dtype=np.float64), np.asarray(count, dtype=np.float64)
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
        InvalidInput: the risk is out of range.
    """
    from scipy.special import bdtr, rel_entr

    check_fraction(risk, "risk")
    mean, n = np.asarray(mean_loss, dtype=np.float64), np.asarray(count, dtype=np.float64)
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
        InvalidInput: the level is out of range.
    """
    from scipy.special import betaincinv

    tail = (1 - check_fraction(level, "interval")) / 2
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(count, dtype=np.float64)
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-300), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail), 1.0)
    return low, high
