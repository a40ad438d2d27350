"""Compare a grounded model with the model alone on XQuAD questions, and measure the overhead of `GroundedModel`.

Prints one JSON line per figure: retrieval hit@k per mode, the share of questions answered correctly alone and grounded with
its 95 % Wilson interval, wall times, ALCE's citation recall and precision by gold passages, abstention on unrelated
questions, the risk-coverage curve of abstaining on low support, and the time of `GroundedModel.batch` divided by that of the
same retrieval and generation called by hand.

An answer is correct if it contains one of the accepted answers as whole words (both lower-cased, without punctuation and
articles, as in the normalization of SQuAD).

    python benchmarks/grounding.py --questions examples/xquad/questions.jsonl
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from figures import read_rows, show, wilson
from gold_passages import gold_scores

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

EXAMPLES = Path(__file__).parent.parent / "examples" / "xquad"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, default=EXAMPLES / "passages.jsonl")
    parser.add_argument("--questions", type=Path, default=EXAMPLES / "questions.jsonl")
    parser.add_argument("--unrelated", type=Path, default=EXAMPLES / "unrelated_questions.jsonl")
    parser.add_argument("--model", default="default")
    parser.add_argument("--dtype", default=None, help="dtype of the language model, e.g. bfloat16")
    parser.add_argument("--limit", type=int, default=None, help="questions to use, drawn with seed 0")
    parser.add_argument("--skip", type=int, default=0, help="questions of that draw to leave out first")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the overhead measurement")
    arguments = parser.parse_args()

    from halluc import GroundedModel, load_model, load_verifier
    from halluc.grading.matching import contains_answer
    from retrieval import PassageIndex, evaluate_retrieval, load_documents, split_documents

    questions = read_rows(arguments.questions)
    random.Random(0).shuffle(questions)
    questions = questions[arguments.skip :][: arguments.limit]
    asked = [row["question"] for row in questions]
    options = {"dtype": arguments.dtype} if arguments.dtype else {}
    lm = load_model(arguments.model, **options)

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        index = PassageIndex.create(Path(folder) / "xquad.index")
        index.add(split_documents(load_documents(arguments.passages)))
        show("index", passages=len(index), seconds=time.perf_counter() - start)
        for row in evaluate_retrieval(index, asked, [row["passage_id"] for row in questions]):
            show("retrieval", n=len(asked), **row.to_dict())

        start = time.perf_counter()
        alone = [g[0].text for g in lm.generate(asked, max_new_tokens=48)]
        alone_seconds = time.perf_counter() - start
        grounded = GroundedModel(lm, index, verifier=load_verifier())
        start = time.perf_counter()
        answers = grounded.batch(asked)
        grounded_seconds = time.perf_counter() - start
        references = [row.get("references") or row["answers"] for row in questions]  # XQuAD's own name is answers
        for name, texts, seconds in (
            ("alone", alone, alone_seconds),
            ("grounded", [answer.text for answer in answers], grounded_seconds),
        ):
            right = sum(contains_answer(text, accepted) for text, accepted in zip(texts, references, strict=True))
            show(name, model=lm.name, n=len(asked), right=right / len(asked), interval=wilson(right, len(asked)),
                  seconds=seconds)  # fmt: skip
        scores = gold_scores(answers, [row["passage_id"] for row in questions])
        show("citations", judge="gold passage", **scores.to_dict(), cut=sum(answer.is_cut for answer in answers))
        _risk_coverage(answers, references)
        abstained = sum(answer.abstained for answer in answers)
        show("abstained", of="answerable questions", n=len(asked), share=abstained / len(asked))
        unrelated = [row["question"] for row in read_rows(arguments.unrelated)]
        abstained = sum(answer.abstained for answer in grounded.batch(unrelated))
        show("abstained", of="unrelated questions", n=len(unrelated), share=abstained / len(unrelated))
        _overhead(GroundedModel(lm, index), asked[:40], arguments.rounds)


def _risk_coverage(answers, references: list[list[str]]) -> None:
    """Share of correct answers among those given, when those with the least support (or confidence) are withheld."""
    from calibration import aurc, risk_coverage_curve
    from halluc.confidence import verdict_support
    from halluc.grading.matching import contains_answer

    answered = [(answer, accepted) for answer, accepted in zip(answers, references, strict=True) if not answer.abstained]
    right = [contains_answer(answer.text, accepted) for answer, accepted in answered]
    support = verdict_support([answer for answer, _ in answered])
    for name, score in (("support", support), ("confidence", [answer.confidence for answer, _ in answered])):
        curve = risk_coverage_curve(score, right)
        points = {f"{c:.1f}": 1 - float(curve.risk[(curve.coverage >= c - 1e-9).argmax()]) for c in (1, 0.8, 0.6, 0.4, 0.2)}
        show("right among answers given", by=name, n=len(answered), at_coverage=points, aurc=float(aurc(score, right)))
    kept = [correct for correct, value in zip(right, support, strict=True) if value >= 0.5]
    share = sum(kept) / max(1, len(kept))
    show("abstaining below support 0.5", n=len(answered), answered=len(kept), right=share,
          interval=wilson(sum(kept), max(1, len(kept))), right_before=sum(right) / len(right))  # fmt: skip


def _overhead(grounded, questions: list[str], rounds: int) -> None:
    """Time `batch` and the same search and generation called by hand, in alternation."""
    from halluc.grounding.conversation import Conversation

    prepared = grounded.prepare([Conversation(question) for question in questions])
    prompts = [p.prompt for p in prepared if p.prompt is not None]
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        grounded.index.search(questions, k=grounded.k, mode=grounded.mode)
        grounded.lm.generate(prompts, max_new_tokens=grounded.max_new_tokens)
        by_hand = time.perf_counter() - start
        start = time.perf_counter()
        grounded.batch(questions)
        ratios.append((time.perf_counter() - start) / by_hand)
    show("overhead", n=len(prepared), ratio=median(ratios), rounds=rounds, bar=1.05)


if __name__ == "__main__":
    main()
