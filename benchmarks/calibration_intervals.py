"""Coverage of every 95 % interval of `calibration`, by simulation; prints one JSON line per metric, regime and size.

    python benchmarks/calibration_intervals.py [--draws 500] [--metrics ece smooth]

A model whose probability of being right is known at every confidence is drawn again and again. `coverage` is the share of
intervals that hold the value of the metric on a million items of it, `width` their mean width. Regimes: calibrated over all
confidences and near one; slightly off (a logit shift of 0.25); strongly off (right with probability p^3); and too flat in
the middle, too steep at the ends (a temperature of 2), where the error changes sign.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from figures import show

# Another script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import calibration as c  # noqa: E402

LEVEL = 0.95


def logistic(z):
    return 1 / (1 + np.exp(-z))


def logit(p):
    return np.log(p / (1 - p))


REGIMES = {
    "calibrated": (lambda rng, n: rng.random(n), lambda p: p),
    "calibrated near one": (lambda rng, n: rng.beta(8, 0.5, n), lambda p: p),
    "slightly off": (lambda rng, n: rng.uniform(0.3, 1, n), lambda p: logistic(logit(p) - 0.25)),
    "strongly off": (lambda rng, n: rng.uniform(0.3, 1, n), lambda p: p**3),
    "temperature": (lambda rng, n: rng.beta(2, 1, n), lambda p: logistic(logit(p) / 2)),
}
METRICS = {
    "ece": lambda p, y, **o: c.expected_calibration_error(p, y, **o),
    "ece equal-mass": lambda p, y, **o: c.expected_calibration_error(p, y, strategy="equal-mass", **o),
    "mce": lambda p, y, **o: c.maximum_calibration_error(p, y, **o),
    "ace": lambda p, y, **o: c.adaptive_calibration_error(p, y, **o),
    "debiased": lambda p, y, **o: c.debiased_calibration_error(p, y, **o),
    "sweep": lambda p, y, **o: c.sweep_calibration_error(p, y, **o),
    "kolmogorov-smirnov": lambda p, y, **o: c.kolmogorov_smirnov_error(p, y, **o),
    "smooth": lambda p, y, **o: c.smooth_calibration_error(p, y, **o),
    "brier": lambda p, y, **o: c.brier_score(p, y, **o),
    "log loss": lambda p, y, **o: c.negative_log_likelihood(p, y, **o),
    "auroc": lambda p, y, **o: c.auroc(p, y, **o),
    "aurc": lambda p, y, **o: c.aurc(p, y, **o),
    "e-aurc": lambda p, y, **o: c.excess_aurc(p, y, **o),
    "augrc": lambda p, y, **o: c.augrc(p, y, **o),
    "prr": lambda p, y, **o: c.prediction_rejection_ratio(p, y, **o),
    "auprc": lambda p, y, **o: c.auprc(p, y, **o),
    "coverage at 20 % risk": lambda p, y, **o: c.coverage_at_risk(p, y, 0.2, **o),
    "accuracy at 50 % coverage": lambda p, y, **o: c.accuracy_at_coverage(p, y, 0.5, **o),
}


def draw(regime: str, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    confidences, right = REGIMES[regime]
    p = np.clip(confidences(rng, n), 1e-9, 1 - 1e-9)
    return p, right(p)


def true_value(metric: str, regime: str, n_items: int) -> float:
    """The metric on a large population, in which every item is right and wrong in proportion to its probability."""
    p, q = draw(regime, np.random.default_rng(0), n_items)
    name = "ece equal-mass" if metric == "sweep" else metric
    if regime.startswith("calibrated") and name in list(METRICS)[:8]:
        return 0.0
    twice, right = np.tile(p, 2), np.repeat([True, False], n_items)
    return float(METRICS[name](twice, right, weights=np.maximum(np.concatenate([q, 1 - q]), 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 10_000])
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--regimes", nargs="+", default=list(REGIMES), choices=REGIMES)
    parser.add_argument("--population", type=int, default=1_000_000)
    options = parser.parse_args()
    for metric in options.metrics:
        for regime in options.regimes:
            truth = true_value(metric, regime, options.population)
            for n in options.sizes:
                covered, widths, estimates = 0, [], []
                for seed in range(options.draws):
                    rng = np.random.default_rng([seed, n])
                    p, q = draw(regime, rng, n)
                    value = METRICS[metric](p, rng.random(n) < q, interval=c.Bootstrap(LEVEL, seed=seed))
                    covered += value.low - 1e-9 <= truth <= value.high + 1e-9
                    widths.append(value.high - value.low)
                    estimates.append(float(value))
                result = {"coverage": covered / options.draws, "width": float(np.mean(widths))}
                estimate = float(np.mean(estimates))
                show(
                    "interval",
                    metric=metric,
                    regime=regime,
                    n=n,
                    draws=options.draws,
                    true=truth,
                    estimate=estimate,
                    **result,
                )


if __name__ == "__main__":
    main()
