"""Self-consistency: the share of samples that agree with the answer (arXiv 2203.11171; as confidence 2302.09664)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput, check_same_length, check_texts
from halluc.grading.matching import contains_answer, normalize_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.verification.verifier import Verifier

__all__ = ["self_consistency"]


def self_consistency(
    answers: Sequence[str],
    samples: Sequence[Sequence[str]],
    *,
    verifier: Verifier | None = None,
    questions: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Mean agreement of each answer with samples of the same model for the same question.

    Args:
        answers: N answers, e.g. the greedy ones.
        samples: for each answer at least one text, e.g. from `lm.generate(prompts, n=10, temperature=1.0)`.
        verifier: agreement is the probability that the sample supports the answer. With None, two texts agree if one
            contains the other as whole words after normalization, which suits short answers: long texts in different
            words never agree.
        questions: N questions, put before answer and sample for the verifier, which cannot judge "1928" alone.

    Returns:
        (N,) in [0, 1].

    Raises:
        InvalidInput: the lengths differ, an argument is a text in place of a list, or an answer has no samples.
    """
    check_texts("answers", answers, allow_blank=True)
    check_same_length(answers=answers, samples=samples, questions=questions)
    for i, texts in enumerate(samples):
        check_texts(f"samples[{i}]", texts, allow_blank=True)
        if len(texts) == 0:
            raise InvalidInput(f"samples[{i}] is empty; pass at least one sampled answer for each answer")
    if questions is not None:
        check_texts("questions", questions, allow_blank=True)
    if verifier is None:
        pairs = zip(answers, samples, strict=True)
        return np.array([np.mean([_same(answer, text) for text in texts]) for answer, texts in pairs], dtype=np.float64)
    prefixes = ["" for _ in answers] if questions is None else [f"{question} " for question in questions]
    # An empty text neither supports nor is supported, and verifiers refuse it.
    rows = [
        (i, (prefixes[i] + sample, prefixes[i] + answer))
        for i, (answer, texts) in enumerate(zip(answers, samples, strict=True))
        for sample in texts
        if answer.strip() and sample.strip()
    ]
    total = np.zeros(len(answers))
    if rows:
        np.add.at(total, [i for i, _ in rows], verifier.support([pair for _, pair in rows]))
    return np.asarray(total / np.array([len(texts) for texts in samples], dtype=np.float64))


def _same(answer: str, sample: str) -> bool:
    same = normalize_answer(answer) == normalize_answer(sample)
    return same or contains_answer(answer, [sample]) or contains_answer(sample, [answer])
