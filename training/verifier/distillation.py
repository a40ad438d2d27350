"""What a teacher says about the pairs that a student is trained on (distillation, arXiv 1503.02531).

Not covered: how the student learns it (loss.py), and pairs that only the teacher judges (unlabeled.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.verifier.encoding import encode
from training.verifier.pairs import Pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.verification.pair_verifier import PairVerifier
    from halluc.verification.verifier import Verifier

__all__ = ["add_teacher"]


def add_teacher(
    rows: Sequence[dict[str, Any]],
    pairs: Sequence[Pair],
    excerpts: Sequence[int],
    shares: Sequence[float],
    teacher: Verifier,
) -> None:
    """Add the probabilities of a teacher to the rows of a student.

    A verifier of halluc reads the same excerpts as the student, and its network gives probabilities of pairs and of tokens.
    Any other verifier reads the evidence as it does in use, and gives probabilities of pairs alone.

    Args:
        rows: (N,) rows of `encode`, which get `teacher`, (3,) probabilities of labels; `teacher_share`; and `token_teacher`,
            (T, 3) probabilities at the tokens of the claim and 0 elsewhere, if the teacher gives them.
        pairs: (N,) the pairs of the rows.
        excerpts: (N,) longest excerpt of each.
        shares: (N,) share of the teacher in the loss of each.
        teacher: the verifier.
    """
    from halluc.verification.pair_verifier import PairVerifier

    for row, share in zip(rows, shares, strict=True):
        row["teacher_share"] = share
    if isinstance(teacher, PairVerifier):
        _add_network(rows, pairs, excerpts, teacher)
        return
    table = teacher.probabilities([(pair.evidence, pair.claim) for pair in pairs])
    for row, probabilities in zip(rows, table.tolist(), strict=True):
        row["teacher"] = probabilities


def _add_network(
    rows: Sequence[dict[str, Any]], pairs: Sequence[Pair], excerpts: Sequence[int], teacher: PairVerifier
) -> None:
    import torch

    from halluc.verification.batches import read_in_batches

    read = encode(pairs, teacher.tokenizer, excerpts)
    encoded = {name: [row[name] for row in read] for name in teacher.tokenizer.model_input_names if name in read[0]}
    for numbers, output in read_in_batches(teacher.fast_model, teacher.tokenizer, encoded, teacher.batch_tokens):
        labels = torch.softmax(output.logits.float(), dim=-1).cpu()
        tokens = torch.softmax(output.token_logits.float(), dim=-1).cpu().numpy()
        for i, number in enumerate(numbers):
            row, offsets = rows[number], read[number]["claim_offsets"]
            row["teacher"] = labels[i].tolist()
            row["token_teacher"] = _moved(tokens[i, : len(offsets)], offsets, row["claim_offsets"])


def _moved(
    probabilities: NDArray[np.float32], offsets: Sequence[tuple[int, int]], student_offsets: Sequence[tuple[int, int]]
) -> NDArray[np.float16]:
    """Probabilities of the tokens of a student: the mean over the teacher's tokens with the same characters of the claim."""
    starts, ends = np.array(offsets).T
    student_starts, student_ends = np.array(student_offsets).T[:, :, None]
    overlaps = ((starts < student_ends) & (student_starts < ends)).astype(np.float32)
    moved = overlaps @ probabilities / np.maximum(overlaps.sum(axis=1, keepdims=True), 1)
    half: NDArray[np.float16] = moved.astype(np.float16)
    return half
