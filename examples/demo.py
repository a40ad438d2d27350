"""Index real Wikipedia passages, then answer real questions without and with them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import halluc
from retrieval import PassageIndex, load_documents, split_documents

DATA = Path(__file__).parent / "xquad"
QUESTIONS = 6


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    # Without markup: passages and answers contain square brackets.
    console = Console(width=None if sys.stdout.isatty() else 140, markup=False)
    console.print("loading the language model (the first time it is fetched, 1.1 GB, and converted) …")
    lm = halluc.load_model("default")
    rows = read_rows(DATA / "questions.jsonl")[:QUESTIONS]
    # The last question has no answer in the passages.
    questions = [row["question"] for row in rows] + [read_rows(DATA / "unrelated_questions.jsonl")[0]["question"]]
    references = [row["references"][0] for row in rows] + ["(not in the passages)"]
    with tempfile.TemporaryDirectory() as folder, PassageIndex.create(Path(folder) / "xquad.index") as index:
        index.add(split_documents(load_documents(DATA / "passages.jsonl")))
        console.print(f"indexed {len(index)} passages of Wikipedia")
        console.print(f"asking {lm.name} {len(questions)} questions, without and with passages …")
        ungrounded = lm.generate(questions, max_new_tokens=48)
        answers = halluc.GroundedModel(lm, index, verifier=halluc.load_verifier()).batch(questions)

    table = Table("question", "reference", f"{lm.name} alone", "grounded", "passage used", show_lines=True)
    for question, reference, (generation,), answer in zip(questions, references, ungrounded, answers, strict=True):
        support = f" [support {answer.verdicts[0].support:.2f}]" if answer.verdicts else ""
        citation = answer.citations[0] if answer.citations else None
        table.add_row(
            question,
            reference,
            generation.text.strip(),
            f"no answer: {answer.reason}" if answer.abstained else answer.text + support,
            f"{citation.title}: {citation.quote}" if citation else "–",
        )
    console.print(table)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
