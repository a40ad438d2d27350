"""Compare language models on grounded questions, and the sizes of the context that each is shown.

XQuAD has one passage that answers each question; HotpotQA questions need two paragraphs, which are searched among those of
other questions. Prints one JSON line per size of the context: the share of answers that contain an accepted answer as whole
words, SQuAD's token F1 (arXiv 1606.05250, section 6.1), the share that counts as right (token F1 of at least 0.5, or
contained), the same where "4" and "four" are equal, with `--verifier` the share of the answers given with a claim that the
passages do not support and, on XQuAD, ALCE's recall and precision of their citations by gold passages, and the processor
seconds of one answer, generated alone.
`--part tune` uses other questions than `--part report`: sizes are chosen on the first. `--part unseen`, of XQuAD, has the
questions about passages that the packaged verifiers are not trained on.

Answers are kept in a file, so that a run that was stopped is resumed and no answer is generated twice.

    python benchmarks/models.py --data FOLDER --model qwen2.5-coder-0.5b --tokens 16 64 300 1024 --answers answers.jsonl
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from statistics import median

from figures import read_rows, show, wilson
from gold_passages import gold_scores, known_passages
from remembering import Remembering

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

SETS = ("xquad", "hotpotqa")
# Questions of the draw of `benchmarks/grounding.py` on which prompt and packing were chosen.
TUNING = 100
# Questions of HotpotQA that are read; the paragraphs of most are in the index.
HOTPOTQA_QUESTIONS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with xquad and hotpotqa")
    parser.add_argument("--set", choices=SETS, default="xquad", dest="name")
    parser.add_argument("--model", default="default")
    parser.add_argument("--tokens", type=int, nargs="*", default=None, help="sizes of the context; by default the model's")
    parser.add_argument("--k", type=int, default=3, help="passages retrieved per question")
    parser.add_argument("--rerank", default=None, help="reranker of the hits")
    parser.add_argument("--part", choices=("tune", "report", "unseen"), default="report")
    parser.add_argument("--limit", type=int, default=60, help="questions of the part")
    parser.add_argument("--min-answerability", type=float, default=None, help="as of GroundedModel; 0 to always answer")
    parser.add_argument("--answers", type=Path, default=None, help="file that keeps the answers")
    parser.add_argument("--verifier", default=None, help="also judge the answers, e.g. 'large'")
    arguments = parser.parse_args()
    if arguments.part == "unseen" and arguments.name != "xquad":
        parser.error("--part unseen has questions of XQuAD only; leave out --set")

    from halluc import load_model, load_verifier
    from retrieval import PassageIndex

    rows, passages = _xquad(arguments.data) if arguments.name == "xquad" else _hotpotqa(arguments.data)
    if arguments.part == "unseen":
        known = known_passages(arguments.data / "xquad" / "passages.jsonl")
        rows = [row for row in rows if row["gold"][0] not in known]
    else:
        rows = rows[:TUNING] if arguments.part == "tune" else rows[TUNING:]
    rows = rows[: arguments.limit]
    model = Remembering(load_model(arguments.model), arguments.answers, batch=1)
    verifier = None if arguments.verifier is None else load_verifier(arguments.verifier)
    with tempfile.TemporaryDirectory() as folder:
        index, _ = PassageIndex.build(Path(folder) / "index", passages)
        for tokens in arguments.tokens or [None]:
            _measure(arguments, model, index, verifier, rows, tokens)


def _measure(arguments: argparse.Namespace, model, index, verifier, rows: list[dict], tokens: int | None) -> None:
    from halluc import GroundedModel
    from halluc.grading.correctness import gives_answer
    from halluc.grading.matching import contains_answer
    from halluc.grading.overlap import answer_f1
    from halluc.grounding.conversation import Conversation

    named = {"rerank": arguments.rerank, "min_answerability": arguments.min_answerability}
    options = {name: value for name, value in named.items() if value is not None}
    grounded = GroundedModel(model, index, verifier=verifier, passage_tokens=tokens, k=arguments.k, **options)
    prepared = grounded.prepare([Conversation(row["question"]) for row in rows])
    prompts = [p.prompt for p in prepared if p.prompt is not None]
    length = {"max_new_tokens": grounded.max_new_tokens}
    generations = iter(model.generate(prompts, **length))
    answers = grounded.finish(prepared, [None if p.prompt is None else next(generations)[0] for p in prepared])
    texts = ["" if answer.abstained else answer.text for answer in answers]
    f1 = [answer_f1(text, row["references"]) for text, row in zip(texts, rows, strict=True)]
    contained = [contains_answer(text, row["references"]) for text, row in zip(texts, rows, strict=True)]
    by_words = [f >= 0.5 or c for f, c in zip(f1, contained, strict=True)]
    right = sum(by_words)
    # "4" for "four" is wrong by words.
    with_digits = sum(
        known or gives_answer(text, row["references"]) for known, text, row in zip(by_words, texts, rows, strict=True)
    )
    gold = [set(row["gold"]) <= {(h.passage.document_id or h.passage.id) for h in a.hits}
            for a, row in zip(answers, rows, strict=True)]  # fmt: skip
    given = [answer for answer in answers if not answer.abstained]
    judged = {}
    if verifier is not None:
        unsupported = sum(any(v.label != "supported" for v in answer.verdicts) for answer in given)
        judged = {"verifier": verifier.name, "unsupported": unsupported / len(given),
                  "unsupported_interval": wilson(unsupported, len(given))}  # fmt: skip
        if arguments.name == "xquad":
            judged["citations"] = gold_scores(answers, [row["gold"][0] for row in rows]).to_dict()
    show("answers", set=arguments.name, part=arguments.part, model=model.name, n=len(rows), k=arguments.k,
         rerank=arguments.rerank, min_answerability=grounded.min_answerability,
         passage_tokens=grounded.passage_tokens, gold_among_hits=sum(gold) / len(rows),
         abstained=1 - len(given) / len(rows), contained=sum(contained) / len(rows), token_f1=sum(f1) / len(rows),
         right=right / len(rows), right_interval=wilson(right, len(rows)), right_with_digits=with_digits / len(rows),
         **judged,
         processor_seconds=median(model.processor_seconds(prompt, **length) for prompt in prompts))  # fmt: skip


def _xquad(data: Path) -> tuple[list[dict], list]:
    from retrieval import load_documents, split_documents

    rows = read_rows(data / "xquad" / "questions.jsonl")
    random.Random(0).shuffle(rows)
    rows = [{"question": row["question"], "references": row["answers"], "gold": [row["passage_id"]]} for row in rows]
    return rows, split_documents(load_documents(data / "xquad" / "passages.jsonl"))


def _hotpotqa(data: Path) -> tuple[list[dict], list]:
    """Questions with another answer than "yes" or "no", and the paragraphs of all whose two can be told apart."""
    from retrieval import Passage

    rows = read_rows(data / "hotpotqa" / "gold_paragraphs.jsonl")
    random.Random(0).shuffle(rows)
    ids: dict[str, str] = {}
    kept = []
    for row in rows[:HOTPOTQA_QUESTIONS]:
        paragraphs = _paragraphs(row["knowledge"])
        if len(paragraphs) != 2:
            continue
        for text in paragraphs:
            ids.setdefault(text, str(len(ids)))
        if row["answer"].lower() not in ("yes", "no"):
            gold = [ids[text] for text in paragraphs]
            kept.append({"question": row["question"], "references": [row["answer"]], "gold": gold})
    return kept, [Passage(name, text) for text, name in ids.items()]


def _paragraphs(text: str) -> list[str]:
    """The two paragraphs, which are repeated; one space is between paragraphs, and two between sentences."""
    from retrieval.split import sentence_spans

    parts: list[str] = []
    end_before = -2
    for start, end in sentence_spans(text):
        if start - end_before == 1:
            parts.append(text[start:end])
        elif parts:
            parts[-1] += " " + text[start:end]
        else:
            parts.append(text[start:end])
        end_before = end
    return list(dict.fromkeys(parts))


if __name__ == "__main__":
    main()
