"""What training did to a model: how often it is right, wrong and silent on questions held out, and what that cost.

Replies are greedy. A reply is right when an accepted answer stands in it as whole words, wrong when it answers otherwise,
and an abstention when it gives no answer (`halluc.grading.refusal`). The tax of alignment (arXiv 2203.02155) is read off
neutral text and off a task that was not trained on. Not here: the figures (evaluation_results.py), two evaluations side by
side (comparison.py), and evaluation before and after a run (run_evaluation.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from halluc.errors import ContextOverflow, InvalidInput
from halluc.grading.matching import contains_answer, normalize_answer
from halluc.grading.refusal import abstains
from halluc.prompts import grounded_prompt
from retrieval.progress import progress_bar
from training.evaluation.results import ChoiceResult, FactualityEvaluation, QuestionResult, TextResult

if TYPE_CHECKING:
    from halluc.models.language_model import Generation, LanguageModel, Prompt

__all__ = ["evaluate_factuality"]

T = TypeVar("T")
R = TypeVar("R")

# Rows in one call of the model: beyond its own batches, what a progress bar moves by and what memory of logits allows.
_QUESTIONS_AT_ONCE, _TEXTS_AT_ONCE = 64, 8
# Characters of a text that are scored at once, after as many that stand before them.
_PIECE = 1000


def evaluate_factuality(
    lm: LanguageModel,
    questions: Sequence[Mapping[str, Any]],
    *,
    texts: Sequence[Mapping[str, Any]] = (),
    choices: Sequence[Mapping[str, Any]] = (),
    max_new_tokens: int = 48,
) -> FactualityEvaluation:
    """Ask the questions, and measure the likelihood of the texts and the accuracy of the choices.

    Args:
        lm: the model. Texts and choices need one that scores plain text (`TransformersModel.score_text`).
        questions: rows with `answers`, the accepted ones, and with `prompt` (a string is one user turn) or `question`. A
            question with a `context`, a passage or several, is put with it as `halluc.prompts.grounded_prompt` does; a
            prompt is put as it is. Where `answers` is empty the question cannot be answered, and every answer is wrong.
        texts: rows with `text`. The first word is context alone; the rest is scored in pieces of 1,000 characters, each
            after the 1,000 before it, so that every other token counts, and once.
        choices: rows with `prefix`, `completions` (two or more) and `right`, the index of the right one. Prefix and
            completion are joined as they are, and the likeliest per token is taken (FACTOR, arXiv 2307.06908).
        max_new_tokens: longest reply.

    Raises:
        InvalidInput: there is no question, a row cannot be used (it is named), or the model does not score text.
        ContextOverflow: a prompt or a text does not fit the model's window (its row is named); nothing is cut.
    """
    asked = [_question(row, number, lm) for number, row in enumerate(questions)]
    if not asked:
        raise InvalidInput("there are no questions; give at least one")
    pieces = [_pieces(row, number) for number, row in enumerate(texts)]
    offered = [_choice(row, number) for number, row in enumerate(choices)]
    if (pieces or offered) and not hasattr(lm, "score_text"):
        raise InvalidInput(f"{lm.name} does not tell how likely a given text is; leave out texts and choices")
    replies = _in_parts(
        "answering questions",
        "question",
        [(number, prompt) for number, (_, _, prompt) in enumerate(asked)],
        lambda prompts: [own[0] for own in lm.generate(prompts, max_new_tokens=max_new_tokens)],
        _QUESTIONS_AT_ONCE,
    )
    return FactualityEvaluation(
        model=lm.name,
        questions=tuple(_judged(*own, reply) for own, reply in zip(asked, replies, strict=True)),
        texts=tuple(_surprise(lm, pieces)),
        choices=tuple(_chosen(lm, offered)),
        inputs={
            "questions": _fingerprint([asked, max_new_tokens]),
            "texts": _fingerprint(pieces),
            "choices": _fingerprint(offered),
        },
    )


Asked = tuple[str, tuple[str, ...], "Prompt"]
Piece = tuple[str, str]
Offered = tuple[str, tuple[str, ...], int]


def _question(row: Mapping[str, Any], number: int, lm: LanguageModel) -> Asked:
    """The question as text, its accepted answers, and the prompt."""
    where = f"question row {number}"
    answers = row.get("answers")
    if isinstance(answers, str) or not isinstance(answers, Sequence) or not all(isinstance(a, str) for a in answers):
        raise InvalidInput(f"{where} has the answers {answers!r}; pass a list of accepted answers, empty if there is none")
    if answers and not any(normalize_answer(answer) for answer in answers):
        raise InvalidInput(f"{where} has the answers {answers!r}, of which no letter or digit can be found in a reply")
    prompt = row.get("prompt")
    if prompt is not None:
        last = prompt if isinstance(prompt, str) else _last_turn(prompt)
        if not last.strip():
            raise InvalidInput(f"{where} has the prompt {prompt!r}; pass a text, or a list of messages that ends in one")
        return last, tuple(answers), prompt
    question, context = row.get("question"), row.get("context")
    if not isinstance(question, str) or not question.strip():
        raise InvalidInput(f"{where} has the question {question!r} and no prompt; pass a text as one of them")
    if context is None:
        return question, tuple(answers), question
    passages = [context] if isinstance(context, str) else list(context)
    if not passages or not all(isinstance(passage, str) and passage.strip() for passage in passages):
        raise InvalidInput(f"{where} has the context {context!r}; pass a passage or several, or leave it out")
    return question, tuple(answers), grounded_prompt(question, passages, getattr(lm, "special_tokens", ()))


def _last_turn(prompt: Any) -> str:
    try:
        return str(prompt[-1]["content"] or "")
    except (TypeError, KeyError, IndexError):
        return ""


def _judged(question: str, answers: tuple[str, ...], _: Prompt, reply: Generation) -> QuestionResult:
    from halluc.confidence.likelihood import length_normalized_likelihood

    text = reply.text.strip()
    if abstains(text):
        return QuestionResult(question, answers, text, "abstained", None)
    confidence = float(length_normalized_likelihood([reply])[0]) if reply.token_logprobs else None
    return QuestionResult(question, answers, text, "right" if contains_answer(text, answers) else "wrong", confidence)


def _pieces(row: Mapping[str, Any], number: int) -> list[Piece]:
    """The text as (what stands before, what is scored)."""
    text = row["text"].strip() if isinstance(row.get("text"), str) else row.get("text")
    # The space before a word goes with it, as in the tokens of most models; no first word is longer than 16 characters.
    first = re.match(r"\s*\S{1,16}", text) if isinstance(text, str) else None
    if not isinstance(text, str) or first is None or not text[first.end() :].strip():
        raise InvalidInput(f"text row {number} has the text {text!r}; pass at least two words")
    bounds = [first.end()]
    while len(text) - bounds[-1] > _PIECE:
        space = text.rfind(" ", bounds[-1] + 1, bounds[-1] + _PIECE)
        bounds.append(space if space > 0 else bounds[-1] + _PIECE)
    ends = [*bounds[1:], len(text)]
    return [(text[max(0, start - _PIECE) : start], text[start:end]) for start, end in zip(bounds, ends, strict=True)]


def _surprise(lm: Any, pieces: Sequence[Sequence[Piece]]) -> list[TextResult]:
    rows = [(number, piece) for number, own in enumerate(pieces) for piece in own]
    scored = _in_parts(
        "scoring text", "text", rows, lambda part: lm.score_text(*map(list, zip(*part, strict=True))), _TEXTS_AT_ONCE
    )
    tokens, nats = [0] * len(pieces), [0.0] * len(pieces)
    for (number, _), generation in zip(rows, scored, strict=True):
        tokens[number] += len(generation.token_logprobs)
        nats[number] -= math.fsum(generation.token_logprobs)
    starts = [(own[0][0] + own[0][1])[:80] for own in pieces]
    return [TextResult(start, count, total) for start, count, total in zip(starts, tokens, nats, strict=True)]


def _choice(row: Mapping[str, Any], number: int) -> Offered:
    where = f"choice row {number}"
    prefix, completions, right = row.get("prefix"), row.get("completions"), row.get("right")
    if not isinstance(prefix, str) or not prefix:
        raise InvalidInput(f"{where} has the prefix {prefix!r}; pass the text that the completions go on from")
    listed = list(completions) if isinstance(completions, Sequence) and not isinstance(completions, str) else []
    texts = [text for text in listed if isinstance(text, str) and text]
    if len(texts) < 2 or len(texts) != len(listed):
        raise InvalidInput(f"{where} has the completions {completions!r}; pass a list of at least two texts")
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(texts):
        raise InvalidInput(f"{where} has right {right!r}; pass the index of the right completion, 0 to {len(texts) - 1}")
    if texts.count(texts[right]) > 1:
        raise InvalidInput(f"{where} has its right completion {texts[right]!r} more than once; drop the row")
    return prefix, tuple(texts), right


def _chosen(lm: Any, offered: Sequence[Offered]) -> list[ChoiceResult]:
    def score(part: list[Offered]) -> list[ChoiceResult]:
        pairs = [(prefix, text) for prefix, texts, _ in part for text in texts]
        scored = iter(lm.score_text(*map(list, zip(*pairs, strict=True))))
        means = [[math.fsum(own) / len(own) for _ in texts for own in [next(scored).token_logprobs]] for _, texts, _ in part]
        return [ChoiceResult(tuple(own), right) for own, (_, _, right) in zip(means, part, strict=True)]

    return _in_parts("scoring choices", "choice", list(enumerate(offered)), score, _TEXTS_AT_ONCE)


def _in_parts(what: str, kind: str, rows: Sequence[tuple[int, T]], call: Callable[[list[T]], list[R]], size: int) -> list[R]:
    """What `call` makes of all rows, `size` at a time under a progress bar; rows come with their numbers, for errors."""
    results: list[R] = []
    with progress_bar(what, len(rows)) as advance:
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            try:
                results += call([row for _, row in part])
            except ContextOverflow as error:
                raise ContextOverflow(f"{kind} rows {part[0][0]} to {part[-1][0]}, counted from 0: {error}") from error
            advance(len(part))
    return results


def _fingerprint(value: Any) -> str:
    import json

    import xxhash

    return xxhash.xxh3_128_hexdigest(json.dumps(value, ensure_ascii=True).encode())
