"""Confidence from a verifier: how far the evidence supports what the answer says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.claims import extract_claims
from halluc.errors import check_same_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.answers import Answer
    from halluc.verification.verifier import Verifier

__all__ = ["verdict_support", "verifier_support"]


def verifier_support(verifier: Verifier, evidence: Sequence[Sequence[str]], answers: Sequence[str]) -> NDArray[np.float64]:
    """(N,) support of the least supported claim of each answer (as in SummaC, arXiv 2111.09525).

    A claim has the support of the text that supports it most. An answer that makes no claim, or has no evidence, has
    support 0: nothing shows that it is right.

    Args:
        verifier: measures support.
        evidence: for each answer the texts to hold it against.
        answers: N texts; each sentence that is no question is a claim.

    Raises:
        InvalidInput: the lengths differ.
    """
    check_same_length(evidence=evidence, answers=answers)
    rows = [
        (i, number, (text, claim.text))
        for i, answer in enumerate(answers)
        for number, claim in enumerate(extract_claims(answer))
        for text in evidence[i]
        if text.strip()
    ]
    best: dict[tuple[int, int], float] = {}
    if rows:
        for (i, number, _), value in zip(rows, verifier.support([pair for *_, pair in rows]).tolist(), strict=True):
            best[i, number] = max(value, best.get((i, number), 0.0))
    values = np.zeros(len(answers))
    for i in {owner for owner, _ in best}:
        values[i] = min(value for (owner, _), value in best.items() if owner == i)
    return values


def verdict_support(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """(N,) support of the least supported claim, from the verdicts that a GroundedModel with a verifier has given.

    An answer without verdicts makes no claim, and has support 0.
    """
    return np.array([min((v.support for v in answer.verdicts), default=0.0) for answer in answers], dtype=np.float64)
