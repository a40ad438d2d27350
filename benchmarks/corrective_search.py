"""Corrective search: whether a second search with a question that a model rewrote finds what the first one missed.

As in CRAG (Yan et al. 2024, arXiv 2401.15884) and query rewriting (Ma et al. 2023, arXiv 2305.14283): if the score of
answerability is below the threshold, the language model writes the question in other words, these are searched, and the
hits of the search with the higher score count. Each question's passage is one of an index of all of them. Prints, for all
questions and for those that are searched again, how many have their passage among the hits before and after, with 95 %
intervals, and what the rewriting costs.

    python benchmarks/corrective_search.py --data FOLDER
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from figures import read_rows, show, wilson

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

_SYSTEM = "Rewrite the question as a search query in other words. Reply with the query only."
_EXAMPLE = ("who sings the song at the end of the movie jaws 2", "performer of closing credits song in film Jaws 2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with xquad, clapnq and hotpotqa")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--limit", type=int, default=400, help="questions of each set")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--threshold", type=float, default=None, help="search again below it; that of grounded models")
    arguments = parser.parse_args()
    from halluc import load_model
    from halluc.grounding.answerability import DEFAULT_THRESHOLD

    lm = load_model(arguments.model)
    threshold = DEFAULT_THRESHOLD if arguments.threshold is None else arguments.threshold
    for name, (passages, questions) in _sets(arguments.data, arguments.limit).items():
        _measure(name, passages, questions, lm, arguments.k, threshold)


def _sets(data: Path, limit: int) -> dict[str, tuple[list[str], list[tuple[str, str]]]]:
    """The passages of each set, and its (question, its passage)."""
    xquad = {row["id"]: row["text"] for row in read_rows(data / "xquad" / "passages.jsonl")}
    of_xquad = [(row["question"], xquad[row["passage_id"]]) for row in read_rows(data / "xquad" / "questions.jsonl")]
    clapnq = read_rows(data / "clapnq" / "questions.jsonl")
    hotpotqa = read_rows(data / "hotpotqa" / "gold_paragraphs.jsonl")[:1000]
    return {
        "xquad": (list(xquad.values()), of_xquad[:limit]),
        "clapnq": (
            list(dict.fromkeys(row["passage"] for row in clapnq)),
            [(row["question"], row["passage"]) for row in clapnq if row["answers"]][:limit],
        ),
        # Whatever is found does not answer these: each one that is then answered is a mistake.
        "clapnq, unanswerable": (
            list(dict.fromkeys(row["passage"] for row in clapnq)),
            [(row["question"], "") for row in clapnq if not row["answers"]][:limit],
        ),
        "hotpotqa": (
            list(dict.fromkeys(row["knowledge"] for row in hotpotqa)),
            [(row["question"], row["knowledge"]) for row in hotpotqa][:limit],
        ),
    }


def _measure(name: str, passages: list[str], questions: list[tuple[str, str]], lm, k: int, threshold: float) -> None:
    from halluc.grounding.answerability import answerability
    from retrieval import Passage, PassageIndex

    with tempfile.TemporaryDirectory() as folder, PassageIndex.create(Path(folder) / "passages.index") as index:
        index.add([Passage(str(number), text) for number, text in enumerate(passages)])

        def search(texts: list[str]):
            return index.search(texts, k=k, mode="hybrid", min_similarity=-1.0) if texts else []

        first = search([question for question, _ in questions])
        # A rewritten question is judged by the question itself.
        scores = answerability([question for question, _ in questions], first)
        again = [i for i, score in enumerate(scores) if score < threshold]
        start = time.perf_counter()
        prompts = [_prompt(questions[i][0]) for i in again]
        written = [
            g[0].text.strip() or questions[i][0] for i, g in zip(again, lm.generate(prompts, max_new_tokens=24), strict=True)
        ]
        seconds = time.perf_counter() - start
        second = search(written)
        later = answerability([questions[i][0] for i in again], second)
    found = [_found(gold, hits) for (_, gold), hits in zip(questions, first, strict=True)]
    corrected = list(found)
    for i, hits, score in zip(again, second, later, strict=True):
        if score > scores[i]:
            corrected[i] = _found(questions[i][1], hits)
    n, below = len(questions), [found[i] for i in again]
    show("corrective search", data=name, model=lm.name, passages=len(passages), n=n, k=k, hit=sum(found) / n,
         hit_corrected=sum(corrected) / n, interval=wilson(sum(corrected), n), searched_again=len(again),
         of_those_hit=sum(below), of_those_hit_corrected=sum(corrected[i] for i in again),
         gained=sum(c and not f for c, f in zip(corrected, found, strict=True)),
         lost=sum(f and not c for c, f in zip(corrected, found, strict=True)),
         answered_more=sum(score >= threshold for score in later), of_those_right=sum(
             score >= threshold and corrected[i] for i, score in zip(again, later, strict=True)),
         seconds_of_rewriting=seconds / max(1, len(again)))  # fmt: skip


def _prompt(question: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _EXAMPLE[0]},
        {"role": "assistant", "content": _EXAMPLE[1]},
        {"role": "user", "content": question},
    ]


def _found(passage: str, hits) -> bool:
    return any(hit.passage.text == passage for hit in hits)


if __name__ == "__main__":
    main()
