"""Guaranteed thresholds against peers: how often is the risk exceeded, and what share of the items is answered?

    python benchmarks/calibration_guarantees.py [--draws 2000]

Every procedure chooses its threshold on the same draws. The true risk of a threshold is known, so a violation is exact;
`violations` may be up to delta plus sampling error. Sources: confidences that rank well, confidences that hardly rank, and
the least favorable case, in which every threshold has a risk just above the guaranteed one. Peers: SGR (Geifman & El-Yaniv
2017, arXiv 1705.08500: binary search over the confidences, Bonferroni over its steps), Learn then Test with Bonferroni over
a grid of 100 thresholds (arXiv 2110.01052), and MAPIE's control of precision with its default correction (Holm) and by fixed
sequence, on its own grid; MAPIE is left out if it is not installed (the extra `bench`).
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
from figures import show
from scipy.stats import beta, binom

# Another script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from calibration import ConformalAbstention, NoThresholdWarning  # noqa: E402

DELTA = 0.05


def ranked(rng, n):
    """Confidences over (0, 1), accuracy from 0.35 to 0.98."""
    confidence = rng.random(n)
    return confidence, 0.35 + 0.63 * confidence


def hardly_ranked(rng, n):
    confidence = rng.random(n)
    return confidence, 0.75 + 0.15 * confidence


def at_the_edge(rng, n):
    """Every threshold has a risk of 0.2001."""
    return rng.random(n), np.full(n, 0.7999)


def halluc_threshold(confidence, correct, risk):
    return ConformalAbstention(risk, DELTA).fit(confidence, correct).threshold


def half_threshold(confidence, correct, risk):
    """On half of the items, as if the other half were spent on a recalibrator that keeps the order."""
    half = np.arange(correct.size) % 2 == 0
    return ConformalAbstention(risk, DELTA).fit(confidence[half], correct[half]).threshold


def sgr_threshold(confidence, correct, risk):
    order = np.argsort(-confidence)
    ranked_confidence, wrong = confidence[order], np.cumsum(~correct[order])
    steps = max(1, int(np.ceil(np.log2(correct.size))))
    low, high, best = 0, correct.size - 1, np.inf
    for _ in range(steps):
        middle = (low + high + 1) // 2
        errors, answered = wrong[middle], middle + 1
        bound = 1.0 if errors == answered else beta.ppf(1 - DELTA / steps, errors + 1, answered - errors)
        if bound <= risk:
            best, low = ranked_confidence[middle], middle
        else:
            high = middle - 1
        if low > high:
            break
    return best


def bonferroni_threshold(confidence, correct, risk):
    grid = np.arange(100) / 100
    above = confidence[:, None] >= grid
    p_value = np.where(above.any(axis=0), binom.cdf((above & ~correct[:, None]).sum(axis=0), above.sum(axis=0), risk), 1)
    allowed = grid[p_value <= DELTA / grid.size]
    return allowed.min() if allowed.size else np.inf


def mapie_threshold(confidence, correct, risk, correction="bonferroni_holm"):
    from mapie.risk_control import BinaryClassificationController

    controller = BinaryClassificationController(
        lambda values: np.stack([1 - values, values], axis=1),
        "precision",
        target_level=1 - risk,
        confidence_level=1 - DELTA,
        fwer_method=correction,
    )
    threshold = controller.calibrate(confidence, correct.astype(int)).best_predict_param
    return np.inf if threshold is None else threshold


PROCEDURES = {
    "halluc": halluc_threshold,
    "halluc, half of the items": half_threshold,
    "SGR": sgr_threshold,
    "LTT-Bonferroni": bonferroni_threshold,
}
if importlib.util.find_spec("mapie") is not None:
    PROCEDURES["MAPIE"] = mapie_threshold
    PROCEDURES["MAPIE, fixed sequence"] = functools.partial(mapie_threshold, correction="fixed_sequence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500, 2000])
    parser.add_argument("--risk", type=float, default=0.2)
    options = parser.parse_args()
    warnings.simplefilter("ignore", NoThresholdWarning)
    # MAPIE warns where no threshold controls the risk, and so does numpy on its empty selections.
    warnings.filterwarnings("ignore", module="mapie")
    for source in (ranked, hardly_ranked, at_the_edge):
        confidence, right = source(np.random.default_rng(0), 200_000)
        order = np.argsort(-confidence)
        values, risk_above = -confidence[order], np.cumsum(1 - right[order]) / np.arange(1, confidence.size + 1)
        for n in options.sizes:
            violations, coverage = dict.fromkeys(PROCEDURES, 0), dict.fromkeys(PROCEDURES, 0.0)
            for seed in range(options.draws):
                rng = np.random.default_rng([seed, n])
                drawn, probability = source(rng, n)
                correct = rng.random(n) < probability
                for name, procedure in PROCEDURES.items():
                    answered = int(np.searchsorted(values, -procedure(drawn, correct, options.risk), side="right"))
                    coverage[name] += answered / confidence.size
                    violations[name] += answered > 0 and risk_above[answered - 1] > options.risk
            for name in PROCEDURES:
                show("guarantee", source=source.__name__, n=n, risk=options.risk, delta=DELTA, procedure=name,
                     draws=options.draws, violations=violations[name] / options.draws,
                     coverage=coverage[name] / options.draws)  # fmt: skip


if __name__ == "__main__":
    main()
