"""Index Wikipedia passages, then answer questions without and with them."""

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

    # The answers and passages may contain square brackets, which are not markup here.
    console = Console(width=None if sys.stdout.isatty() else 140, markup=False)
    console.print("loading the language model (fetched and converted once, about half a minute) …")
    lm = halluc.load_model("default")
    with tempfile.TemporaryDirectory() as folder:
        index = PassageIndex.create(Path(folder) / "xquad.index")
        index.add(split_documents(load_documents(DATA / "passages.jsonl")))
        console.print(f"indexed {len(index)} passages of Wikipedia")
        rows = [json.loads(line) for line in (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
        rows = rows[:QUESTIONS]
        unrelated = json.loads((DATA / "unrelated_questions.jsonl").read_text(encoding="utf-8").splitlines()[0])
        questions = [row["question"] for row in rows] + [unrelated["question"]]
        references = [row["answers"][0] for row in rows] + ["(not in the passages)"]
        console.print(f"asking {lm.name} {len(questions)} questions, without and with passages …")
        ungrounded = lm.generate(questions, max_new_tokens=48)
        grounded = halluc.GroundedModel(lm, index, verifier=halluc.load_verifier()).batch(questions)

    table = Table("question", "accepted answer", f"{lm.name} alone", "grounded", "passage used", show_lines=True)
    for question, reference, generations, answer in zip(questions, references, ungrounded, grounded, strict=True):
        support = f" [support {answer.verdicts[0].support:.2f}]" if answer.verdicts else ""
        source = answer.citations[0] if answer.citations else None
        table.add_row(
            question,
            reference,
            generations[0].text.strip(),
            f"no answer: {answer.reason}" if answer.abstained else answer.text + support,
            f"{source.title}: {source.quote}" if source else "–",
        )
    console.print(table)


if __name__ == "__main__":
    main()
