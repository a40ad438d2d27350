"""Tests by betting: the evidence against a hypothesis is the wealth of a gambler who bets against it.

Under the hypothesis the wealth exceeds 1 / alpha at any time with probability at most alpha (Ville's inequality), so the
evidence may be looked at after every item. Used for weighted thresholds (conformal.py) and after deployment (monitor.py).
"""

from __future__ import annotations

import math

import numpy as np

from calibration.arrays import Float64Array

__all__ = ["betting_p_value", "calibration_wealth", "excess_risk_wealth", "risk_interval"]

# Shifts of the logit that a bet on miscalibration assumes; the wealth is the mean over all of them.
_SHIFTS = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])
# No bet stakes more than this share of what it may lose.
_LARGEST_STAKE = 0.75


def betting_p_value(excess: Float64Array, risk: float, level: float) -> float:
    """A p-value for "the mean of `excess` is above 0" (Waudby-Smith & Ramdas 2024, arXiv 2010.09686, predictable bets).

    Args:
        excess: (N,) in [-risk, 1 - risk], in random order: weight * (loss - risk), weights at most 1.
        risk: in (0, 1).
        level: at which the p-value will be used; it sets the size of the bets.
    """
    size = excess.size
    if size == 0:
        return 1.0
    # Estimates before each item, from the items before it and one imagined item.
    count = np.arange(1, size + 1)
    before = np.concatenate([[0.0], np.cumsum(excess)[:-1]])
    mean = before / count
    deviation = (excess - mean) ** 2
    variance = (risk * (1 - risk) + np.concatenate([[0.0], np.cumsum(deviation)[:-1]])) / count
    stake = np.minimum(np.sqrt(2 * math.log(1 / level) / (size * np.maximum(variance, 1e-12))), _LARGEST_STAKE / (1 - risk))
    wealth = np.cumsum(np.log1p(-stake * excess))
    return float(min(1.0, math.exp(-max(0.0, float(wealth.max())))))


def excess_risk_wealth(wrong: Float64Array, risk: float) -> Float64Array:
    """(N,) log wealth after each answer, against "at most `risk` of the answers are wrong".

    The likelihood ratio of a uniformly distributed larger risk, in closed form.

    Args:
        wrong: (N,) zeros and ones, in order of arrival.
        risk: in (0, 1).
    """
    from scipy.special import betainc, betaln

    errors = np.cumsum(wrong)
    right = np.arange(1, wrong.size + 1) - errors
    above = np.maximum(1 - betainc(errors + 1, right + 1, risk), 1e-300)
    mixture = betaln(errors + 1, right + 1) + np.log(above) - math.log(1 - risk)
    return np.asarray(mixture - errors * math.log(risk) - right * math.log1p(-risk))


def risk_interval(wrong: int, answered: int, level: float) -> tuple[float, float]:
    """Interval of a risk that holds after every number of answers at once (beta-binomial mixture), in [0, 1].

    Args:
        wrong: number of errors.
        answered: number of answers.
        level: in (0, 1).
    """
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    right = answered - wrong
    evidence = float(betaln(wrong + 0.5, right + 0.5) - betaln(0.5, 0.5)) + math.log(1 - level)

    def gap(risk: float) -> float:
        return float(xlogy(wrong, risk) + xlog1py(right, -risk)) - evidence

    best = wrong / answered if answered else 0.5
    tiny = 1e-12
    low = 0.0 if best <= tiny or gap(tiny) >= 0 else float(brentq(gap, tiny, best))
    high = 1.0 if best >= 1 - tiny or gap(1 - tiny) >= 0 else float(brentq(gap, best, 1 - tiny))
    return low, high


def calibration_wealth(confidence: Float64Array, correct: Float64Array) -> Float64Array:
    """(N,) log wealth after each item, against "every item is right with the probability that its confidence states".

    The mean over bets that all logits are off by one amount: a likelihood ratio each.

    Args:
        confidence: (N,) in [0, 1], calibrated.
        correct: (N,) zeros and ones, in order of arrival.
    """
    from scipy.special import expit, logsumexp

    p = np.clip(confidence, 1e-6, 1 - 1e-6)
    shifted = expit((np.log(p) - np.log1p(-p))[:, None] + _SHIFTS)
    right, wrong = np.log(shifted) - np.log(p)[:, None], np.log1p(-shifted) - np.log1p(-p)[:, None]
    paths = np.cumsum(np.where(correct[:, None] > 0, right, wrong), axis=0)
    return np.asarray(logsumexp(paths, axis=1) - math.log(_SHIFTS.size))
