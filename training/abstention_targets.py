"""What a model is fine-tuned to answer: the truth where it knows it, an abstention where it does not (R-Tuning, 2311.09677).

A model that is taught answers it does not know learns to make answers up. So it is asked first, and what it gets wrong gets
another target. Not here: the fine-tuning (sft_run.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput
from halluc.grading.matching import contains_answer
from retrieval.progress import progress_bar
from training.rewards.completions import as_messages

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.models.language_model import LanguageModel, Prompt

__all__ = ["abstention_targets", "share_right"]


def abstention_targets(
    lm: LanguageModel,
    questions: Sequence[Prompt],
    answers: Sequence[str | Sequence[str]],
    *,
    abstention: str | None = "I don't know.",
    k: int = 1,
    threshold: float = 0.5,
    temperature: float = 1.0,
    max_new_tokens: int = 32,
    batch_size: int = 32,
    seed: int = 0,
) -> Dataset:
    """Ask the model its questions, and make a target of each in TRL's prompt-completion format.

    Args:
        lm: the model that is to be fine-tuned.
        questions: N prompts; a string is one user turn.
        answers: N accepted answers, one or several each; the first is the target of a question the model knows.
        abstention: the target of a question it does not know. None is the paper's own form: every question keeps its answer,
            followed by "I am sure." or "I am unsure.".
        k: answers asked for, 1 greedy one or several sampled ones.
        threshold: the least share of right answers for a question to count as known, in (0, 1].
        temperature: of sampling, where k is above 1.
        max_new_tokens: most tokens of an answer.
        batch_size: questions asked at a time.
        seed: of sampling; batch i samples with seed + i.

    Returns:
        Rows in the order of the questions with prompt and completion (conversations), and share_right in [0, 1].

    Raises:
        InvalidInput: lengths differ, an option is out of range, or a question has no answer (the row is named).
    """
    from datasets import Dataset

    if not 0 < threshold <= 1:
        raise InvalidInput(f"threshold is {threshold}; pass a share above 0 and at most 1")
    accepted = _accepted(questions, answers)
    right = share_right(
        lm,
        questions,
        accepted,
        k=k,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
    )
    rows: list[dict[str, Any]] = []
    for question, own, share in zip(questions, accepted, right, strict=True):
        known = share >= threshold
        if abstention is None:
            target = f"{own[0].rstrip('.')}. I am {'sure' if known else 'unsure'}."
        else:
            target = own[0] if known else abstention
        completion = [{"role": "assistant", "content": target}]
        rows.append({"prompt": as_messages(question), "completion": completion, "share_right": float(share)})
    return Dataset.from_list(rows)


def share_right(
    lm: LanguageModel,
    questions: Sequence[Prompt],
    answers: Sequence[str | Sequence[str]],
    *,
    k: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 32,
    batch_size: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """(N,) share in [0, 1] of k answers in which an accepted one stands; see `abstention_targets` for the options.

    Raises:
        InvalidInput: lengths differ, an option is out of range, or a question has no answer (the row is named).
    """
    if k < 1 or batch_size < 1 or not temperature > 0:
        raise InvalidInput(
            f"k is {k}, batch_size {batch_size}, temperature {temperature}; pass at least 1, at least 1 and above 0"
        )
    accepted = _accepted(questions, answers)
    shares: list[float] = []
    with progress_bar("asking the model", len(questions)) as advance:
        for start in range(0, len(questions), batch_size):
            asked = questions[start : start + batch_size]
            said = lm.generate(
                asked,
                n=k,
                max_new_tokens=max_new_tokens,
                temperature=temperature if k > 1 else 0.0,
                seed=seed + start // batch_size,
            )
            for own, replies in zip(accepted[start:], said, strict=False):
                shares.append(sum(contains_answer(reply.text, own) for reply in replies) / k)
            advance(len(asked))
    return np.array(shares)


def _accepted(questions: Sequence[Prompt], answers: Sequence[str | Sequence[str]]) -> list[list[str]]:
    if not questions or len(questions) != len(answers):
        raise InvalidInput(f"there are {len(answers)} answers for {len(questions)} questions; give one or several for each")
    accepted = [[own] if isinstance(own, str) else list(own) for own in answers]
    for row, own in enumerate(accepted):
        if not own or not all(answer.strip() for answer in own):
            raise InvalidInput(f"an answer of question {row} is empty or missing; drop the question")
    return accepted
