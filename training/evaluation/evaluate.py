"""Evaluate factuality: right, wrong and abstained answers to held-out questions, and side effects of training.

Replies are greedy. A reply is right if it gives a reference as its answer (`halluc.grading.correctness`), wrong if it
answers otherwise, and an abstention if it gives no answer (`halluc.claims.abstention`). The alignment tax (arXiv 2203.02155)
is measured on neutral text and on a task that was not trained on. Not covered: the metrics (results.py), two evaluations
side by side (compare.py), and evaluation before and after a run (of_a_run.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from halluc.claims.abstention import abstains
from halluc.errors import ContextOverflow, InvalidInput
from halluc.grading.correctness import gives_answer
from halluc.grading.matching import normalize_answer
from halluc.prompts import grounded_prompt
from retrieval.progress import progress_bar
from training.evaluation.results import ChoiceResult, FactualityEvaluation, QuestionResult, TextResult
from training.rewards.completions import check_text_or_messages

if TYPE_CHECKING:
    from halluc.models.language_model import Generation, LanguageModel, Prompt

__all__ = ["check_evaluation_rows", "evaluate_factuality"]

T = TypeVar("T")
R = TypeVar("R")

# Rows per call of the model, beyond its own batches: the step of the progress bar, and what memory allows for logits.
_QUESTIONS_PER_CALL, _TEXTS_PER_CALL = 64, 8
# Characters of a text that are scored together, and characters of context before them.
_PIECE = 1000


def evaluate_factuality(
    lm: LanguageModel,
    questions: Sequence[Mapping[str, Any]],
    *,
    texts: Sequence[Mapping[str, Any]] = (),
    choices: Sequence[Mapping[str, Any]] = (),
    max_new_tokens: int = 48,
) -> FactualityEvaluation:
    """Ask the questions, and measure the likelihood of the texts and the accuracy on the choices.

    Args:
        lm: the model. Texts and choices need one that scores plain text (`TransformersModel.score_text`).
        questions: rows with `references`, the accepted answers, and with `prompt` (a string is one user turn) or `question`.
            A question with a `context`, one passage or several, is asked with it as `halluc.prompts.grounded_prompt` does; a
            prompt is used as it is. If `references` is empty the question cannot be answered, and every answer is wrong.
        texts: rows with `text`. The first word is only context; the rest is scored in pieces of 1,000 characters, each with
            the 1,000 characters before it as context, so that every other token counts exactly once.
        choices: rows with `prefix`, `completions` (two or more) and `right`, the index of the right one. Prefix and
            completion are concatenated; the completion with the highest mean log-probability per token is the model's choice
            (FACTOR, arXiv 2307.06908).
        max_new_tokens: longest reply, in tokens.

    Raises:
        InvalidInput: there is no question, a row cannot be used (it is named), or the model does not score text.
        ContextOverflow: a prompt or a text exceeds the context window (its row is named); nothing is truncated.
    """
    parsed, pieces, items = _parsed(questions, texts, choices)
    if (pieces or items) and not hasattr(lm, "score_text"):
        raise InvalidInput(f"{lm.name} does not report the likelihood of a text; leave out texts and choices")
    prompts = [_prompt(question, lm) for question in parsed]
    replies = _in_batches(
        "answering questions",
        "question",
        list(enumerate(prompts)),
        lambda batch: [samples[0] for samples in lm.generate(batch, max_new_tokens=max_new_tokens)],
        _QUESTIONS_PER_CALL,
    )
    asked = [(question.text, question.references, prompt) for question, prompt in zip(parsed, prompts, strict=True)]
    return FactualityEvaluation(
        model=lm.name,
        questions=tuple(_graded(question, reply) for question, reply in zip(parsed, replies, strict=True)),
        texts=tuple(_score_texts(lm, pieces)),
        choices=tuple(_score_choices(lm, items)),
        inputs={
            "questions": _fingerprint([asked, max_new_tokens]),
            "texts": _fingerprint(pieces),
            "choices": _fingerprint(items),
        },
    )


def check_evaluation_rows(
    questions: Sequence[Mapping[str, Any]],
    *,
    texts: Sequence[Mapping[str, Any]] = (),
    choices: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Check the rows of `evaluate_factuality` without a model.

    Raises:
        InvalidInput: there is no question, or a row cannot be used (it is named).
    """
    _parsed(questions, texts, choices)


class _Question(NamedTuple):
    """A question as text, its references, and either its prompt or the passages to ask it with."""

    text: str
    references: tuple[str, ...]
    prompt: Prompt | None
    passages: tuple[str, ...]


class _Choice(NamedTuple):
    prefix: str
    completions: tuple[str, ...]
    right: int


_Piece = tuple[str, str]
"""Text that is only context, and the text after it, which is scored."""


def _parsed(questions: Any, texts: Any, choices: Any) -> tuple[list[_Question], list[list[_Piece]], list[_Choice]]:
    for name, rows in {"questions": questions, "texts": texts, "choices": choices}.items():
        if isinstance(rows, (str, bytes, Mapping)) or not all(isinstance(row, Mapping) for row in rows):
            raise InvalidInput(f"{name} must be a list of rows, each with named fields; see training.evaluate_factuality")
    if not len(questions):
        raise InvalidInput("there are no questions; pass at least one")
    return (
        [_question(row, f"question row {number}") for number, row in enumerate(questions)],
        [_pieces(row, f"text row {number}") for number, row in enumerate(texts)],
        [_choice(row, f"choice row {number}") for number, row in enumerate(choices)],
    )


def _question(row: Mapping[str, Any], where: str) -> _Question:
    references = row.get("references")
    if (
        isinstance(references, str)
        or not isinstance(references, Sequence)
        or not all(isinstance(reference, str) for reference in references)
    ):
        raise InvalidInput(
            f"{where} has the references {references!r}; pass a list of accepted answers, empty if there is none"
        )
    if references and not any(normalize_answer(reference) for reference in references):
        raise InvalidInput(f"{where} has the references {references!r}; at least one needs a letter or digit")
    prompt = row.get("prompt")
    if prompt is not None:
        text = prompt if isinstance(prompt, str) else _last_message(prompt)
        if not text.strip():
            raise InvalidInput(f"{where} has the prompt {prompt!r}; pass a text, or a list of messages that ends in one")
        check_text_or_messages(f"the prompt of {where}", prompt)
        return _Question(text, tuple(references), prompt, ())
    question, context = row.get("question"), row.get("context")
    if not isinstance(question, str) or not question.strip():
        raise InvalidInput(f"{where} has the question {question!r} and no prompt; pass one of them as a text")
    check_text_or_messages(f"the question of {where}", question)
    if context is None:
        return _Question(question, tuple(references), question, ())
    passages = [context] if isinstance(context, str) else list(context)
    if not passages or not all(isinstance(passage, str) and passage.strip() for passage in passages):
        raise InvalidInput(f"{where} has the context {context!r}; pass one passage or several, or leave it out")
    for passage in passages:
        check_text_or_messages(f"the context of {where}", passage)
    return _Question(question, tuple(references), None, tuple(passages))


def _last_message(prompt: Any) -> str:
    try:
        return str(prompt[-1]["content"] or "")
    except (TypeError, KeyError, IndexError):
        return ""


def _prompt(question: _Question, lm: LanguageModel) -> Prompt:
    if question.prompt is not None:
        return question.prompt
    return grounded_prompt(question.text, list(question.passages), getattr(lm, "special_tokens", ()))


def _graded(question: _Question, reply: Generation) -> QuestionResult:
    from halluc.confidence.likelihood import length_normalized_likelihood

    text = reply.text.strip()
    if abstains(text):
        return QuestionResult(question.text, question.references, text, "abstained", None)
    confidence = float(length_normalized_likelihood([reply])[0]) if reply.token_logprobs else None
    outcome: Any = "right" if gives_answer(text, question.references) else "wrong"
    return QuestionResult(question.text, question.references, text, outcome, confidence)


def _pieces(row: Mapping[str, Any], where: str) -> list[_Piece]:
    text = row["text"].strip() if isinstance(row.get("text"), str) else row.get("text")
    # A word includes the space before it, as in the tokens of most models; a first word has at most 16 characters.
    first = re.match(r"\s*\S{1,16}", text) if isinstance(text, str) else None
    if not isinstance(text, str) or first is None or not text[first.end() :].strip():
        raise InvalidInput(f"{where} has the text {text!r}; pass at least two words")
    check_text_or_messages(f"the text of {where}", text)
    bounds = [first.end()]
    while len(text) - bounds[-1] > _PIECE:
        space = text.rfind(" ", bounds[-1] + 1, bounds[-1] + _PIECE)
        bounds.append(space if space > 0 else bounds[-1] + _PIECE)
    ends = [*bounds[1:], len(text)]
    return [(text[max(0, start - _PIECE) : start], text[start:end]) for start, end in zip(bounds, ends, strict=True)]


def _score_texts(lm: Any, pieces_of: Sequence[Sequence[_Piece]]) -> list[TextResult]:
    rows = [(number, piece) for number, pieces in enumerate(pieces_of) for piece in pieces]
    scored = _in_batches(
        "scoring text", "text", rows, lambda batch: lm.score_text(*map(list, zip(*batch, strict=True))), _TEXTS_PER_CALL
    )
    tokens, nats = [0] * len(pieces_of), [0.0] * len(pieces_of)
    for (number, _), generation in zip(rows, scored, strict=True):
        tokens[number] += len(generation.token_logprobs)
        nats[number] -= math.fsum(generation.token_logprobs)
    starts = ["".join(pieces[0])[:80] for pieces in pieces_of]
    return [TextResult(start, count, total) for start, count, total in zip(starts, tokens, nats, strict=True)]


def _choice(row: Mapping[str, Any], where: str) -> _Choice:
    prefix, completions, right = row.get("prefix"), row.get("completions"), row.get("right")
    if not isinstance(prefix, str) or not prefix:
        raise InvalidInput(f"{where} has the prefix {prefix!r}; pass the text that the completions continue")
    values = list(completions) if isinstance(completions, Sequence) and not isinstance(completions, str) else []
    texts = [text for text in values if isinstance(text, str) and text]
    if len(texts) < 2 or len(texts) != len(values):
        raise InvalidInput(f"{where} has the completions {completions!r}; pass a list of at least two texts")
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(texts):
        raise InvalidInput(f"{where} has right {right!r}; pass the index of the right completion, 0 to {len(texts) - 1}")
    if texts.count(texts[right]) > 1:
        raise InvalidInput(f"{where} has its right completion {texts[right]!r} more than once; drop the row")
    for part in (prefix, *texts):
        check_text_or_messages(f"a text of {where}", part)
    return _Choice(prefix, tuple(texts), right)


def _score_choices(lm: Any, items: Sequence[_Choice]) -> list[ChoiceResult]:
    def score(batch: list[_Choice]) -> list[ChoiceResult]:
        pairs = [(item.prefix, text) for item in batch for text in item.completions]
        scored = iter(lm.score_text(*map(list, zip(*pairs, strict=True))))
        results = []
        for item in batch:
            logprobs = [next(scored).token_logprobs for _ in item.completions]
            results.append(ChoiceResult(tuple(math.fsum(values) / len(values) for values in logprobs), item.right))
        return results

    return _in_batches("scoring choices", "choice", list(enumerate(items)), score, _TEXTS_PER_CALL)


def _in_batches(
    activity: str, kind: str, rows: Sequence[tuple[int, T]], call: Callable[[list[T]], list[R]], size: int
) -> list[R]:
    """Call a function on batches of rows, under a progress bar.

    Args:
        activity: shown beside the bar.
        kind: of the rows, for messages.
        rows: (number, row) each; errors name the numbers.
        call: from a batch of rows to their results.
        size: rows per batch.
    """
    results: list[R] = []
    with progress_bar(activity, len(rows)) as advance:
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            try:
                results += call([row for _, row in batch])
            except ContextOverflow as error:
                raise ContextOverflow(f"{kind} rows {batch[0][0]} to {batch[-1][0]}, counted from 0: {error}") from error
            advance(len(batch))
    return results


def _fingerprint(value: Any) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(json.dumps(value, ensure_ascii=True).encode())
