"""Numbers with a bootstrap interval.

A metric returns an `Estimate`: a float that also carries the ends of its interval when one was asked for with
`interval=0.95` (or with a `Bootstrap`, which also sets the number of resamples and the seed).

The interval is the percentile bootstrap over rows. Calibration errors are sums of absolute values, so resampling, which
adds noise, raises them: near perfect calibration the interval lies above the true error. `debiased_calibration_error`
takes the expected part of that away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import check_count, check_fraction
from calibration.errors import InvalidInput

__all__ = ["Bootstrap", "Estimate", "as_bootstrap", "estimate", "with_interval"]


class Estimate(float):
    """A float with the ends of its interval: `low`, `high` and `level` are None when no interval was asked for."""

    low: float | None
    high: float | None
    level: float | None

    def __new__(
        cls, value: float, low: float | None = None, high: float | None = None, level: float | None = None
    ) -> "Estimate":
        """A float with its interval."""
        self = super().__new__(cls, value)
        self.low, self.high, self.level = low, high, level
        return self

    def __reduce__(self) -> tuple[type["Estimate"], tuple[float, float | None, float | None, float | None]]:
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
    """How an interval is made: its level in (0, 1), the number of resamples, and the seed they are drawn with."""

    level: float = 0.95
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_fraction(self.level, "interval")
        check_count(self.n_resamples, "n_resamples", least=2)


def as_bootstrap(interval: float | Bootstrap) -> Bootstrap:
    """A level alone becomes a Bootstrap with 1,000 resamples and seed 0."""
    return interval if isinstance(interval, Bootstrap) else Bootstrap(level=interval)


def estimate(
    kernel: Callable[[NDArray[np.float64]], float],
    weights: NDArray[np.float64],
    interval: float | Bootstrap | None,
) -> Estimate:
    """The kernel at `weights` (N,), with an interval from row resampling when one is asked for.

    kernel: from weights (N,) to the metric; whatever does not depend on the weights (sorting, squaring, logarithms) is
    done once, before it. A resample is N rows drawn with replacement, that is the weights times multinomial counts.
    A resample on which the metric is undefined (only one class left) gives NaN and is left out of the interval.
    """
    value = float(kernel(weights))
    if interval is None:
        return Estimate(value)
    plan = as_bootstrap(interval)
    generator = np.random.default_rng(plan.seed)
    size = weights.size
    draws = np.empty(plan.n_resamples)
    for draw in range(plan.n_resamples):
        counts = np.bincount(generator.integers(0, size, size), minlength=size)
        resampled = weights * counts
        draws[draw] = kernel(resampled) if resampled.any() else np.nan
    return with_interval(value, draws, plan)


def with_interval(value: float, draws: NDArray[np.float64], plan: Bootstrap) -> Estimate:
    """The value with the percentile interval of its bootstrap draws (n_resamples,)."""
    defined = draws[~np.isnan(draws)]
    if defined.size == 0:
        raise InvalidInput("the metric is undefined on every resample; pass more items, or interval=None")
    low, high = np.quantile(defined, [(1 - plan.level) / 2, (1 + plan.level) / 2])
    return Estimate(value, float(low), float(high), plan.level)
