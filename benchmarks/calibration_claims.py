"""Which claims of an answer to keep: false claims left and claims kept, on answers whose claims people judged.

    python benchmarks/calibration_claims.py --data FOLDER [--splits 10]     # the folder with factscore, nq and math .jsonl
    python benchmarks/calibration_claims.py --biographies FILE              # the labeled biographies of FActScore

Answers are split at random into two halves, again and again: rules are fitted to one and measured on the other. `left` is
the share of answers with a false claim left, which the risk bounds; `kept` is the mean share of claims kept; `stated` is the
mean risk that the rule states. Rules: one threshold (Mohri & Hashimoto 2024), a guarantee in each set of answers (Gibbs et
al. 2023), and a level that adapts to each answer (Cherian et al. 2024).

With --data there are 150 answers in three sets (biographies, questions, mathematics), and the support is the model's own, as
recorded with the answers. With --biographies the answers are those of ChatGPT in two sets, about rare and about well-known
people, and the support is that of the default verifier with the biographies that two other models wrote as evidence.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import read_rows, show

# Another script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from calibration import ConditionalFactuality, ConformalFactuality, NoThresholdWarning  # noqa: E402


@dataclass(frozen=True)
class Answers:
    """Judged answers: the (C,) support and truth of the claims of each, and the number of its set."""

    support: list[np.ndarray]
    correct: list[np.ndarray]
    group: list[int]
    names: tuple[str, ...]


def read_answers(folder: Path) -> Answers:
    answers = Answers([], [], [], ("factscore", "nq", "math"))
    for number, name in enumerate(answers.names):
        for row in read_rows(folder / f"{name}.jsonl"):
            claims = row["claims"]
            answers.support.append(np.clip([float(claim["gpt-score"]) for claim in claims], 0, 1))
            answers.correct.append(np.array([claim["annotation"] == "Y" for claim in claims], dtype=bool))
            answers.group.append(number)
    return answers


def read_biographies(path: Path, limit: int | None) -> Answers:
    """Facts that people labeled as relevant, in the biographies of ChatGPT."""
    from halluc import load_verifier
    from halluc.confidence import verifier_support

    rows, verifier = read_rows(path), load_verifier()
    texts: dict[str, dict[str, str]] = {}
    for row in rows:
        texts.setdefault(row["topic"], {})[row["model"]] = row["output"]
    answers = Answers([], [], [], ("rare", "well known"))
    for row in rows:
        sentences = row["annotations"] or [] if row["model"] == "ChatGPT" else []
        facts = [
            fact for sentence in sentences for fact in sentence.get("human-atomic-facts") or [] if fact["label"] != "IR"
        ]
        if not facts or len(answers.group) == limit:
            continue
        evidence = [text for model, text in texts[row["topic"]].items() if model != "ChatGPT"]
        answers.support.append(verifier_support(verifier, [evidence] * len(facts), [fact["text"] for fact in facts]))
        answers.correct.append(np.array([fact["label"] == "S" for fact in facts], dtype=bool))
        answers.group.append(int("rare" not in row["cat"][0]))
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path)
    source.add_argument("--biographies", type=Path)
    parser.add_argument("--limit", type=int, default=None, help="biographies; all by default")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--risk", type=float, default=0.2)
    parser.add_argument("--retention", type=float, default=0.7)
    options = parser.parse_args()
    warnings.simplefilter("ignore", NoThresholdWarning)
    answers = read_answers(options.data) if options.data else read_biographies(options.biographies, options.limit)
    features = np.eye(len(answers.names))[answers.group]
    results: dict[tuple[str, int], list[tuple[bool, float, float]]] = {}
    for seed in range(options.splits):
        fit = np.random.default_rng(seed).permutation(len(answers.group)) % 2 == 0
        known = [
            [values for values, used in zip(part, fit, strict=True) if used] for part in (answers.support, answers.correct)
        ]
        one = ConformalFactuality(options.risk).fit(*known)
        each = ConditionalFactuality(options.risk).fit(*known, features[fit])
        adaptive = ConditionalFactuality(options.risk, retention=options.retention, seed=seed).fit(*known, features[fit])
        for row in np.flatnonzero(~fit):
            values, truth, group = answers.support[row], answers.correct[row], answers.group[row]
            for name, rows, stated in (
                ("one threshold", one.keep(values), options.risk),
                ("guarantee in each set", each.keep(values, features[row]), options.risk),
                ("adaptive level", adaptive.keep(values, features[row]), adaptive.stated_risk(values, features[row])),
            ):
                kept = float(rows.mean()) if rows.size else 1.0
                results.setdefault((name, group), []).append((bool((rows & ~truth).any()), kept, stated))
    for name in dict.fromkeys(name for name, _ in results):
        parts = {label: results[name, number] for number, label in enumerate(answers.names)}
        parts["all"] = [entry for entries in parts.values() for entry in entries]
        for label, entries in parts.items():
            left, kept, stated = np.mean(np.array(entries, dtype=float), axis=0)
            show("claims", rule=name, answers=label, n=len(answers.group), splits=options.splits, risk=options.risk,
                 left=left, kept=kept, stated=stated)  # fmt: skip


if __name__ == "__main__":
    main()
