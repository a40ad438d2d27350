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
# An upper end on the logarithm reaches at most this many margins above the estimate.
_LARGEST_REACH = 3.0
# Items of all resamples that are drawn together.
_CHUNK = 1 << 16
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
    sums = np.empty((plan.n_resamples, len(parts)))
    rows = max(1, _CHUNK // size)
    for start in range(0, plan.n_resamples, rows):
        stop = min(start + rows, plan.n_resamples)
        drawn = generator.integers(0, size, (stop - start, size))
        for column, part in enumerate(parts):
            sums[start:stop, column] = part[drawn].sum(axis=1)
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

    The spread has few degrees of freedom if a class has few items; they are those of Brunner & Munzel (2000).

    Args:
        value: in [0, 1].
        right, wrong: (G,) weights of the right and of the wrong items at each distinct confidence, ascending; as many in all
            as there are (effective) items.
        level: in (0, 1).
    """
    n_right, n_wrong = float(right.sum()), float(wrong.sum())
    below = (np.cumsum(wrong) - wrong / 2) / n_wrong
    above = 1 - (np.cumsum(right) - right / 2) / n_right
    of_right = float(right @ (below - value) ** 2) / n_right / max(n_right - 1, 1)
    of_wrong = float(wrong @ (above - value) ** 2) / n_wrong / max(n_wrong - 1, 1)
    variance = of_right + of_wrong
    # If a new item of the smaller class were misplaced with a probability p, none of n would be with (1 - p)^n.
    few = ((1 - level) / 2) ** (1 / max(min(n_right, n_wrong), 1))
    if not 0 < value < 1 or variance == 0:
        return Estimate(value, min(value, few), max(value, 1 - few), level)
    freedom = variance**2 / (of_right**2 / max(n_right - 1, 1) + of_wrong**2 / max(n_wrong - 1, 1))
    return _on_logit(value, _student_quantile(level, freedom) * math.sqrt(variance), level)


def _positive_interval(
    value: float, influence: Float64Array, mass: Float64Array, level: float, rarer: float, most: float
) -> Estimate:
    """A metric in [0, most] with an interval of Student's t on the logarithm.

    Args:
        value: the metric.
        influence: (N,) of each item, of mean 0.
        mass: (N,) weights that sum to 1.
        level: in (0, 1).
        rarer: (effective) number of items of the rarer outcome.
        most: the largest value that is possible.
    """
    margin = _margin(influence, mass, level, rarer)
    if value <= 0:
        return Estimate(value, 0.0, min(margin, most), level)
    factor = math.exp(min(margin / value, 700))
    # Far from the estimate the logarithm says little about the upper end.
    high = min(value * factor, value + _LARGEST_REACH * margin, most)
    return Estimate(value, value / factor, max(value, high), level)


def logit_interval(value: float, influence: Float64Array, mass: Float64Array, level: float, rarer: float) -> Estimate:
    """A metric in [0, 1] with an interval of Student's t on the logit; see `_positive_interval`."""
    return _on_logit(value, _margin(influence, mass, level, rarer), level)


def _margin(influence: Float64Array, mass: Float64Array, level: float, rarer: float) -> float:
    """Standard error of a metric times a quantile of Student's t.

    The degrees of freedom of a variance are 2 n / (kurtosis - 1), at most the number of items of the rarer outcome.
    """
    square = influence**2
    variance = float(mass @ square)
    if variance == 0:
        return 0.0
    excess = float(mass @ square**2) / variance**2 - 1
    freedom = min(rarer, 2 / float(mass @ mass) / max(excess, 1e-9))
    return _student_quantile(level, freedom) * math.sqrt(float(mass**2 @ square))


def _on_logit(value: float, margin: float, level: float) -> Estimate:
    """An interval of a value in [0, 1] whose margin on the logit is `margin` to first order."""
    if not 0 < value < 1:
        return Estimate(value, max(0.0, value - margin), min(1.0, value + margin), level)
    center, reach = math.log(value / (1 - value)), margin / (value * (1 - value))
    low, high = 1 / (1 + math.exp(min(reach - center, 700))), 1 / (1 + math.exp(min(-center - reach, 700)))
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

    def interval(self, value: float, influence: Float64Array, level: float, *, generalized: bool = False) -> Estimate:
        """The interval of an area from its value and the influence (N,) of each item; `generalized` for AUGRC."""
        rate, size = float(self.mass @ self.wrong), 1 / float(self.mass @ self.mass)
        rarer, most = size * min(rate, 1 - rate), 0.5 if generalized else 1.0
        measured = _positive_interval(value, influence, self.mass, level, rarer, most)
        if size * rate >= _RARE:
            return measured
        # If there are hardly any errors, it reaches the worst area that an interval of the error rate allows. With an error
        # rate u, all errors at the top, the risk at coverage c is min(1, u / c), of mean u (1 - log u); that of the
        # generalized risk min(c, u) is u - u^2 / 2.
        _, bound = binomial_interval(size * rate, size, level=level)
        u = float(bound)
        worst = u - u * u / 2 if generalized else u * (1 - math.log(u))
        return Estimate(value, measured.low, max(measured.high or 0.0, worst), level)

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


def _student_quantile(level: float, freedom: float) -> float:
    """The two-sided quantile of Student's t, to second order in 1 / freedom; fewer than three degrees count as three."""
    z, nu = _normal_quantile(level), max(freedom, 3.0)
    return z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
