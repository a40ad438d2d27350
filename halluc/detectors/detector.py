"""What a detector is: a name, the statistics it needs, and a pure function from `Statistics` to scores.

Not covered: the detectors themselves (one file per family), the table of them (table.py), and computing the statistics
(collect.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from halluc.detectors.statistics import FloatArray, Statistic, Statistics

__all__ = ["Detector", "Family"]


class Family(StrEnum):
    """Where a detector's evidence comes from."""

    token_probability = "token probability"
    sampling = "sampling"
    reflexive = "reflexive"
    internal_state = "internal state"
    grounded = "grounded"
    reasoning = "reasoning"
    learned = "learned"


@dataclass(frozen=True)
class Detector:
    """A hallucination detector.

    Attributes:
        name: its name on the command line and in results.
        family: where its evidence comes from.
        needs: the statistics it reads.
        score: from the `Statistics` of N answers to (N,) scores, higher = more likely hallucinated. Scores of different
            detectors have different units; calibration turns them into probabilities (score_calibration.py).
        token_score: for detectors that pool token scores, from the `Statistics` to N arrays (T,) of the scores of the
            tokens, which `Detection.claims` pools over the span of each claim.
    """

    name: str
    family: Family
    needs: frozenset[Statistic]
    score: Callable[[Statistics], FloatArray]
    token_score: Callable[[Statistics], Sequence[FloatArray]] | None = None

    @property
    def summary(self) -> str:
        """First line of the score function's docstring."""
        return (self.score.__doc__ or self.name).strip().splitlines()[0]
