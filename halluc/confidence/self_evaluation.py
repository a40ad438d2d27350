"""What a model says about its own answers: P(True), stated confidence, and whether a text supports a sentence.

The prompts of all three are here and nowhere else; the detectors of `halluc.detectors` use these functions. Not covered: how
a stated confidence is read (verbalized_parsing.py), and the probabilities of two replies (halluc/models/forced_choice.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.confidence.verbalized_parsing import parse_confidence
from halluc.errors import InvalidInput, ModelResponseError, check_same_length, check_texts
from halluc.models.forced_choice import choice_log_odds
from halluc.prompts import escape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.models.language_model import LanguageModel

__all__ = ["confidence_replies", "p_not_supported", "p_true", "verbalized_confidence"]

# The second turn of "Verb. 2S", arXiv 2305.14975, appendix.
_STATE_CONFIDENCE = (
    "Provide the probability that the guess is correct. Give only the probability, a number between 0.0 and 1.0, no other "
    "words or explanation."
)


def p_true(
    lm: LanguageModel,
    questions: Sequence[str],
    answers: Sequence[str],
    *,
    samples: Sequence[Sequence[str]] | None = None,
) -> NDArray[np.float64]:
    """P(True): the probability that the model calls its own answer true (Kadavath et al. 2022, arXiv 2207.05221, section 3).

    The paper offers "(A) True" and "(B) False" to a base model that continues text. Chat models open their turn with either
    word far more often than with a letter, so this asks for the words.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
        questions: N questions.
        answers: N answers to judge.
        samples: for each question further answers drawn from the model, shown before the proposed one as in section 3.2;
            None shows none.

    Returns:
        (N,) probability of "True" against "False", in [0, 1].

    Raises:
        InvalidInput: the lengths differ, or an argument is a text in place of a list.
        ModelResponseError: the model reports no log-probabilities.
        ContextOverflow: a question with its answers does not fit the model's window.
    """
    _check_questions(questions, answers)
    check_same_length(questions=questions, samples=samples)
    for i, texts in enumerate(samples or ()):
        check_texts(f"samples[{i}]", texts, allow_blank=True)
    special = getattr(lm, "special_tokens", ())
    prompts = []
    for i, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        lines = [f"Question: {escape(question, special)}"]
        if samples is not None:
            lines += ["Here are some brainstormed ideas:", *(escape(sample, special) for sample in samples[i])]
        lines += [
            f"Proposed answer: {escape(answer, special)}",
            "Is the proposed answer true or false? Reply with True or False.",
        ]
        prompts.append("\n".join(lines))
    return _choice_probability(lm, prompts, "True", "False")


def p_not_supported(lm: LanguageModel, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """The probability that the model denies that a text supports a sentence (SelfCheckGPT, arXiv 2303.08896, section 4.5).

    The paper counts the words of the reply; their probabilities say the same without sampling noise.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
        pairs: N pairs of a text and a sentence; pairs that occur several times are asked about once.

    Returns:
        (N,) probability of "No" against "Yes", in [0, 1].

    Raises:
        ModelResponseError: the model reports no log-probabilities.
        ContextOverflow: a pair does not fit the model's window.
    """
    special = getattr(lm, "special_tokens", ())
    distinct = list(dict.fromkeys(pairs))
    prompts = [
        f"Context: {escape(text, special)}\nSentence: {escape(sentence, special)}\n"
        "Is the sentence supported by the context above? Answer Yes or No:"
        for text, sentence in distinct
    ]
    row_of = {pair: row for row, pair in enumerate(distinct)}
    return _choice_probability(lm, prompts, "No", "Yes")[[row_of[pair] for pair in pairs]]


def verbalized_confidence(
    lm: LanguageModel, questions: Sequence[str], answers: Sequence[str], *, missing: float | None = None
) -> NDArray[np.float64]:
    """The probability that the model states for each answer when asked (Tian et al. 2023, arXiv 2305.14975, "Verb. 2S").

    Args:
        lm: any language model; it need not report log-probabilities.
        questions: N questions.
        answers: N answers to judge.
        missing: value in [0, 1] of a reply that states no confidence, with a warning that says how many there are. None
            raises an error for such a reply.

    Returns:
        (N,) in [0, 1].

    Raises:
        InvalidInput: the lengths differ, an argument is a text in place of a list, or `missing` is out of range.
        ModelResponseError: a reply states no confidence and `missing` is None.
    """
    if missing is not None and not 0 <= missing <= 1:
        raise InvalidInput(f"missing is {missing}; pass a probability in [0, 1]")
    replies = confidence_replies(lm, questions, answers)
    stated = [parse_confidence(reply) for reply in replies]
    silent = [i for i, value in enumerate(stated) if value is None]
    if silent:
        summary = f"{len(silent)} of {len(replies)} replies of {lm.name} state no confidence, e.g. {replies[silent[0]]!r}"
        if missing is None:
            raise ModelResponseError(f"{summary}; pass missing=0.5 to count them as that, or use another confidence")
        warnings.warn(f"{summary}; they count as {missing:g}", stacklevel=2)
    return np.array([missing if value is None else value for value in stated], dtype=np.float64)


def confidence_replies(lm: LanguageModel, questions: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Ask for the probability that each of N answers is correct, and return the N replies; see `parse_confidence`.

    Raises:
        InvalidInput: the lengths differ, or an argument is a text in place of a list.
    """
    _check_questions(questions, answers)
    special = getattr(lm, "special_tokens", ())
    prompts = [
        f"Question: {escape(question, special)}\nGuess: {escape(answer, special)}\n{_STATE_CONFIDENCE}"
        for question, answer in zip(questions, answers, strict=True)
    ]
    return [replies[0].text for replies in lm.generate(prompts, max_new_tokens=24)] if prompts else []


def _check_questions(questions: Sequence[str], answers: Sequence[str]) -> None:
    check_texts("questions", questions, allow_blank=True)
    check_texts("answers", answers, allow_blank=True)
    check_same_length(questions=questions, answers=answers)


def _choice_probability(lm: LanguageModel, prompts: list[str], one: str, other: str) -> NDArray[np.float64]:
    """(N,) probability of one reply against the other."""
    if not prompts:
        return np.empty(0)
    from scipy.special import expit

    return np.asarray(expit(choice_log_odds(lm, prompts, one, other)), dtype=np.float64)
