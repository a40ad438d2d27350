"""Self-consistency: the share of samples that say what the answer says (arXiv 2203.11171; as confidence 2302.09664)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput, check_same_length
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
    """(N,) mean agreement of each answer with k samples drawn from the same model for the same question.

    Args:
        answers: N answers, e.g. the greedy ones.
        samples: for each of them k >= 1 texts, e.g. of `lm.generate(prompts, n=10, temperature=1.0)`.
        verifier: agreement is the probability that the sample supports the answer. None takes two texts to agree when one
            contains the other as whole words after normalisation, which is fit for short answers; what is long and
            differs in wording then never agrees.
        questions: put before answer and sample for the verifier, which cannot judge "1928" alone.

    Raises:
        InvalidInput: the lengths differ, or an answer has no samples.
    """
    check_same_length(answers=answers, samples=samples, questions=questions)
    for i, own in enumerate(samples):
        if isinstance(own, str) or len(own) == 0:
            raise InvalidInput(f"samples[{i}] is {own!r}; pass at least one sampled answer for each answer")
    if verifier is None:
        pairs = zip(answers, samples, strict=True)
        return np.array([np.mean([_same(answer, sample) for sample in own]) for answer, own in pairs], dtype=np.float64)
    opening = ["" for _ in answers] if questions is None else [f"{question} " for question in questions]
    # An empty text says nothing, so it neither supports nor is supported; verifiers refuse it.
    told = [
        (i, (opening[i] + sample, opening[i] + answer))
        for i, (answer, own) in enumerate(zip(answers, samples, strict=True))
        for sample in own
        if answer.strip() and sample.strip()
    ]
    total = np.zeros(len(answers))
    if told:
        np.add.at(total, [i for i, _ in told], verifier.support([pair for _, pair in told]))
    return np.asarray(total / np.array([len(own) for own in samples], dtype=np.float64))


def _same(answer: str, sample: str) -> bool:
    one, other = normalize_answer(answer), normalize_answer(sample)
    return one == other or contains_answer(answer, [sample]) or contains_answer(sample, [answer])
