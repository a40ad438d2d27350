"""Measure chain-of-verification on list questions (MultiSpanQA) and biographies (FActScore): do answers improve on drafts?

Prints one JSON line per variant and task: precision of the drafts and of the final answers, pooled over questions; their
difference with a paired 95 % bootstrap interval over questions; the recall of list items; how many chains ended early, with
the reasons; and the number of tokens generated.

List questions: the items of an answer are its lines, or its parts between commas and "and"; an item is right if it contains
a reference, or a reference contains it, as whole words. Biographies: a claim is right if the verifier gives it a support of
at least 0.5 by the facts about that person that annotators marked as supported; both texts are judged by the same model.

    python benchmarks/cove.py --data FOLDER --questions 20 --people 10
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import read_rows
from remembering import Remembering

# A script beside this one has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

VARIANTS = ("joint", "two-step", "factored", "factor+revise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with multispanqa/ and factscore/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--questions", type=int, default=20, help="list questions, drawn with seed 0; 0 for none")
    parser.add_argument("--people", type=int, default=10, help="biographies, drawn with seed 0; 0 for none")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--max-questions", type=int, default=3)
    parser.add_argument("--answers", type=Path, default=None, help="file that keeps completions, to resume a run")
    parser.add_argument("--verifier", default="default", help="judges biographies")
    parser.add_argument("--with-index", action="store_true", help="also answer the questions from the passages of all rows")
    arguments = parser.parse_args()

    from halluc import load_model
    from retrieval import Passage, PassageIndex

    # The variants share prompts.
    lm = Remembering(load_model(arguments.model), arguments.answers)
    lists = _lists(arguments.data)[: arguments.questions]
    people = _people(arguments.data)[: arguments.people]
    with tempfile.TemporaryDirectory() as folder:
        indices: list[Any] = [None]
        if arguments.with_index:
            index = PassageIndex.create(Path(folder) / "passages.index")
            texts = [row["context"] for row in _lists(arguments.data)]
            index.add([Passage(f"list {i}", text) for i, text in enumerate(texts)])
            indices.append(index)
        for index in indices:
            for variant in VARIANTS:
                if lists:
                    _measure("lists", variant, lm, index, [row["question"] for row in lists], _judge_items(lists), arguments)
                if people and index is None:
                    questions = [f"Tell me a bio of {row['topic']}." for row in people]
                    _measure(
                        "biographies", variant, lm, index, questions, _judge_claims(people, arguments.verifier), arguments
                    )


def _measure(
    task: str, variant: str, lm: Any, index: Any, questions: list[str], judge: Callable[..., list], arguments: Any
) -> None:
    from halluc import ChainOfVerification

    start = time.perf_counter()
    cove = ChainOfVerification(
        lm, variant, index=index, max_questions=arguments.max_questions, max_new_tokens=arguments.max_new_tokens
    )
    answers = cove.batch(questions)
    seconds = time.perf_counter() - start
    draft, final = judge([answer.draft for answer in answers]), judge([answer.text for answer in answers])
    difference, interval = _difference(draft, final)
    print(
        json.dumps(
            {
                "task": task,
                "variant": variant,
                "source": cove.source,
                "model": lm.name,
                "n": len(questions),
                "draft_precision": _ratio(draft, 0, 1),
                "draft_statements": sum(row[1] for row in draft),
                "final_precision": _ratio(final, 0, 1),
                "final_statements": sum(row[1] for row in final),
                "difference": difference,
                "interval": interval,
                **({"draft_recall": _ratio(draft, 2, 3), "final_recall": _ratio(final, 2, 3)} if task == "lists" else {}),
                "changed": sum(answer.text != answer.draft for answer in answers),
                "stopped": dict(Counter(answer.stopped for answer in answers if answer.stopped)),
                "new_tokens": sum(step.new_tokens for answer in answers for step in answer.trace),
                "seconds": round(seconds, 1),
            }
        ),
        flush=True,
    )


def _judge_items(rows: list[dict[str, Any]]) -> Callable[[list[str]], list[tuple[int, int, int, int]]]:
    """Per answer (right items, items, references contained, references)."""
    from halluc.grading.matching import normalize_answer

    def judge(texts: list[str]) -> list[tuple[int, int, int, int]]:
        counts = []
        for row, text in zip(rows, texts, strict=True):
            references = [normalize_answer(reference) for reference in row["references"]]
            items = [item for item in map(normalize_answer, _items(text)) if item]
            right = sum(any(_within(r, item) or _within(item, r) for r in references) for item in items)
            contained = sum(_within(reference, normalize_answer(text)) for reference in references)
            counts.append((right, len(items), contained, len(references)))
        return counts

    return judge


def _judge_claims(rows: list[dict[str, Any]], name: str) -> Callable[[list[str]], list[tuple[int, int]]]:
    """Per biography (supported claims, claims)."""
    from halluc import extract_claims, load_verifier

    verifier = load_verifier(name)

    def judge(texts: list[str]) -> list[tuple[int, int]]:
        claims = [extract_claims(text) for text in texts]
        pairs = [
            (" ".join(row["facts"]), claim.text) for row, of_text in zip(rows, claims, strict=True) for claim in of_text
        ]
        support = iter(verifier.support(pairs).tolist() if pairs else [])
        return [(sum(next(support) >= 0.5 for _ in of_text), len(of_text)) for of_text in claims]

    return judge


def _items(text: str) -> list[str]:
    lines = [re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line) for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.rstrip().endswith(":")]
    parts = lines if len(lines) > 1 else re.split(r",|;|\band\b", lines[0] if lines else "")
    return [part.strip(" .") for part in parts]


def _within(short: str, long: str) -> bool:
    return bool(short) and f" {short} " in f" {long} "


def _ratio(rows: list[tuple[int, ...]], numerator: int, denominator: int) -> float | None:
    total = sum(row[denominator] for row in rows)
    return round(sum(row[numerator] for row in rows) / total, 3) if total else None


def _difference(draft: list[tuple[int, ...]], final: list[tuple[int, ...]]) -> tuple[float | None, list[float] | None]:
    """Pooled precision of the final answers minus that of the drafts, with a percentile interval of 2000 resamples."""
    import numpy as np

    both = np.array([[*a[:2], *b[:2]] for a, b in zip(draft, final, strict=True)], dtype=float)
    rng = np.random.default_rng(0)
    draws = both[rng.integers(0, len(both), (2000, len(both)))].sum(1)
    draws = draws[(draws[:, 1] > 0) & (draws[:, 3] > 0)]
    total = both.sum(0)
    if not (total[1] and total[3] and len(draws)):
        return None, None
    low, high = np.percentile(draws[:, 2] / draws[:, 3] - draws[:, 0] / draws[:, 1], [2.5, 97.5])
    return round(total[2] / total[3] - total[0] / total[1], 3), [round(low, 3), round(high, 3)]


def _lists(data: Path) -> list[dict[str, Any]]:
    rows = []
    for row in read_rows(data / "multispanqa" / "rows.jsonl"):
        spans: list[list[str]] = []
        for word, label in zip(row["context"], row["label"], strict=True):
            if label == "B":
                spans.append([word])
            elif label == "I":
                spans[-1].append(word)
        question = " ".join(row["question"])
        rows.append({
            "question": question[:1].upper() + question[1:] + "?",
            "references": [" ".join(span) for span in spans],
            "context": " ".join(row["context"]),
        })  # fmt: skip
    random.Random(0).shuffle(rows)
    return rows


def _people(data: Path) -> list[dict[str, Any]]:
    facts: dict[str, list[str]] = {}
    for row in read_rows(data / "factscore" / "rows.jsonl"):
        for sentence in row["annotations"] or []:
            supported = [fact["text"] for fact in sentence.get("human-atomic-facts") or [] if fact["label"] == "S"]
            facts.setdefault(row["topic"], []).extend(supported)
    rows = [
        {"topic": topic, "facts": list(dict.fromkeys(texts))} for topic, texts in sorted(facts.items()) if len(texts) >= 10
    ]
    random.Random(0).shuffle(rows)
    return rows


if __name__ == "__main__":
    main()
