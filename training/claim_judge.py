"""Many claims against their passages in one call of a verifier, with verdicts kept: policies say the same things often.

Cheaper than `halluc.check`, which also finds the sentence that decides. Not here: what the verdicts earn (reward_kinds.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.verification.judge import claim_pieces

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier

__all__ = ["ClaimJudge", "ClaimVerdict", "make_room"]

# Verdicts and retrieved passages that are kept; a pair takes about a kilobyte.
_KEPT = 100_000


@dataclass(frozen=True)
class ClaimVerdict:
    """The highest support in [0, 1] that a passage gives a claim, and whether the passages contradict it."""

    support: float
    refuted: bool


class ClaimJudge:
    """A verifier that reads each (evidence, claim) once and judges a claim by its best passage and its worst piece."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        self._rows: dict[tuple[str, str], tuple[float, float, float]] = {}

    def verdicts(
        self, claims: Sequence[Sequence[str]], evidence: Sequence[Sequence[Sequence[str]]]
    ) -> list[list[ClaimVerdict]]:
        """A verdict per claim per completion; all that is new is judged in one call of the verifier."""
        pieces = {claim: claim_pieces(claim) for own in claims for claim in own}
        pairs = [
            (passage, piece)
            for own, passages_of in zip(claims, evidence, strict=True)
            for claim, passages in zip(own, passages_of, strict=True)
            for passage in passages
            for piece in pieces[claim]
        ]
        self._read(pairs)
        return [
            [self._verdict(passages, pieces[claim]) for claim, passages in zip(own, passages_of, strict=True)]
            for own, passages_of in zip(claims, evidence, strict=True)
        ]

    def _read(self, pairs: Sequence[tuple[str, str]]) -> None:
        # A batch larger than what is kept must still be whole when its verdicts are read off.
        make_room(self._rows, len(set(pairs)))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._rows]
        if not new:
            return
        if hasattr(self.verifier, "probabilities"):
            table = self.verifier.probabilities(new).tolist()
        else:
            table = [[support, 0.0, 1 - support] for support in self.verifier.support(new).tolist()]
        self._rows.update((pair, tuple(row)) for pair, row in zip(new, table, strict=True))

    def _verdict(self, passages: Sequence[str], pieces: Sequence[str]) -> ClaimVerdict:
        if not passages:
            return ClaimVerdict(0.0, refuted=False)
        supports, refuted = [], False
        for piece in pieces:
            rows = [self._rows[passage, piece] for passage in passages]
            # Of nan and a number, max returns whichever comes first.
            supports.append(max((row[0] for row in rows), key=lambda support: (math.isnan(support), support)))
            # The rule of halluc.check: unless a passage supports it, the passage that refutes most decides.
            strongest = max(rows, key=lambda row: row[1])
            refuted = refuted or (supports[-1] < 0.5 and strongest[1] > strongest[2])
        return ClaimVerdict(min(supports, key=lambda support: (not math.isnan(support), support)), refuted)


def make_room(kept: dict[Any, Any], coming: int) -> None:
    """Forget all that is kept where `coming` more would be too many: simple, and rare enough."""
    if kept and len(kept) + coming > _KEPT:
        kept.clear()
