"""Targets for fine-tuning: the answer if the model knows it, an abstention if it does not (R-Tuning, arXiv 2311.09677).

A model that is fine-tuned on answers it does not know learns to hallucinate. So the model is asked first, and questions
that it gets wrong get another target. Not covered: the fine-tuning (training/runs/sft.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput
from halluc.grading.correctness import gives_answer
from retrieval.progress import progress_bar
from training.rewards.completions import as_messages, check_one_each, check_text_or_messages

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.models.language_model import LanguageModel, Prompt

__all__ = ["abstention_targets", "share_right"]


def abstention_targets(
    lm: LanguageModel,
    questions: Sequence[Prompt],
    references: Sequence[str | Sequence[str]],
    *,
    abstention: str | None = "I don't know.",
    n_samples: int = 1,
    threshold: float = 0.5,
    temperature: float = 1.0,
    max_new_tokens: int = 32,
    batch_size: int = 32,
    seed: int = 0,
) -> Dataset:
    """Ask the model questions, and make a target for each in TRL's prompt-completion format.

    Args:
        lm: the model to fine-tune.
        questions: N prompts; a string is one user turn.
        references: N accepted answers, one or several each; the first is the target of a question that the model knows.
        abstention: the target of a question that it does not know. None is the form of the paper: every question keeps its
            answer, followed by "I am sure." or "I am unsure.".
        n_samples: answers per question: 1 greedy answer, or several sampled ones.
        threshold: least share of right answers for a question to count as known, in (0, 1].
        temperature: of sampling, if n_samples is above 1.
        max_new_tokens: most tokens of an answer.
        batch_size: questions per batch.
        seed: of sampling; batch i samples with seed + i.

    Returns:
        Rows in the order of the questions with prompt and completion (conversations), and share_right in [0, 1].

    Raises:
        InvalidInput: lengths differ, an option is out of range, or a question has no reference (the row is named).
    """
    from datasets import Dataset

    if not 0 < threshold <= 1:
        raise InvalidInput(f"threshold is {threshold}; pass a share above 0 and at most 1")
    reference_lists = _reference_lists(questions, references)
    shares = share_right(
        lm,
        questions,
        reference_lists,
        n_samples=n_samples,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
    )
    rows: list[dict[str, Any]] = []
    for question, accepted, share in zip(questions, reference_lists, shares, strict=True):
        known = share >= threshold
        if abstention is None:
            target = f"{accepted[0].rstrip('.')}. I am {'sure' if known else 'unsure'}."
        else:
            target = accepted[0] if known else abstention
        completion = [{"role": "assistant", "content": target}]
        rows.append({"prompt": as_messages(question), "completion": completion, "share_right": float(share)})
    return Dataset.from_list(rows)


def share_right(
    lm: LanguageModel,
    questions: Sequence[Prompt],
    references: Sequence[str | Sequence[str]],
    *,
    n_samples: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 32,
    batch_size: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """Compute the share of a model's answers to each question that give a reference.

    Args:
        lm, questions, references, n_samples, temperature, max_new_tokens, batch_size, seed: see `abstention_targets`.

    Returns:
        (N,) shares in [0, 1].

    Raises:
        InvalidInput: lengths differ, an option is out of range, or a question has no reference (the row is named).
    """
    if n_samples < 1 or batch_size < 1:
        raise InvalidInput(f"n_samples is {n_samples} and batch_size is {batch_size}; pass at least 1 of each")
    if not temperature > 0:
        raise InvalidInput(f"temperature is {temperature}; pass a number above 0")
    reference_lists = _reference_lists(questions, references)
    shares: list[float] = []
    with progress_bar("asking the model", len(questions)) as advance:
        for start in range(0, len(questions), batch_size):
            batch = questions[start : start + batch_size]
            sampled = lm.generate(
                batch,
                n=n_samples,
                max_new_tokens=max_new_tokens,
                temperature=temperature if n_samples > 1 else 0.0,
                seed=seed + start // batch_size,
            )
            for accepted, replies in zip(reference_lists[start:], sampled, strict=False):
                shares.append(sum(gives_answer(reply.text, accepted) for reply in replies) / n_samples)
            advance(len(batch))
    return np.array(shares)


def _reference_lists(questions: Sequence[Prompt], references: Sequence[str | Sequence[str]]) -> list[list[str]]:
    check_one_each("questions", questions, references=references)
    if not questions:
        raise InvalidInput("there are no questions; pass at least one")
    lists = [[accepted] if isinstance(accepted, str) else list(accepted or []) for accepted in references]
    for row, (question, accepted) in enumerate(zip(questions, lists, strict=True)):
        check_text_or_messages(f"question {row}", question)
        for reference in accepted:
            check_text_or_messages(f"a reference of question {row}", reference)
        if not accepted or not all(reference.strip() for reference in accepted):
            raise InvalidInput(f"a reference of question {row} is empty or missing; drop the question")
    return lists
