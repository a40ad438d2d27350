"""Which claims of an answer to keep: false claims left and claims kept, on answers whose claims people judged.

    python benchmarks/calibration_claims.py --data FOLDER [--splits 10]     # the folder with factscore, nq and math .jsonl

The 150 answers (biographies, questions, mathematics) are split at random into two halves, again and again: rules are
fitted to one and measured on the other. `left` is the share of answers with a false claim left, which the risk bounds;
`kept` is the mean share of claims kept; `stated` is the mean risk that the rule states. Rules: one threshold (Mohri &
Hashimoto 2024), a guarantee in each of the three sets (Gibbs et al. 2023), and a level that adapts to each answer (Cherian
et al. 2024). The support is the model's own, as recorded with the answers.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from figures import read_rows, show

# Another script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from calibration import ConditionalFactuality, ConformalFactuality, NoThresholdWarning  # noqa: E402

SETS = ("factscore", "nq", "math")


def read(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    support, correct, groups = [], [], []
    for number, name in enumerate(SETS):
        for row in read_rows(folder / f"{name}.jsonl"):
            claims = row["claims"]
            support.append(np.clip([float(claim["gpt-score"]) for claim in claims], 0, 1))
            correct.append(np.array([claim["annotation"] == "Y" for claim in claims], dtype=bool))
            groups.append(number)
    return support, correct, np.eye(len(SETS))[groups]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--risk", type=float, default=0.2)
    parser.add_argument("--retention", type=float, default=0.7)
    options = parser.parse_args()
    warnings.simplefilter("ignore", NoThresholdWarning)
    support, correct, groups = read(options.data)
    results: dict[tuple[str, int], list[tuple[bool, float, float]]] = {}
    for seed in range(options.splits):
        fit = np.random.default_rng(seed).permutation(len(support)) % 2 == 0
        known = [[values for values, kept in zip(part, fit, strict=True) if kept] for part in (support, correct)]
        one = ConformalFactuality(options.risk).fit(*known)
        each = ConditionalFactuality(options.risk).fit(*known, groups[fit])
        adaptive = ConditionalFactuality(options.risk, retention=options.retention, seed=seed).fit(*known, groups[fit])
        for row in np.flatnonzero(~fit):
            values, truth, group = support[row], correct[row], int(groups[row].argmax())
            for name, rows, stated in (
                ("one threshold", one.keep(values), options.risk),
                ("guarantee in each set", each.keep(values, groups[row]), options.risk),
                ("adaptive level", adaptive.keep(values, groups[row]), adaptive.stated_risk(values, groups[row])),
            ):
                kept = float(rows.mean()) if rows.size else 1.0
                results.setdefault((name, group), []).append((bool((rows & ~truth).any()), kept, stated))
    for name in dict.fromkeys(name for name, _ in results):
        parts = {SETS[group]: results[name, group] for group in range(len(SETS))}
        parts["all"] = [entry for entries in parts.values() for entry in entries]
        for group, entries in parts.items():
            left, kept, stated = np.mean(np.array(entries, dtype=float), axis=0)
            show("claims", rule=name, answers=group, splits=options.splits, risk=options.risk, left=left, kept=kept,
                 stated=stated)  # fmt: skip


if __name__ == "__main__":
    main()
