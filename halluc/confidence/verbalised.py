"""Verbalised confidence: the model says how sure it is (Tian et al. 2023, arXiv 2305.14975).

The model is asked about its answer in a second turn (the paper's "Verb. 2S"). Not here: what its reply says (stated.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.confidence.verbalized_parsing import parse_confidence
from halluc.errors import InvalidInput, ModelResponseError, check_same_length
from halluc.prompts import escape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.models.language_model import LanguageModel

__all__ = ["confidence_replies", "parse_confidence", "verbalised_confidence"]

_INSTRUCTION = (
    "Provide the probability that the guess is correct. Give only the probability, a number between 0.0 and 1.0, no other "
    "words or explanation."
)


def verbalised_confidence(
    lm: LanguageModel, questions: Sequence[str], answers: Sequence[str], *, missing: float | None = None
) -> NDArray[np.float64]:
    """(N,) probability that the model states for each answer when asked.

    Args:
        lm: any language model; it need not report log-probabilities.
        questions: N questions.
        answers: N answers to judge.
        missing: what a reply counts as that states no confidence, in [0, 1], with a warning that tells how many did. None
            takes no such reply.

    Raises:
        InvalidInput: the lengths differ, or `missing` is out of range.
        ModelResponseError: a reply states no confidence and `missing` is None.
    """
    if missing is not None and not 0 <= missing <= 1:
        raise InvalidInput(f"missing is {missing}; pass a probability in [0, 1]")
    replies = confidence_replies(lm, questions, answers)
    stated = [parse_confidence(reply) for reply in replies]
    silent = [i for i, value in enumerate(stated) if value is None]
    if silent:
        told = f"{len(silent)} of {len(replies)} replies of {lm.name} state no confidence, e.g. {replies[silent[0]]!r}"
        if missing is None:
            raise ModelResponseError(f"{told}; pass missing=0.5 to count them as that, or use another confidence")
        warnings.warn(f"{told}; they count as {missing:g}", stacklevel=2)
    return np.array([missing if value is None else value for value in stated], dtype=np.float64)


def confidence_replies(lm: LanguageModel, questions: Sequence[str], answers: Sequence[str]) -> list[str]:
    """N replies to the request to state the probability that the answer to the question is correct.

    Raises:
        InvalidInput: the lengths differ.
    """
    check_same_length(questions=questions, answers=answers)
    special = getattr(lm, "special_tokens", ())
    prompts = [
        f"Question: {escape(question, special)}\nGuess: {escape(answer, special)}\n{_INSTRUCTION}"
        for question, answer in zip(questions, answers, strict=True)
    ]
    return [reply[0].text for reply in lm.generate(prompts, max_new_tokens=24)] if prompts else []
