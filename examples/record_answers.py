"""Record a model's answers to XQuAD questions from the example passages, with their confidence and correctness.

This script made `xquad/answers.jsonl` (the default model), so that calibration can be tried on hundreds of answers without
the minutes that they take. Questions are drawn with seed 0; the first 100 of the
draw, on which prompts were chosen, are skipped. Answers are written in batches, so an interrupted run keeps those it has;
continue it with a larger --skip and another file.

    python examples/record_answers.py --questions questions.jsonl --out examples/xquad/answers.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import halluc
from halluc.confidence import estimate_confidence
from halluc.grading.correctness import gives_answer
from retrieval import PassageIndex, load_documents, split_documents

SOURCES = ("length_normalized_likelihood", "min_token_probability", "p_true", "verifier_support")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, default=Path(__file__).parent / "xquad" / "passages.jsonl")
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--skip", type=int, default=100)
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--batch", type=int, default=50, help="questions that are answered and written together")
    arguments = parser.parse_args()

    rows = [json.loads(line) for line in arguments.questions.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    rows = rows[arguments.skip :][: arguments.limit]
    lm = halluc.load_model(arguments.model)
    with tempfile.TemporaryDirectory() as folder, arguments.out.open("w", encoding="utf-8") as out:
        index = PassageIndex.create(Path(folder) / "xquad.index")
        index.add(split_documents(load_documents(arguments.passages)))
        model = halluc.GroundedModel(lm, index, verifier=halluc.load_verifier(), max_new_tokens=24)
        for start in range(0, len(rows), arguments.batch):
            for line in record(model, rows[start : start + arguments.batch]):
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()


def record(model: halluc.GroundedModel, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answers to questions, with their confidence and correctness, except those that abstain."""
    answers = model.batch([row["question"] for row in rows])
    answered = [(row, answer) for row, answer in zip(rows, answers, strict=True) if not answer.abstained]
    confidence = {source: estimate_confidence(source, [answer for _, answer in answered], lm=model.lm) for source in SOURCES}
    for i, (row, answer) in enumerate(answered):
        references = row.get("references", row.get("answers"))
        yield {
            "question": row["question"],
            "references": references,
            "text": answer.text,
            "correct": gives_answer(answer.text, references),
            "confidence": {source: round(float(values[i]), 6) for source, values in confidence.items()},
        }


if __name__ == "__main__":
    main()
