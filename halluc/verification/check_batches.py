"""Check batches of rows, in this process or in several.

Not covered: the files that rows come from and results go to (check_file.py), and the processes (halluc.workers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import ContextOverflow, InvalidInput
from halluc.verification.check import CheckReport, check_many
from halluc.verification.contexts import Context
from halluc.workers import batch_mapper

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["CheckedBatch", "Row", "batch_checker"]


@dataclass(frozen=True)
class Row:
    """A row to check.

    Attributes:
        line: number of its line in the file, from 1.
        id, answer, context, question: its fields.
        fingerprint: hash of what is checked: answer, question and context.
    """

    line: int
    id: Any
    answer: str
    context: Context | None
    question: str | None
    fingerprint: str


@dataclass(frozen=True)
class CheckedBatch:
    """What became of the rows of a batch.

    Attributes:
        reports: the rows that were checked, each with its report.
        refused: the lines that cannot be checked, each with a sentence.
    """

    reports: tuple[tuple[Row, CheckReport], ...]
    refused: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.reports) + len(self.refused)


def batch_checker(
    path: Path,
    verifier: Verifier,
    index: PassageStore | None,
    k: int,
    workers: int = 1,
    load: Callable[[], tuple[Verifier, PassageStore | None]] | None = None,
) -> AbstractContextManager[Callable[[Iterable[Sequence[Row]]], Iterator[CheckedBatch]]]:
    """A function that checks batches, in order, while the block runs.

    Args:
        path: the file of the rows, for messages.
        verifier, index, k: see `check_many`.
        workers: number of processes.
        load: with several workers, loads the verifier and the index in each of them; it is pickled.
    """
    load_check = None if load is None else partial(_load_check, path, load, k)
    return batch_mapper(_BatchCheck(path, verifier, index, k), workers, load_check)


def _load_check(
    path: Path, load: Callable[[], tuple[Verifier, PassageStore | None]], k: int
) -> Callable[[Sequence[Row]], CheckedBatch]:
    return _BatchCheck(path, *load(), k)


@dataclass(frozen=True)
class _BatchCheck:
    """Checks rows together; if one of them is refused, each alone, so that only that one is named and left out."""

    path: Path
    verifier: Verifier
    index: PassageStore | None
    k: int

    def __call__(self, batch: Sequence[Row]) -> CheckedBatch:
        try:
            reports = check_many(
                [row.answer for row in batch],
                contexts=None if self.index is not None else [row.context or "" for row in batch],
                index=self.index,
                verifier=self.verifier,
                k=self.k,
                questions=[row.question for row in batch],
            )
        except (InvalidInput, ContextOverflow) as error:
            if len(batch) == 1:
                line = batch[0].line
                return CheckedBatch((), ((line, f"line {line} of {self.path} cannot be checked: {error}"),))
            parts = [self([row]) for row in batch]
            reports_of_parts = tuple(pair for part in parts for pair in part.reports)
            return CheckedBatch(reports_of_parts, tuple(refusal for part in parts for refusal in part.refused))
        return CheckedBatch(tuple(zip(batch, reports, strict=True)))
