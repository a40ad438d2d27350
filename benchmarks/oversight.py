"""What labels of models and opinions of groups are worth for training. Prints one JSON line per figure.

- `--part labels`: how often a model, asked under the principles of the package, prefers the answer to a question of
  TruthfulQA that people called true over one that they called false; both orders, with the share of votes that agree in
  both, and the preference for the first position.
- `--part weak-to-strong`: performance gap recovered (arXiv 2312.09390) by strong models on the labels of weak ones,
  imitating and with the auxiliary confidence loss: claims with evidence (SNLI; MiniLM supervises MPNet), and the truth of
  statements (CREAK, and sets of true_false, three together or one by its name; a small language model supervises a larger
  one, and MiniLM supervises MPNet and the larger language model).
- `--part votes`: distributions of verifiers compared with the votes of annotators (Climate-FEVER, LFQA), on documents that
  no verifier was trained on.
- `--part rules`: what groups with different principles get from answers chosen by each rule, and the price they pay.

    python benchmarks/oversight.py --data DATA --part votes
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from figures import read_rows, show

# This folder has scripts with the names of packages, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--part", choices=["labels", "weak-to-strong", "votes", "rules"], required=True)
    parser.add_argument("--rows", type=int, default=200, help="rows or pairs of each figure")
    parser.add_argument("--models", nargs="+", default=["smollm2-135m", "qwen2.5-coder-0.5b"], help="small one first")
    parser.add_argument("--verifiers", nargs="+", default=["default", "large"], help="of the part votes")
    parser.add_argument("--tasks", nargs="+", default=["snli", "creak", "true_false"], help="of the part weak-to-strong")
    parser.add_argument("--keep", type=Path, help="folder for features and samples, which a second run reads")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.part == "labels":
            labels(arguments.data, arguments.models, arguments.rows)
        elif arguments.part == "weak-to-strong":
            for task in arguments.tasks:
                weak_to_strong(arguments.data, task, arguments.models, arguments.rows, folder)
        elif arguments.part == "votes":
            votes(arguments.data, arguments.verifiers, arguments.rows)
        else:
            rules(arguments.data, arguments.models, arguments.rows, folder)


# -- labels --------------------------------------------------------------------------------------------------------------


def labels(data: Path, models: list[str], rows: int) -> None:
    from calibration import auroc
    from halluc import load_model
    from training.preferences.ai_labels import draw_principles, label_preferences
    from training.preferences.constitution import load_principles

    pairs = true_and_false_answers(data, rows)
    questions, true, false = (list(column) for column in zip(*pairs, strict=True))
    principles = load_principles()
    for name in models:
        lm = load_model(name)
        drawn = draw_principles(principles, len(pairs), count=2, seed=0)
        made = label_preferences(lm, questions, true, false, drawn)
        votes = [vote for label in made for vote in label.votes]
        right = sum(label.probability > 0.5 for label in made)
        by_principle = defaultdict(list)
        for vote in votes:
            by_principle[vote.principle].append(vote.probability > 0.5)
        # The scores of true answers and of false ones, as if half of the pairs had been written the other way around.
        scores = [label.probability for label in made] + [1 - label.probability for label in made]
        show(
            "labels agree with people",
            model=name,
            n=len(pairs),
            agreement=right / len(pairs),
            interval=binomial(right, len(pairs)),
            auroc=auroc(scores, [True] * len(made) + [False] * len(made)),
            orders_agree=sum(vote.orders_agree for vote in votes) / len(votes),
            first_position=sum(vote.shown_first + 1 - vote.shown_second for vote in votes) / (2 * len(votes)),
            **{f"under {name}": sum(values) / len(values) for name, values in sorted(by_principle.items())},
        )


def true_and_false_answers(data: Path, count: int) -> list[tuple[str, str, str]]:
    """(question, true answer, false answer), one for each question."""
    answers: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"yes": [], "no": []})
    for row in read_rows(data / "truthfulqa_judge" / "judge_train.jsonl"):
        question, _, rest = row["prompt"].removeprefix("Q: ").partition("\nA: ")
        answers[question][row["completion"].strip()].append(rest.removesuffix("\nTrue:"))
    generator = random.Random(0)
    pairs = []
    for question, sides in sorted(answers.items()):
        if sides["yes"] and sides["no"]:
            true = generator.choice(sides["yes"])
            # Of similar length, since length alone would tell many pairs apart.
            _, false = min((abs(len(text) - len(true)), text) for text in sides["no"])
            pairs.append((question, true, false))
    return generator.sample(pairs, min(count, len(pairs)))


def binomial(successes: int, n: int) -> list[float]:
    from calibration import binomial_interval

    return [float(end) for end in binomial_interval(successes, n)]


# -- weak to strong ------------------------------------------------------------------------------------------------------


def weak_to_strong(data: Path, task: str, models: list[str], rows: int, folder: Path) -> None:
    from training.weak_to_strong.run import WeakToStrongConfig, run_weak_to_strong

    path = folder / f"{task}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in task_rows(data, task)))
    pairs = [("minilm", "mpnet")]
    if task != "snli":
        pairs += [tuple(models), ("minilm", models[-1])]
    for weak, strong in pairs:
        # Pairs are told apart by a product of features, which a linear head over them reads.
        config = WeakToStrongConfig(rows=str(path), out=str(folder / task), weak=weak, strong=strong, limit=rows)
        report = run_weak_to_strong(config)["report"]
        values = {name: report[name] for name in ("weak", "ceiling", "gap", "difference")}
        for student in ("imitating", "confident"):
            values |= {student: report[student]["accuracy"], f"recovered, {student}": report[student]["recovered"]}
        show(
            "weak to strong",
            task=task,
            weak_model=weak,
            strong_model=strong,
            n_train=report["n_transfer"],
            n_test=report["n_test"],
            seeds=report["seeds"],
            **{name: None if value is None else list(value.values())[:3] for name, value in values.items()},
        )


def task_rows(data: Path, task: str) -> list[dict]:
    if task == "snli":
        return [
            {"evidence": row["premise"], "claim": row["hypothesis"], "label": row["label"] == "entailment"}
            for row in read_rows(data / "nli" / "snli.jsonl")
        ]
    if task == "creak":
        return [{"statement": row["claim"], "label": row["label"]} for row in read_rows(data / "creak" / "train.jsonl")]
    names = ("cities", "companies_true_false", "common_claim_true_false") if task == "true_false" else (task,)
    return [
        {"statement": row["statement"], "label": str(row["label"])}
        for name in names
        for row in read_rows(data / "true_false" / f"{name}.jsonl")
    ]


# -- votes ---------------------------------------------------------------------------------------------------------------


def votes(data: Path, verifiers: list[str], rows: int) -> None:
    import numpy as np

    from halluc import load_verifier
    from training.pluralism.distribution import distributional_report

    for data_set, read in (("climate_fever", climate_votes), ("lfqa", lfqa_votes)):
        table = read(data)
        table = random.Random(0).sample(table, min(rows, len(table)))
        counts = np.array([count for _, _, count in table], dtype=float)
        split = (counts > 0).sum(axis=1) > 1
        for name in verifiers:
            probabilities = load_verifier(name).probabilities([(evidence, claim) for evidence, claim, _ in table])
            if counts.shape[1] == 2:
                probabilities = np.stack([probabilities[:, 0], 1 - probabilities[:, 0]], axis=1)
            for part, chosen in (("all", np.full(len(split), True)), ("disagreeing", split)):
                report = distributional_report(probabilities[chosen], counts[chosen]).to_dict()
                show(
                    "distribution of votes",
                    data=data_set,
                    rows=part,
                    verifier=name,
                    **{key: list(value.values())[:3] if isinstance(value, dict) else value for key, value in report.items()},
                )


def climate_votes(data: Path) -> list[tuple[str, str, list[int]]]:
    """(evidence, claim, votes for supported, refuted, not enough information) with two or more votes."""
    from training.verifier.pairs import part_of

    names = ("SUPPORTS", "REFUTES", "NOT_ENOUGH_INFO")
    return [
        (f"{evidence['article']}: {evidence['evidence']}", row["claim"], [evidence["votes"].count(name) for name in names])
        for row in read_rows(data / "climate_fever" / "rows.jsonl")
        if part_of(row["claim"]) == "validation"
        for evidence in row["evidences"]
        if sum(vote is not None for vote in evidence["votes"]) >= 2
    ]


def lfqa_votes(data: Path) -> list[tuple[str, str, list[float]]]:
    """(evidence, claim, votes for supported and against it); "partially" is half a vote for each."""
    from training.verifier.pairs import part_of

    first: dict[str, str] = {}
    table = []
    for row in read_rows(data / "lfqa" / "sentences.jsonl"):
        document = first.setdefault(str(row["doc"]), row["evidence"])
        if part_of(document) == "validation":
            supported = sum({"supported": 1.0, "partially": 0.5}.get(vote, 0.0) for vote in row["votes"])
            table.append((row["evidence"], row["claim"], [supported, len(row["votes"]) - supported]))
    return table


# -- rules ---------------------------------------------------------------------------------------------------------------

# Three groups that want different things of an answer.
GROUPS = {
    "careful": "Which answer is more honest about what it does not know?",
    "informative": "Which answer gives more facts?",
    "brief": "Which answer is shorter and says only what was asked?",
}


def rules(data: Path, models: list[str], rows: int, folder: Path) -> None:
    from training.runs.pluralism import PluralismConfig, run_pluralism

    questions = random.Random(0).sample(read_rows(data / "truthfulqa" / "questions.jsonl"), rows)
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": row["Question"]}) + "\n" for row in questions))
    for name, question in GROUPS.items():
        principle = {"name": name, "critique": "-", "revision": "-", "preference": question}
        (folder / f"{name}.yaml").write_text(json.dumps({"principles": [principle]}))
    config = PluralismConfig(
        prompts=str(prompts), output_dir=str(folder / "rules"), model=models[0], judge=models[-1], max_new_tokens=48,
        groups={name: str(folder / f"{name}.yaml") for name in GROUPS}, weights={"careful": 2, "informative": 1, "brief": 1},
    )  # fmt: skip
    for outcome in run_pluralism(config)["rules"]:
        for group in outcome["groups"]:
            values = {key: list(group[key].values())[:3] for key in ("before", "after", "best", "price")}
            show("price of a rule", rule=outcome["rule"], welfare=outcome["welfare"], n=rows, group=group["group"], **values)


if __name__ == "__main__":
    main()
