"""P(True): ask the model whether its own answer is true (Kadavath et al. 2022, arXiv 2207.05221, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import check_same_length
from halluc.models.forced_choice import choice_log_odds
from halluc.prompts import escape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.models.language_model import LanguageModel

__all__ = ["p_true"]


def p_true(
    lm: LanguageModel,
    questions: Sequence[str],
    answers: Sequence[str],
    *,
    samples: Sequence[Sequence[str]] | None = None,
) -> NDArray[np.float64]:
    """(N,) probability of "True" against "False" as the reply to whether the proposed answer is true.

    The paper offers "(A) True" and "(B) False" to a base model that continues text. Chat models open their turn with either
    word far more often than with a letter, so the words are asked for.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
        questions: N questions.
        answers: N answers to judge.
        samples: for each question further answers drawn from the model, shown before the proposed one as in section 3.2;
            None shows none.

    Raises:
        InvalidInput: the lengths differ.
        ModelResponseError: the model reports no log-probabilities.
        ContextOverflow: a question with its answers does not fit the model's window.
    """
    check_same_length(questions=questions, answers=answers, samples=samples)
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
    if not prompts:
        return np.empty(0)
    from scipy.special import expit

    return np.asarray(expit(choice_log_odds(lm, prompts, "True", "False")), dtype=np.float64)
