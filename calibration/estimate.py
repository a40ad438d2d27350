"""Numbers with an interval.

A metric returns an `Estimate`: a float that also carries the ends of its interval if one was requested with
`interval=0.95` (or with a `Bootstrap`, which also sets the number of resamples and the seed).

Here the interval is the percentile bootstrap over rows. Calibration errors are sums of absolute values, so resampling, which
adds noise, raises them: near perfect calibration a bootstrap interval would lie above the true error. Their intervals are
made by inverting tests (error_intervals.py); a `Bootstrap` then sets the number of draws of noise and their seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Float64Array, check_count, check_fraction, check_seed
from calibration.errors import InvalidInput

__all__ = ["Bootstrap", "Estimate", "as_bootstrap", "estimate", "estimates", "percent", "with_interval"]


class Estimate(float):
    """A float with its interval.

    Attributes:
        low, high: the ends of the interval; None if none was requested.
        level: its level in (0, 1); None if none was requested.
    """

    low: float | None
    high: float | None
    level: float | None

    def __new__(
        cls, value: float, low: float | None = None, high: float | None = None, level: float | None = None
    ) -> Estimate:
        """Make a float with its interval."""
        self = super().__new__(cls, value)
        self.low, self.high, self.level = low, high, level
        return self

    def __reduce__(self) -> tuple[type[Estimate], tuple[float, float | None, float | None, float | None]]:
        return Estimate, (float(self), self.low, self.high, self.level)

    def __repr__(self) -> str:
        if self.low is None or self.high is None or self.level is None:
            return float.__repr__(self)
        return f"{float(self):.6g} [{self.low:.6g}, {self.high:.6g}] at {self.level:g}"

    def to_dict(self) -> dict[str, float | None]:
        """The value and its interval as plain numbers."""
        return {"value": float(self), "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True)
class Bootstrap:
    """How an interval is made.

    Attributes:
        level: in (0, 1).
        n_resamples: at least 2.
        seed: of the resamples.
    """

    level: float = 0.95
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_fraction(self.level, "interval")
        check_count(self.n_resamples, "n_resamples", least=2)
        check_seed(self.seed)


def as_bootstrap(interval: float | Bootstrap) -> Bootstrap:
    """Turn a level into a Bootstrap with 1,000 resamples and seed 0.

    Raises:
        InvalidInput: the level is not in (0, 1).
    """
    return interval if isinstance(interval, Bootstrap) else Bootstrap(level=interval)


def estimate(kernel: Callable[[Float64Array], float], weights: Float64Array, interval: float | Bootstrap | None) -> Estimate:
    """Compute a metric, with an interval from row resampling if one is requested.

    Args:
        kernel: from weights (N,) to the metric. What does not depend on the weights (sorting, squaring, logarithms) is best
            done once, outside it. NaN where the metric is undefined (only one class is left): such resamples are left out of
            the interval.
        weights: (N,), at least 0.
        interval: level in (0, 1), or Bootstrap; None for no interval.

    Raises:
        InvalidInput: the metric is undefined on every resample, or the level is unusable.
    """
    return estimates(lambda drawn: (kernel(drawn),), weights, interval)[0]


def estimates(
    kernel: Callable[[Float64Array], Sequence[float]],
    weights: Float64Array,
    interval: float | Bootstrap | None,
    *,
    unbiased: bool = False,
) -> list[Estimate]:
    """Compute several metrics, with intervals from the same resamples; see `estimate`.

    A resample is N rows drawn with replacement, that is the weights times multinomial counts. With `unbiased`, intervals
    are moved by twice the bias that resampling shows: once for that of the resamples, once for that of the metric.
    """
    plan = None if interval is None else as_bootstrap(interval)
    values = [float(value) for value in kernel(weights)]
    if plan is None:
        return [Estimate(value) for value in values]
    generator = np.random.default_rng(plan.seed)
    size = weights.size
    draws = np.full((plan.n_resamples, len(values)), np.nan)
    for draw in range(plan.n_resamples):
        counts = np.bincount(generator.integers(0, size, size), minlength=size)
        resampled = weights * counts
        if resampled.any():
            draws[draw] = kernel(resampled)
    if unbiased:
        bias = np.nanmean(draws, axis=0) - values
        # A metric whose draws and value are never below 0 has no interval there either.
        draws = np.where(np.min(draws, axis=0) >= 0, np.maximum(draws - 2 * bias, 0), draws - 2 * bias)
    return [with_interval(value, column, plan) for value, column in zip(values, draws.T, strict=True)]


def with_interval(value: float, draws: Float64Array, plan: Bootstrap) -> Estimate:
    """Add the percentile interval of bootstrap draws (n_resamples,) to a value.

    Raises:
        InvalidInput: all draws are NaN.
    """
    defined = draws[~np.isnan(draws)]
    if defined.size == 0:
        raise InvalidInput("the metric is undefined on every resample; pass more items, or interval=None")
    low, high = np.quantile(defined, [(1 - plan.level) / 2, (1 + plan.level) / 2])
    return Estimate(value, float(low), float(high), plan.level)


def percent(share: float) -> str:
    """Write a share as a percentage with up to four digits, so that 0.005 is "0.5%" and not "0%"."""
    return f"{100 * share:.4g}%"
