"""Detect reward hacking: support by the verifier that is optimized against rises, support by a held-out one does not.

A policy trained against a verifier finds its blind spots (overoptimization, arXiv 2210.10760). A second verifier that is not
part of the reward reveals this: the gap between the two grows. Not covered: the judging (factuality.py), and stopping a run
(training/monitoring/reward_gap.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from halluc.errors import InvalidInput
from retrieval.records import Record

__all__ = ["GapReport", "Measurement", "gap_report"]


class Measurement(NamedTuple):
    """Sums of the support of the claims in one call of the reward, by each of the two verifiers.

    Attributes:
        optimized: by the verifier that is optimized against.
        held_out: by the held-out verifier.
        claims: number of claims.
    """

    optimized: float
    held_out: float
    claims: int


@dataclass(frozen=True)
class GapReport(Record):
    """Mean support by both verifiers in the first and the last quarter of the steps.

    Attributes:
        steps: calls of the reward that had claims.
        optimized: (first, last) mean support in [0, 1] by the verifier that is optimized against.
        held_out: (first, last) mean support in [0, 1] by the held-out verifier.
        growth: growth of the gap between them, in [−2, 2]; clearly above 0 is reward hacking.
    """

    steps: int
    optimized: tuple[float, float]
    held_out: tuple[float, float]
    growth: float


def gap_report(optimized: Sequence[float], held_out: Sequence[float]) -> GapReport:
    """Compare two series of mean support.

    Args:
        optimized: (S,) values in [0, 1], one per call of the reward.
        held_out: (S,) values in [0, 1].

    Raises:
        InvalidInput: the series are empty or differ in length.
    """
    if not optimized or len(optimized) != len(held_out):
        raise InvalidInput(
            f"there are {len(optimized)} and {len(held_out)} measurements; pass equally many of both, at least 1"
        )
    quarter = max(1, len(optimized) // 4)
    first, last = slice(0, quarter), slice(len(optimized) - quarter, None)
    ends = [(sum(series[first]) / quarter, sum(series[last]) / quarter) for series in (optimized, held_out)]
    growth = (ends[0][1] - ends[1][1]) - (ends[0][0] - ends[1][0])
    return GapReport(len(optimized), ends[0], ends[1], growth)
