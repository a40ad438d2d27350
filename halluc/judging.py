"""Claims judged against an index: search, then the verifier, each once for all claims.

Not here: what is a claim (claims.py), and judging against a given text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from halluc.answers import Claim, Label, Verdict

if TYPE_CHECKING:
    from halluc.verifiers.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["judge_claims"]


def judge_claims(
    claims: Sequence[Claim],
    index: PassageIndex,
    verifier: Verifier,
    *,
    queries: Sequence[str] | None = None,
    k: int = 3,
    mode: Literal["dense", "sparse", "hybrid"] = "hybrid",
) -> list[Verdict]:
    """The verdict of the index on each claim.

    A claim is supported if any of the k passages found supports it (support at least 0.5), else refuted if the passage that
    speaks most against it refutes it rather than saying nothing.

    Args:
        claims: what to judge.
        index: where to look for evidence.
        verifier: judges each passage found.
        queries: what to search for instead of each claim's text, where a claim does not stand by itself.
        k: passages a claim.
        mode: how to search, see `PassageIndex.search`.

    Returns:
        One verdict a claim; its evidence is the passage that decided, and its support the most that any passage gives.
        Without any passage: "not_enough_info", support 0, no evidence.
    """
    if not claims:
        return []
    found = index.search(list(queries) if queries is not None else [claim.text for claim in claims], k=k, mode=mode)
    rows = [(i, hit) for i, hits in enumerate(found) for hit in hits]
    table = verifier.probabilities([(hit.passage.text, claims[i].text) for i, hit in rows]) if rows else []
    verdicts = []
    for i, claim in enumerate(claims):
        own = [(hit, *row) for (owner, hit), row in zip(rows, table, strict=True) if owner == i]
        if not own:
            verdicts.append(Verdict(claim, "not_enough_info", 0.0))
            continue
        best = max(own, key=lambda row: row[1])
        label: Label = "supported"
        support = float(best[1])
        if support < 0.5:
            best = max(own, key=lambda row: row[2])
            label = "refuted" if best[2] > best[3] else "not_enough_info"
        verdicts.append(Verdict(claim, label, support, (best[0],)))
    return verdicts
