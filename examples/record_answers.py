"""Record a model's answers to XQuAD questions from the example passages, with their confidence and correctness.

This script made `xquad/answers.jsonl` (the default model), so that calibration can be tried on hundreds of answers without
the minutes that they take. Questions are drawn with seed 0; the first 100 of the draw, on which prompts were chosen, are
skipped. Answers are written in batches. An interrupted run is resumed by the same command: it continues after the last
question in the file. --rescore computes the verifier's support of recorded answers again, for another verifier.

    python examples/record_answers.py --questions questions.jsonl --out examples/xquad/answers.jsonl --limit 250
    python examples/record_answers.py --questions questions.jsonl --out examples/xquad/answers.jsonl --rescore
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
from halluc.answers import Answer
from halluc.confidence import estimate_confidence
from halluc.files import read_rows, write_text
from halluc.grading.correctness import gives_answer
from halluc.grading.overlap import answer_f1
from halluc.grounding.judging import judge_answers
from halluc.models.language_model import Generation
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
    parser.add_argument("--rescore", action="store_true", help="only compute the verifier's support of recorded answers")
    arguments = parser.parse_args()

    questions = [row for _, row in read_rows(arguments.questions)]
    random.Random(0).shuffle(questions)
    questions = questions[arguments.skip :][: arguments.limit]
    lm = halluc.load_model(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        index = PassageIndex.create(Path(folder) / "xquad.index")
        index.add(split_documents(load_documents(arguments.passages)))
        model = halluc.GroundedModel(lm, index, verifier=halluc.load_verifier())
        if arguments.rescore:
            rescore(model, arguments.out)
        else:
            record(model, questions, arguments.out, batch=arguments.batch)


def record(model: halluc.GroundedModel, questions: list[dict[str, Any]], out: Path, *, batch: int) -> None:
    """Answer the questions that come after the last one in the file, and append the answers to it."""
    recorded = recorded_rows(out)
    texts = [row["question"] for row in questions]
    # The same question can come twice; at least as many were asked as answered, so an earlier place is not meant.
    start = texts.index(recorded[-1]["question"], len(recorded) - 1) + 1 if recorded else 0
    with out.open("a", encoding="utf-8") as file:
        for first in range(start, len(questions), batch):
            for row in answer(model, questions[first : first + batch]):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()


def recorded_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the file, without a last line that an interruption has cut."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        write_text(path, complete)
    return [json.loads(line) for line in complete.splitlines()]


def answer(model: halluc.GroundedModel, questions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answers to questions, with their confidence and correctness, except those that abstain."""
    answers = model.batch([row["question"] for row in questions])
    answered = [(row, answer) for row, answer in zip(questions, answers, strict=True) if not answer.abstained]
    confidence = {source: estimate_confidence(source, [answer for _, answer in answered], lm=model.lm) for source in SOURCES}
    for i, (row, answer) in enumerate(answered):
        references = row.get("references", row.get("answers"))
        yield {
            "question": row["question"],
            "references": references,
            "text": answer.text,
            "correct": is_correct(answer.text, references),
            "confidence": {source: round(float(values[i]), 6) for source, values in confidence.items()},
        }


def is_correct(text: str, references: list[str]) -> bool:
    """Whether the answer gives a reference, or shares most words with one: "typhoon" for "inauspicious typhoon"."""
    return gives_answer(text, references) or answer_f1(text, references) >= 0.5


def rescore(model: halluc.GroundedModel, path: Path) -> None:
    """Judge the recorded answers again, against the passages that their questions retrieve."""
    rows = recorded_rows(path)
    results = model.index.search([row["question"] for row in rows], k=model.k, mode=model.mode)
    answers = [
        Answer(row["question"], row["text"], hits=tuple(hits), generation=generation_of(model, row["text"]))
        for row, hits in zip(rows, results, strict=True)
    ]
    support = estimate_confidence("verifier_support", judge_answers(model.verifier, answers), lm=model.lm)
    for row, value in zip(rows, support, strict=True):
        row["confidence"]["verifier_support"] = round(float(value), 6)
        row["correct"] = is_correct(row["text"], row["references"])
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def generation_of(model: halluc.GroundedModel, text: str) -> Generation:
    """The generation that ended with this text: cut, if it is as long as an answer may be."""
    template_tokens = model.lm.count_tokens(" ") - 1
    cut = model.lm.count_tokens(text) - template_tokens >= model.max_new_tokens
    return Generation(text, finish_reason="length" if cut else "stop")


if __name__ == "__main__":
    main()
