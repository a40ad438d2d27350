"""Intervals of means and areas from the influence of each item: as good as a bootstrap, in the time of one sort.

The influence of an item is the derivative of the metric by the item's weight; the metric's sampling variance is that of the
mean influence (infinitesimal jackknife, Efron 1982). Not covered: calibration errors, whose derivative jumps at 0
(error_intervals.py), and metrics at one point of a curve, which are resampled (estimate.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray, Float64Array
from calibration.bounds import binomial_interval
from calibration.estimate import Estimate

__all__ = ["ErrorCurve", "auroc_interval", "mean_interval", "positive_interval"]

# With fewer errors than this a count of them is not close to normal.
_RARE = 10


def mean_interval(values: Float64Array, mass: Float64Array, level: float) -> Estimate:
    """The weighted mean of values (N,) of at least 0, with an interval corrected for their skewness (Johnson 1978).

    Args:
        values: losses.
        mass: (N,) weights that sum to 1.
        level: in (0, 1).
    """
    mean = float(mass @ values)
    deviation = values - mean
    size = 1 / float(mass @ mass)
    variance = float(mass @ deviation**2) * size / max(size - 1, 1e-9)
    spread = math.sqrt(variance / size)
    if spread == 0:
        return Estimate(mean, mean, mean, level)
    skewness = float(mass @ deviation**3) / variance**1.5
    z = _normal_quantile(level)
    shift = skewness / (6 * math.sqrt(size)) * (1 + 2 * z * z)
    return Estimate(mean, min(mean, max(0.0, mean + spread * (shift - z))), max(mean, mean + spread * (shift + z)), level)


def auroc_interval(value: float, right: Float64Array, wrong: Float64Array, level: float) -> Estimate:
    """An AUROC with DeLong's interval on the logit, and one from the smaller class where the two classes are separated.

    Args:
        value: in [0, 1].
        right, wrong: (G,) weights of the right and of the wrong items at each distinct confidence, ascending; as many in all
            as there are (effective) items.
        level: in (0, 1).
    """
    n_right, n_wrong = float(right.sum()), float(wrong.sum())
    z = _normal_quantile(level)
    below = (np.cumsum(wrong) - wrong / 2) / n_wrong
    above = 1 - (np.cumsum(right) - right / 2) / n_right
    variance = float(right @ (below - value) ** 2) / n_right / max(n_right - 1, 1)
    variance += float(wrong @ (above - value) ** 2) / n_wrong / max(n_wrong - 1, 1)
    # If a new item of the smaller class were misplaced with a probability p, none of n would be with (1 - p)^n.
    few = ((1 - level) / 2) ** (1 / max(min(n_right, n_wrong), 1))
    if not 0 < value < 1 or variance == 0:
        return Estimate(value, min(value, few), max(value, 1 - few), level)
    center, margin = math.log(value / (1 - value)), z * math.sqrt(variance) / (value * (1 - value))
    low, high = 1 / (1 + math.exp(min(margin - center, 700))), 1 / (1 + math.exp(min(-center - margin, 700)))
    return Estimate(value, low, high, level)


def positive_interval(value: float, influence: Float64Array, mass: Float64Array, level: float) -> Estimate:
    """A metric of at least 0 with a normal interval on the logarithm.

    Args:
        value: the metric.
        influence: (N,) of each item, of mean 0.
        mass: (N,) weights that sum to 1.
        level: in (0, 1).
    """
    spread = math.sqrt(float(mass**2 @ influence**2))
    if value <= 0:
        return Estimate(value, 0.0, _normal_quantile(level) * spread, level)
    factor = math.exp(min(_normal_quantile(level) * spread / value, 700))
    return Estimate(value, value / factor, value * factor, level)


@dataclass(frozen=True)
class ErrorCurve:
    """Items by descending confidence, with the influence of each on the areas under their errors.

    Attributes:
        group: (N,) index of the item's confidence, 0 the highest.
        wrong: (N,).
        mass: (N,) weights that sum to 1.
    """

    group: NDArray[np.intp]
    wrong: BoolArray
    mass: Float64Array

    def aurc(self) -> tuple[float, Float64Array]:
        """AURC in the limit of many items, and the influence (N,) of each item on it."""
        width, errors, before, errors_before = self._groups()
        end = before + width
        # Over a group of mass w with errors e, after mass c with errors E, the risk (E + e (x - c) / w) / x integrates to
        # E L + e - (e / w) c L with L = log((c + w) / c). The first group has c = E = 0.
        first = before <= 0
        start = np.where(first, 1.0, before)
        ratio = errors / width
        log = np.where(first, 0.0, np.log(end / start))
        excess = np.where(first, 0.0, errors_before - ratio * before)
        value = float((errors_before * log + errors - ratio * before * log).sum())
        by_before = np.where(first, 0.0, -excess * width / (start * end) - ratio * log)
        by_width = np.where(first, 0.0, excess / end + ratio / width * before * log)
        by_errors = 1 - before * log / width
        return value, self._influence(by_before, log, by_width, by_errors) - value

    def augrc(self) -> tuple[float, Float64Array]:
        """AUGRC, and the influence (N,) of each item on it."""
        width, errors, _, errors_before = self._groups()
        value = float(((errors_before + errors / 2) * width).sum())
        return value, self._influence(0 * width, width, errors_before + errors / 2, width / 2) - 2 * value

    def risk(self) -> tuple[float, Float64Array]:
        """Error rate, and the influence (N,) of each item on it."""
        value = float(self.mass @ self.wrong)
        return value, np.asarray(self.wrong - value, dtype=np.float64)

    def cover_rare_errors(self, estimate: Estimate) -> Estimate:
        """Reach up to the worst area that an interval of the error rate allows, if there are hardly any errors.

        With an error rate u, all errors at the top, the risk at coverage c is min(1, u / c), of mean u (1 - log u).
        """
        size = 1 / float(self.mass @ self.mass)
        errors = float(self.mass @ self.wrong) * size
        if errors >= _RARE:
            return estimate
        _, most = binomial_interval(errors, size, level=estimate.level or 0.95)
        worst = float(most) * (1 - math.log(float(most)))
        return Estimate(float(estimate), estimate.low, max(estimate.high or 0.0, worst), estimate.level)

    def _groups(self) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        """Mass and errors of each group, and those before it."""
        width = np.bincount(self.group, self.mass).astype(np.float64)
        errors = np.bincount(self.group, self.mass * self.wrong, width.size).astype(np.float64)
        return width, errors, np.cumsum(width) - width, np.cumsum(errors) - errors

    def _influence(
        self, by_before: Float64Array, by_errors_before: Float64Array, by_width: Float64Array, by_errors: Float64Array
    ) -> Float64Array:
        """Derivative (N,) of a sum over groups by each item's mass, from those by what precedes and what is in a group."""
        later = np.cumsum(by_before[::-1])[::-1] - by_before
        later_errors = np.cumsum(by_errors_before[::-1])[::-1] - by_errors_before
        return np.asarray((by_width + later)[self.group] + self.wrong * (by_errors + later_errors)[self.group])


def _normal_quantile(level: float) -> float:
    # Of the standard library, since loading scipy takes longer than the whole interval.
    return NormalDist().inv_cdf((1 + level) / 2)
