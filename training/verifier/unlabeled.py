"""Pairs without a label, for a teacher to judge: claims with evidence about their subject that was not written for them.

Not covered: how a student learns from them (train.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.verifier.pairs import Pair

__all__ = ["unlabeled_pairs"]

_LONGEST_EVIDENCE = 400  # words


def unlabeled_pairs(pairs: Sequence[Pair], number: int, seed: int) -> list[Pair]:
    """Join claims with the evidence of other pairs that BM25 ranks first for them.

    Such evidence is about the same subject, and supports a claim in full, in part or not at all: the near misses that
    retrieval puts before a verifier. Distillation on pairs that nobody labeled is that of arXiv 1503.02531, section 2.

    Args:
        pairs: the pairs to draw claims and evidence from; only those of the training part are used.
        number: pairs to make.
        seed: of the claims that are drawn.

    Returns:
        At most `number` pairs of the training part, with the label "unlabeled"; fewer if there are fewer claims, or claims
        whose words are in no other evidence.
    """
    import bm25s

    from retrieval.sparse import search_sparse
    from retrieval.terms import terms

    training = [pair for pair in pairs if pair.part == "train"]
    evidence = [text for text in dict.fromkeys(pair.evidence for pair in training) if len(text.split()) <= _LONGEST_EVIDENCE]
    if len(evidence) < 2:
        return []
    retriever = bm25s.BM25()
    retriever.index([terms(text) for text in evidence], show_progress=False)
    made: list[Pair] = []
    for pair in random.Random(seed).sample(training, len(training)):
        if len(made) == number:
            break
        (found,) = search_sparse(retriever, [pair.claim], 2, None)
        if other := next((evidence[row] for row, _ in found if evidence[row] != pair.evidence), None):
            made.append(Pair(other, pair.claim, "unlabeled", pair.source, "train"))
    return made
