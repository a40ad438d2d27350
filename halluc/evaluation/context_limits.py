"""Rows that a context window cannot hold, in a run of many: they are set aside, and the others are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from halluc.errors import ContextOverflow

__all__ = ["TooLong", "compute_those_that_fit"]

RowT = TypeVar("RowT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class TooLong:
    """In place of the result of a row that the context window cannot hold.

    Attributes:
        reason: the message of the `ContextOverflow`.
    """

    reason: str


def compute_those_that_fit(
    compute: Callable[[Sequence[RowT]], Sequence[ResultT]], rows: Sequence[RowT]
) -> list[ResultT | TooLong]:
    """Compute the results of rows together; where that overflows the context window, of each half, down to single rows.

    Nothing is shortened: a result depends on its whole row.

    Args:
        compute: from N rows to N results; raises ContextOverflow if one of the rows does not fit.
        rows: N rows.

    Returns:
        N results, `TooLong` for the rows that do not fit.
    """
    try:
        return list(compute(rows))
    except ContextOverflow as error:
        if len(rows) == 1:
            return [TooLong(str(error))]
    half = len(rows) // 2
    return compute_those_that_fit(compute, rows[:half]) + compute_those_that_fit(compute, rows[half:])
