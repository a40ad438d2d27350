"""Intervals of means and areas from the influence of each item: as good as a bootstrap, in the time of one sort.

The influence of an item is the derivative of the metric by the item's weight; the metric's sampling variance is that of the
mean influence (infinitesimal jackknife, Efron 1982). Not covered: calibration errors, whose derivative jumps at 0
(error_intervals.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray, Float64Array
from calibration.bounds import binomial_interval
from calibration.estimate import Bootstrap, Estimate

__all__ = ["ErrorCurve", "auroc_interval", "logit_interval", "mean_interval", "wilson_interval"]

# With fewer errors than this a count of them is not close to normal.
_RARE = 10
# Of a mean that is more skewed than this the quantiles are resampled; below it a correction of first order is as good.
_SKEWED = 0.05
# From fewer items than this resampled quantiles are erratic.
_FEWEST = 20
# Most standard errors that an interval reaches: resamples that miss all of a few large losses would send it to infinity.
_FURTHEST = 6.0


def mean_interval(values: Float64Array, mass: Float64Array, plan: Bootstrap) -> Estimate:
    """The weighted mean of values (N,) of at least 0, with an interval corrected for their skewness.

    By Johnson's correction (1978) of the normal interval; where the mean itself is clearly skewed, by the bootstrap of its
    studentized form (Efron 1979; Hall 1988), with the quantiles of both tails from resamples.

    Args:
        values: losses.
        mass: (N,) weights that sum to 1.
        plan: the level, and the resamples.
    """
    mean = float(mass @ values)
    deviation = values - mean
    size = 1 / float(mass @ mass)
    variance = float(mass @ deviation**2) * size / max(size - 1, 1e-9)
    spread = math.sqrt(variance / size)
    if spread == 0:
        return Estimate(mean, mean, mean, plan.level)
    skewness = float(mass @ deviation**3) / variance**1.5
    if abs(skewness) / math.sqrt(size) > _SKEWED and size >= _FEWEST:
        low_t, high_t = _studentized_quantiles(deviation, mass, plan)
        low, high = mean - spread * high_t, mean - spread * low_t
    else:
        z = _normal_quantile(plan.level)
        shift = skewness / (6 * math.sqrt(size)) * (1 + 2 * z * z)
        low, high = mean + spread * (shift - z), mean + spread * (shift + z)
    return Estimate(mean, min(mean, max(0.0, low)), max(mean, high), plan.level)


def _studentized_quantiles(deviation: Float64Array, mass: Float64Array, plan: Bootstrap) -> tuple[float, float]:
    """Quantiles of (mean - true mean) / standard error, from resamples of deviations (N,) with masses (N,)."""
    generator = np.random.default_rng(plan.seed)
    size = deviation.size
    equal = float(np.ptp(mass)) == 0
    # Of each resample: sums of m, m d, m^2, m^2 d and m^2 d^2.
    parts = [deviation, deviation**2] if equal else [mass, mass * deviation, *(mass**2 * deviation**k for k in range(3))]
    table = np.stack(parts, axis=1)
    sums = np.empty((plan.n_resamples, len(parts)))
    for row in range(plan.n_resamples):
        sums[row] = table[generator.integers(0, size, size)].sum(axis=0)
    if equal:
        mean = sums[:, 0] / size
        variance = (sums[:, 1] / size - mean**2) / max(size - 1, 1)
    else:
        mean = sums[:, 1] / sums[:, 0]
        variance = (sums[:, 4] - 2 * mean * sums[:, 3] + mean**2 * sums[:, 2]) / sums[:, 0] ** 2
    defined = variance > 1e-12 * float(variance.max())
    t = mean[defined] / np.sqrt(variance[defined])
    low, high = np.quantile(t, [(1 - plan.level) / 2, (1 + plan.level) / 2])
    z = _normal_quantile(plan.level)
    # Losses have long tails above: there the interval is never shorter than the normal one.
    return float(np.clip(low, -_FURTHEST, -z)), max(float(high), 0.0)


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


def _positive_interval(value: float, influence: Float64Array, mass: Float64Array, level: float, freedom: float) -> Estimate:
    """A metric of at least 0 with an interval of Student's t on the logarithm.

    Args:
        value: the metric.
        influence: (N,) of each item, of mean 0.
        mass: (N,) weights that sum to 1.
        level: in (0, 1).
        freedom: degrees of freedom of the spread, above 0: the (effective) number of items of the rarer outcome.
    """
    z = _normal_quantile(level)
    # The quantile of Student's t, to second order in 1 / freedom; with fewer than three degrees it would be off.
    nu = max(freedom, 3.0)
    quantile = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    margin = quantile * math.sqrt(float(mass**2 @ influence**2))
    if value <= 0:
        return Estimate(value, 0.0, margin, level)
    factor = math.exp(min(margin / value, 700))
    return Estimate(value, value / factor, value * factor, level)


def logit_interval(value: float, influence: Float64Array, mass: Float64Array, level: float) -> Estimate:
    """A metric in [0, 1] with a normal interval on the logit; see `mean_interval`."""
    spread = _normal_quantile(level) * math.sqrt(float(mass**2 @ influence**2))
    if not 0 < value < 1:
        return Estimate(value, max(0.0, value - spread), min(1.0, value + spread), level)
    center, margin = math.log(value / (1 - value)), spread / (value * (1 - value))
    low, high = 1 / (1 + math.exp(min(margin - center, 700))), 1 / (1 + math.exp(min(-center - margin, 700)))
    return Estimate(value, low, high, level)


def wilson_interval(share: Float64Array, size: Float64Array, level: float) -> tuple[Float64Array, Float64Array]:
    """Wilson's intervals (M,) of shares (M,) of (effective) numbers of items (M,) above 0."""
    z = _normal_quantile(level)
    center = (share + z * z / (2 * size)) / (1 + z * z / size)
    margin = z * np.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2) / (1 + z * z / size)
    return center - margin, center + margin


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

    def interval(self, value: float, influence: Float64Array, level: float) -> Estimate:
        """The interval of an area from its value and the influence (N,) of each item."""
        rate, size = float(self.mass @ self.wrong), 1 / float(self.mass @ self.mass)
        measured = _positive_interval(value, influence, self.mass, level, size * min(rate, 1 - rate))
        return self._cover_rare_errors(measured)

    def _cover_rare_errors(self, estimate: Estimate) -> Estimate:
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
