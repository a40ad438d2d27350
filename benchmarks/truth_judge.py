"""Train the judge of truth for TruthfulQA answers, and measure its agreement with people on held-out questions.

Prints one JSON line per figure. Each answer is judged by a regression fitted on the answers to other questions (five parts).
With --out, the judge is then fitted on all answers and written with these figures.

    python benchmarks/truth_judge.py --labels judge_train.jsonl --questions questions.jsonl --out truth_judge.json
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from figures import read_rows, show, wilson

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

_ANSWER = re.compile(r"Q: (?P<question>.*?)\nA: (?P<answer>.*)\nTrue:", re.DOTALL)
_PARTS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="rows with prompt (question and answer) and completion")
    parser.add_argument("--questions", type=Path, required=True, help="TruthfulQA questions with their references")
    parser.add_argument("--out", type=Path, default=None, help="write the judge that is fitted on all answers")
    arguments = parser.parse_args()

    import numpy as np
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

    from halluc.evaluation.truth_judge import fit_truth_judge, truth_features

    references = {
        row["Question"].strip(): [_split(row[name]) for name in ("Correct Answers", "Incorrect Answers")]
        for row in read_rows(arguments.questions)
    }
    questions, features, labels = [], [], []
    for row in read_rows(arguments.labels):
        match = _ANSWER.match(row["prompt"])
        if match is None or match["question"].strip() not in references:
            continue
        question = match["question"].strip()
        questions.append(question)
        features.append(truth_features(match["answer"].strip(), *references[question]))
        labels.append(row["completion"].strip() == "yes")
    X, y = np.array(features), np.array(labels)
    numbers = {question: i for i, question in enumerate(np.random.default_rng(0).permutation(sorted(references)))}
    part = np.array([numbers[question] % _PARTS for question in questions])
    judged = np.zeros(len(y), dtype=bool)
    for held_out in range(_PARTS):
        judge = fit_truth_judge(X[part != held_out], y[part != held_out])
        judged[part == held_out] = judge.probability_of(X[part == held_out]) > 0.5
    right = judged == y
    agreement = {
        "balanced accuracy": float(balanced_accuracy_score(y, judged)),
        "accuracy": float(right.mean()),
        "kappa": float(cohen_kappa_score(y, judged)),
        "n": len(y),
    }
    show("agreement on held-out questions", questions=len(set(questions)), **agreement, bar=0.8,
         interval_of_accuracy=wilson(int(right.sum()), len(y)))  # fmt: skip
    for name, kind in (("true", y), ("false", ~y)):
        show(f"agreement on {name} answers", n=int(kind.sum()), accuracy=float(right[kind].mean()))
    if arguments.out is not None:
        fit_truth_judge(X, y, agreement).save(arguments.out)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


if __name__ == "__main__":
    main()
