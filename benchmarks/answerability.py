"""Measure how well passages that answer a question are told from near misses, and fit the packaged weights.

CLAPNQ has a passage for each question, which answers it or not; XQuAD gives answerable questions, the same ones with their
passage taken away, which are unanswerable, and SelfAware questions on other subjects. Documents of CLAPNQ (by title) and
XQuAD (by article) are divided in two halves: weights and threshold come from one, all figures from the other. For each mode
of search and set of features, prints the AUROC on held-out rows with a bootstrap interval, and the curve: the shares of
unanswerable and of answerable questions that are answered at each threshold.

    python benchmarks/answerability.py --data DATA --fit halluc/grounding/answerability.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import read_rows, show

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

K = 3
COLUMNS = {"cosine": [0], "words": [1, 2], "cosine and words": [0, 1, 2]}


class Row(NamedTuple):
    corpus: str
    to_fit: bool
    answerable: bool
    features: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clapnq, xquad and self_aware")
    parser.add_argument("--limit", type=int, default=200, help="questions of XQuAD")
    parser.add_argument("--indexes", type=Path, default=None, help="folder that keeps the indexes for the next run")
    parser.add_argument("--fit", type=Path, default=None, help="write weights fitted on the first half")
    arguments = parser.parse_args()

    from calibration import SourceCombination

    data = {mode: [] for mode in ("dense", "sparse", "hybrid")}
    for name, rows, passages in _corpora(arguments.data, arguments.limit):
        for mode, part in _features(rows, passages, name, arguments.indexes, data).items():
            data[mode] += part
    rows = [row for mode in data for row in data[mode]]
    packaged = {
        "origin": "benchmarks/answerability.py on half of the documents of CLAPNQ (Apache-2.0) and XQuAD (CC BY-SA 4.0), "
        "and half of the questions drawn from SelfAware; three hits, all modes",
    }
    for features, columns in COLUMNS.items():
        fit = [row for row in rows if row.to_fit]
        x = np.array([row.features for row in fit])[:, columns]
        # Each set and answer counts the same, whatever the number of its rows.
        groups = [(row.corpus, row.answerable) for row in fit]
        weight = np.array([1 / groups.count(group) for group in groups])
        combination = SourceCombination().fit(x, [row.answerable for row in fit], sample_weight=weight)
        packaged["combination"] = combination.to_dict()
        show("weights", features=features, n=len(fit), weight=combination.weight_.tolist(), intercept=combination.intercept_)
        near_misses = [row for row in fit if row.corpus == "CLAPNQ" and not row.answerable]
        score = combination.predict(np.array([row.features for row in near_misses])[:, columns])
        show(
            "threshold that answers a quarter of the near misses to fit",
            features=features,
            threshold=np.quantile(score, 0.75),
        )
        for mode in data:
            _report(features, mode, data[mode], combination, columns)
    if arguments.fit is not None:
        arguments.fit.write_text(json.dumps(packaged, indent=1) + "\n", encoding="utf-8")


def _report(features: str, mode: str, rows: list, combination, columns: list[int]) -> None:
    from calibration import auroc

    held_out = [row for row in rows if not row.to_fit]
    for name in dict.fromkeys(row.corpus for row in held_out):
        part = [row for row in held_out if row.corpus == name]
        score = combination.predict(np.array([row.features for row in part])[:, columns])
        answerable = np.array([row.answerable for row in part])
        curve = {f"{t:.1f}": [float((score[answerable == label] >= t).mean()) if (answerable == label).any() else None
                              for label in (False, True)] for t in np.arange(0.1, 0.95, 0.1)}  # fmt: skip
        values: dict = {}
        if answerable.any() and not answerable.all():
            values["auroc"] = float(auroc(score, answerable))
            values["interval"] = _bootstrap(score, answerable)
            # The lowest threshold that answers at most a quarter of the unanswerable questions.
            limit = np.quantile(score[~answerable], 0.75)
            values["answerable_answered_at_25_%_of_unanswerable"] = float((score[answerable] > limit).mean())
        show("answerability", of=name, features=features, mode=mode, n=len(part), **values)
        show("answered, unanswerable and answerable", of=name, features=features, mode=mode, at_threshold=curve)


def _bootstrap(score: np.ndarray, truth: np.ndarray) -> list[float]:
    from calibration import auroc

    generator = np.random.default_rng(0)
    values = []
    for _ in range(500):
        drawn = generator.integers(0, score.size, score.size)
        if truth[drawn].any() and not truth[drawn].all():
            values.append(float(auroc(score[drawn], truth[drawn])))
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


def _features(rows: list[dict], passages: list, name: str, indexes: Path | None, modes) -> dict[str, list[Row]]:
    """The rows with their features, by mode."""
    from halluc.grounding.answerability import answerability_features
    from retrieval import PassageIndex

    questions = [row["question"] for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = (indexes or Path(folder)) / f"{name}.index"
        index = PassageIndex.open(path) if path.exists() else PassageIndex.build(path, passages)[0]
        parts = {}
        for mode in modes:
            hits = index.search(questions, k=K + 5, mode=mode, min_similarity=-1.0)
            kept = [
                [hit for hit in row_hits if (hit.passage.document_id or hit.passage.id) != row.get("without")][:K]
                for row, row_hits in zip(rows, hits, strict=True)
            ]
            features = answerability_features(questions, kept)
            parts[mode] = [
                Row(name, _is_first(row["group"]), row["answerable"], f) for row, f in zip(rows, features, strict=True)
            ]
    return parts


def _is_first(group: str) -> bool:
    return hashlib.sha256(group.encode()).digest()[0] % 2 == 0


def _corpora(data: Path, limit: int):
    """The name, the rows (question, group, answerable, passage taken away) and the passages of each set."""
    from retrieval import Passage, load_documents, split_documents

    rows = read_rows(data / "clapnq" / "questions.jsonl")
    passages = {row["passage"]: Passage(f"clapnq {i}", row["passage"], row["title"]) for i, row in enumerate(rows)}
    yield "CLAPNQ", [{**row, "group": row["title"]} for row in rows], list(passages.values())
    documents = split_documents(load_documents(data / "xquad" / "passages.jsonl"))
    rows = read_rows(data / "xquad" / "questions.jsonl")
    random.Random(1).shuffle(rows)
    rows = [{**row, "group": row["passage_id"].split("#")[0], "answerable": True} for row in rows[:limit]]
    yield "XQuAD", rows + [{**row, "answerable": False, "without": row["passage_id"]} for row in rows], documents
    rows = read_rows(data / "self_aware" / "questions.jsonl")
    random.Random(1).shuffle(rows)
    rows = [{**row, "group": row["question"], "answerable": False} for row in rows[: limit // 2]]
    yield "other subjects", rows, documents


if __name__ == "__main__":
    main()
