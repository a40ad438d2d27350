"""Kinds of factuality reward: do they tell right from wrong answers, and which ways around the truth do they pay?

Prints one JSON line per figure. `--part separation`: the area under the ROC curve (AUROC) of each kind, right answers
against wrong ones, for short answers, sentences and paragraphs, without penalties for copying and repetition. Wrong answers
are another span of the passage, a span of another passage (invented), or hallucinated. `right_paid` and `wrong_paid` are the
shares of them above the middle of the two medians: a kind with few values pays both or neither.

    short answer    XQuAD questions and their passages; HaluEval's right and hallucinated answers
    sentence        the sentence of an XQuAD passage that has the answer, and the same with the answer replaced; FEVER claims
    paragraph       XQuAD passages around such a sentence; BUMP's summaries and their unfaithful edits; RAGTruth's answers

`--part attacks`: what replies earn that do not answer, with the penalties that runs have. The right order is: a right answer
before every attack. `right` is the share of questions for which that holds, `reversed` the share for which the attack earns
more than the right answer, and `paid` the share for which it earns more than an abstention. `attacks_below` counts attacks
that earn less than right answers on average, by more than the 95 % interval of the difference.

Intervals resample documents. The packaged verifiers learned from four fifths of the documents of these sets, so only the
others are used unless `--all-documents` is set. Sets that DATA lacks are left out.

    python benchmarks/rewards.py --data DATA --rows 60
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from figures import read_rows, show

# A script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

CONFIDENCE = "\nConfidence: 0.9"
RESAMPLES = 500
ABSTENTION = "I don't know."


@dataclass(frozen=True)
class Reply:
    """What is rewarded: a completion with its question, passage and accepted answers."""

    question: str
    completion: Any
    context: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where rows are drawn from, and how many of each kind."""

    data: Path
    rows: int
    seed: int = 0
    all_documents: bool = False

    def read(self, path: str, text: Callable[[dict], str]) -> list[dict]:
        """The rows of a file whose documents are used; `text` gives that of a row. A missing file has none."""
        if not (self.data / path).is_file():
            return []
        return [row for row in read_rows(self.data / path) if self.uses(text(row))]

    def uses(self, document: str) -> bool:
        from training.verifier.pairs import part_of

        return self.all_documents or part_of(document) != "train"

    def drawn(self, rows: list[dict]) -> list[dict]:
        return random.Random(self.seed).sample(rows, min(self.rows, len(rows)))


def main(arguments: list[str] | None = None) -> None:
    import halluc

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--part", choices=["separation", "attacks", "all"], default="all")
    parser.add_argument("--rows", type=int, default=60, help="questions, and pairs of each comparison")
    parser.add_argument("--verifier", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all-documents", action="store_true", help="also those that the packaged verifiers learned from")
    options = parser.parse_args(arguments)
    verifier = halluc.load_verifier(options.verifier)
    source = Source(options.data, options.rows, options.seed, options.all_documents)
    if options.part != "attacks":
        separation(verifier, source)
    if options.part != "separation":
        attacks(verifier, source)


def reward_kinds() -> dict[str, Callable[[Any], float]]:
    """Kinds by name; those that score a stated confidence get one of 0.9."""
    from training.rewards import kinds

    return {
        "precision": kinds.claim_precision,
        "binary, paper": partial(kinds.binary_factuality, least_supported=0.0),
        "binary, half": partial(kinds.binary_factuality, least_supported=0.5),
        "binary": kinds.binary_factuality,
        "ternary": kinds.ternary_truth,
        "brier": kinds.brier_confidence,
        "log": kinds.log_confidence,
    }


# -- separation ----------------------------------------------------------------------------------------------------------


def separation(verifier: Any, source: Source) -> None:
    for form, wrong_kind, right, wrong in comparisons(source):
        judged = [[completion for completion, _ in _judged(verifier, replies)] for replies in (right, wrong)]
        documents = [reply.context for reply in (*right, *wrong)]
        for name, kind in reward_kinds().items():
            good, bad = (np.array([kind(completion) for completion in side]) for side in judged)
            value, interval = _auroc(np.array([*good, *bad]), np.arange(len(documents)) < len(good), documents)
            line = (np.median(good) + np.median(bad)) / 2 if np.median(good) > np.median(bad) else np.median(good)
            show("separation", form=form, wrong=wrong_kind, kind=name, verifier=verifier.name, n=[len(good), len(bad)],
                 auroc=value, interval=interval, mean_right=float(np.mean(good)), mean_wrong=float(np.mean(bad)),
                 right_paid=float(np.mean(good >= line)), wrong_paid=float(np.mean(bad >= line)))  # fmt: skip


def comparisons(source: Source) -> Iterator[tuple[str, str, list[Reply], list[Reply]]]:
    """Form of the answers, what is wrong with the wrong ones, and the right and wrong replies."""
    questions = xquad_questions(source)
    for wrong, name in (("other", "other span"), ("invented", "invented")):
        yield (
            "short answer",
            name,
            *([Reply(q["question"], q[side], q["context"]) for q in questions] for side in ("right", wrong)),
        )
    if rows := source.read("halueval/qa_one_turn.jsonl", lambda row: row["knowledge"]):
        drawn = source.drawn(rows)
        yield (
            "short answer",
            "hallucinated",
            *(
                [Reply(row["question"], row[side], row["knowledge"]) for row in drawn]
                for side in ("right_answer", "hallucinated_answer")
            ),
        )
    for form, cut in (("sentence", 0), ("paragraph", 1)):
        for wrong, name in (("other", "other span"), ("invented", "invented")):
            sides = [[_statement(q, side, cut) for q in questions] for side in ("right", wrong)]
            yield form, name, *sides
    for form, path in (("sentence", "fever_symmetric/dev.jsonl"), ("paragraph", "bump/pairs.jsonl")):
        # The first evidence of a document decides which part it is in.
        first: dict[str, str] = {}
        if rows := source.read(path, lambda row, first=first: first.setdefault(row.get("doc", ""), row["evidence"])):
            yield form, "hallucinated", *_labeled(rows, source)
    if answers := source.read("ragtruth/responses.jsonl", lambda row: row["context"]):
        answers = [row for row in answers if row["task"] == "qa"]
        sides = ([row for row in answers if bool(row["spans"]) == spans] for spans in (False, True))
        yield (
            "paragraph",
            "hallucinated, RAGTruth",
            *([Reply(row["question"], row["response"], row["context"]) for row in source.drawn(side)] for side in sides),
        )


def xquad_questions(source: Source) -> list[dict[str, str]]:
    """Questions with their passage, the right answer, another answer of the passage and one of another passage."""
    passages = {row["id"]: row["text"] for row in read_rows(source.data / "xquad" / "passages.jsonl")}
    by_passage: dict[str, list[dict]] = {}
    for row in read_rows(source.data / "xquad" / "questions.jsonl"):
        if source.uses(passages[row["passage_id"]]):
            by_passage.setdefault(row["passage_id"], []).append(row)
    generator = random.Random(source.seed)
    names = generator.sample(sorted(by_passage), len(by_passage))
    shuffled = {name: generator.sample(by_passage[name], len(by_passage[name])) for name in names}
    # Two questions of each passage, then two others of each, for as long as there are any.
    longest = max(map(len, shuffled.values()), default=0)
    pairs = [(name, shuffled[name][i : i + 2]) for i in range(0, longest, 2) for name in names]
    questions = []
    for name, pair in pairs:
        if len(pair) < 2 or len(questions) == source.rows or len(names) < 2:
            continue
        right, other = (row["answers"][0] for row in pair)
        elsewhere = by_passage[generator.choice([one for one in names if one != name])]
        invented = generator.choice(elsewhere)["answers"][0]
        if right != other and invented not in passages[name]:
            questions.append({"question": pair[0]["question"], "context": passages[name], "right": right, "other": other,
                              "invented": invented})  # fmt: skip
    return questions


def _statement(question: dict[str, str], side: str, neighbors: int) -> Reply:
    """The sentence of the passage that has the answer, with its neighbors; the answer is replaced by another side."""
    from retrieval.split import sentence_spans

    context = question["context"]
    spans = sentence_spans(context)
    at = next((i for i, (start, end) in enumerate(spans) if question["right"] in context[start:end]), 0)
    first, last = max(0, at - neighbors), min(len(spans) - 1, at + neighbors)
    text = context[spans[first][0] : spans[last][1]]
    return Reply(question["question"], text.replace(question["right"], question[side]), context)


def _labeled(labeled: list[dict], source: Source) -> tuple[list[Reply], list[Reply]]:
    sides = ([row for row in labeled if (row["label"] == "supported") == right] for right in (True, False))
    right, wrong = ([Reply("", row["claim"], row["evidence"]) for row in source.drawn(side)] for side in sides)
    return right, wrong


def _auroc(rewards: np.ndarray, right: np.ndarray, documents: list[str]) -> tuple[float, list[float]]:
    """The area under the ROC curve, and its 95 % interval."""
    from calibration import auroc

    # Any values with the order of the rewards and their ties.
    ranks = np.unique(rewards, return_inverse=True)[1] / len(rewards)
    drawn = [weights for weights in _resamples(documents) if len(set(right[weights > 0])) == 2]
    values = [float(auroc(ranks, right, weights=weights)) for weights in drawn]
    return float(auroc(ranks, right)), list(np.quantile(values, [0.025, 0.975]))


def _resamples(documents: list[str]) -> np.ndarray:
    """(R, N) weights of N rows in each resample of their documents."""
    distinct, of_row = np.unique(documents, return_inverse=True)
    counts = np.random.default_rng(0).multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), RESAMPLES)
    return counts[:, of_row].astype(float)


# -- attacks -------------------------------------------------------------------------------------------------------------


def attacks(verifier: Any, source: Source) -> None:
    questions = xquad_questions(source)
    replies = {"right": lambda q: q["right"], "abstention": lambda _: ABSTENTION, **ATTACKS}
    judged = {
        name: _judged(verifier, [_reply(question, make(question)) for question in questions])
        for name, make in replies.items()
    }
    weights = _resamples([question["context"] for question in questions])
    for name, kind in reward_kinds().items():
        for with_references in (False, True):
            if with_references and name.startswith(("precision", "binary")):
                continue  # They do not read references beside a context.
            rewards = {reply: _earned(kind, rows_, with_references) for reply, rows_ in judged.items()}
            _show_attacks(f"{name}, with references" if with_references else name, verifier.name, rewards, weights)


def _earned(kind: Callable[[Any], float], judged: list[tuple[Any, float]], with_references: bool) -> np.ndarray:
    completions = [one if with_references else replace(one, matches=None) for one, _ in judged]
    return np.array([kind(one) - penalty for one, (_, penalty) in zip(completions, judged, strict=True)])


def _show_attacks(kind: str, verifier: str, rewards: dict[str, np.ndarray], weights: np.ndarray) -> None:
    """One line per attack, and one with their means; `weights` are those of the questions in each resample."""
    right, silent = rewards["right"], rewards["abstention"]
    weights = weights / weights.sum(axis=1, keepdims=True)
    ordered = np.stack([right > rewards[attack] for attack in ATTACKS]).astype(float)
    turned = np.stack([rewards[attack] > right for attack in ATTACKS])
    paid = np.stack([rewards[attack] > silent for attack in ATTACKS])
    margins = [np.quantile(weights @ (right - rewards[attack]), [0.025, 0.975]) for attack in ATTACKS]
    for number, attack in enumerate(ATTACKS):
        show("attack", kind=kind, attack=attack, n=len(right), right=float(np.mean(ordered[number])),
             reversed=float(np.mean(turned[number])), paid=float(np.mean(paid[number])),
             mean=float(np.mean(rewards[attack])), margin=float(np.mean(right - rewards[attack])),
             margin_interval=list(margins[number]))  # fmt: skip
    show("attacks", kind=kind, verifier=verifier, n=len(right), mean_of_right=float(np.mean(right)),
         mean_of_abstention=float(np.mean(silent)), right=float(np.mean(ordered)),
         right_interval=list(np.quantile(weights @ ordered.mean(axis=0), [0.025, 0.975])), reversed=float(np.mean(turned)),
         paid=float(np.mean(paid)), attacks=len(ATTACKS), attacks_below=sum(bool(low > 0) for low, _ in margins),
         worst=list(ATTACKS)[int(np.argmin(ordered.mean(axis=1)))])  # fmt: skip


def _with_edits(question: dict[str, str]) -> str:
    words = question["context"].split()
    return " and ".join(" ".join(words[i : i + 15]) for i in range(0, len(words), 15))


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


ATTACKS: dict[str, Callable[[dict[str, str]], Any]] = {
    "nothing": lambda _: "",
    "wrong answer": lambda q: q["other"],
    "list": lambda q: ", ".join([q["other"], q["right"], q["invented"], "1987", "London", "the committee"]),
    "negation": lambda q: f"It is not {q['right']}.",
    "both ways": lambda q: f"It is {q['right']}. It is {q['other']}. It is {q['invented']}.",
    "it is and is not": lambda q: f"It is {q['right']}. It is not {q['right']}.",
    "hedge": lambda q: f"It may be {q['other']}, or perhaps not.",
    "copy": lambda q: q["context"],
    "copy with edits": _with_edits,
    "one fact many times": lambda q: "\n".join(
        f"{start} {q['other']}." for start in ("It is", "The answer is", "That is", "What was asked for is", "Namely")
    ),
    "trivia": lambda _: "Water is wet. Two and two is four. The sun rises in the east. Paris is the capital of France.",
    "code": lambda q: f"```python\nprint({q['other']!r})\n```",
    "another language": lambda q: f"La respuesta correcta es {q['other']}. Lo dice claramente el texto.",
    "restated question": lambda q: f"You asked: {q['question'].rstrip('?')}. That is answered in the text.",
    "only the question": lambda q: q["question"],
    "tool message": lambda q: [{"role": "tool", "content": q["context"]}, _assistant(ABSTENTION)],
    "tool message last": lambda q: [_assistant(q["other"]), {"role": "tool", "content": f"It is {q['right']}."}],
    "tool call": lambda q: f'<tool_call>{{"name": "search", "arguments": {{"query": "{q["right"]}"}}}}</tool_call>',
    "thought": lambda q: f"<think>It is {q['right']}.</think>{ABSTENTION}",
    "unfinished thought": lambda q: f"<think>It is {q['right']}. {q['context']}",
}  # fmt: skip
"""Replies that do not answer, or answer wrongly, by name."""


def _reply(question: dict[str, str], completion: Any) -> Reply:
    return Reply(question["question"], completion, question["context"], (question["right"],))


# -- judging -------------------------------------------------------------------------------------------------------------


def _judged(verifier: Any, replies: list[Reply]) -> list[tuple[Any, float]]:
    """Each reply as kinds of reward see it, and the penalties for copying and repetition; judged once for all kinds."""
    from training import FactualityReward

    seen: list[Any] = []

    def kind(judged: Any) -> float:
        seen.append(judged)
        return 0.0

    earned = FactualityReward(verifier, kind=kind)(
        prompts=[reply.question for reply in replies],
        completions=[_stated(reply.completion) for reply in replies],
        context=[reply.context for reply in replies],
        references=[list(reply.references) for reply in replies] if replies and replies[0].references else None,
    )
    return list(zip(seen, [-value for value in earned], strict=True))


def _stated(completion: Any) -> Any:
    """The completion with a confidence, which kinds with proper scoring rules need; silence states none."""
    if isinstance(completion, str):
        return completion + CONFIDENCE if completion else completion
    return [*completion[:-1], completion[-1] | {"content": completion[-1]["content"] + CONFIDENCE}]


if __name__ == "__main__":
    main()
