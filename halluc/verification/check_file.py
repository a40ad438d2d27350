"""Check the rows of a JSONL file, so that a run that was killed goes on where it stopped.

A row is an object with `answer`, and `context` unless there is an index; `id` and `question` may be there. Each result is
one line of the output, appended when it is done: the report, with the `line` number, `id` and `fingerprint` of its row. A
line that was cut off by a kill is taken away and done again. A row that changed since its result was written, or other
settings, are refused rather than mixed in. Broken rows are passed over and named; mended, they are done by the next run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.verification.check import CheckReport, check_many
from retrieval.files import parse_json_object

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["CheckedRows", "Row", "check_rows", "count_lines"]

# Rows that are verified in one batch, and lost if the run is killed before it ends.
_TOGETHER = 16


@dataclass(frozen=True)
class Row:
    """One row: its line number from 1, the values that were given, and a fingerprint of them and of the settings."""

    line: int
    answer: str
    context: str | None
    question: str | None
    id: Any
    fingerprint: str


@dataclass(frozen=True)
class CheckedRows:
    """What a run did: rows checked now, rows that were done before, and a sentence for each broken one."""

    checked: int
    resumed: int
    broken: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"checked": self.checked, "resumed": self.resumed, "broken": list(self.broken)}


def check_rows(
    rows: Path,
    out: Path,
    *,
    verifier: Verifier,
    index: PassageIndex | None = None,
    k: int = 3,
    report: Callable[[Row, CheckReport], None] = lambda _row, _report: None,
    advance: Callable[[int], None] = lambda _done: None,
) -> CheckedRows:
    """Check the rows of a file that have no result yet.

    Args:
        rows: JSON lines.
        out: where results are appended; made if it is not there.
        verifier, index, k: see `check_many`.
        report: called with each row and report of this run, once its result is on disk.
        advance: called with the rows done since the last call, those of former runs included.

    Raises:
        InvalidInput: a file cannot be read or written, `out` holds something else, or results of other rows or settings.
    """
    if _same_file(rows, out):
        raise InvalidInput(f"{out} is the file of rows itself; write the results to another file")
    settings = [verifier.name, "faithfulness" if index is None else f"index, k={k}"]
    done = _results(out)
    broken: list[str] = []
    checked = resumed = 0
    batch: list[Row] = []
    try:
        # Opened before the first row is checked: an hour's work that cannot be written is worse than an error now.
        with out.open("ab") as results:
            for row in _rows(rows, index is None, settings, broken, advance):
                if row.line in done:
                    if done[row.line] != row.fingerprint:
                        raise InvalidInput(
                            f"{out} holds a result for line {row.line} of {rows} that was made from another row or with "
                            "another verifier or index; write to another file, or delete it to start again"
                        )
                    resumed += 1
                    advance(1)
                    continue
                batch.append(row)
                if len(batch) == _TOGETHER:
                    checked += _check(batch, results, verifier, index, k, report, advance)
                    batch = []
            if batch:
                checked += _check(batch, results, verifier, index, k, report, advance)
    except OSError as error:
        raise InvalidInput(f"{error.filename or out} cannot be read or written: {error.strerror or error}") from error
    return CheckedRows(checked, resumed, tuple(broken))


def count_lines(rows: Path) -> int:
    """Lines of a file that are not blank, for a progress bar; InvalidInput where it cannot be read."""
    try:
        with rows.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise InvalidInput(f"{rows} cannot be read: {error.strerror or error}") from error


def _check(
    batch: list[Row],
    results: Any,
    verifier: Verifier,
    index: PassageIndex | None,
    k: int,
    report: Callable[[Row, CheckReport], None],
    advance: Callable[[int], None],
) -> int:
    contexts = None if index is not None else [row.context or "" for row in batch]
    reports = check_many(
        [row.answer for row in batch],
        contexts=contexts,
        index=index,
        verifier=verifier,
        k=k,
        questions=[row.question for row in batch],
    )
    for row, own in zip(batch, reports, strict=True):
        line = {"line": row.line, "id": row.id, "fingerprint": row.fingerprint, **own.to_dict()}
        results.write(json.dumps(line).encode() + b"\n")
    results.flush()
    os.fsync(results.fileno())
    for row, own in zip(batch, reports, strict=True):
        report(row, own)
    advance(len(batch))
    return len(batch)


def _rows(
    path: Path, needs_context: bool, settings: list[str], broken: list[str], advance: Callable[[int], None]
) -> Iterator[Row]:
    import xxhash

    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = _values(line, needs_context)
            except ValueError as error:
                broken.append(f"line {number} of {path} {error}")
                advance(1)
                continue
            key = json.dumps(
                [values["answer"], values.get("context") if needs_context else None, values.get("question"), settings]
            )
            yield Row(
                number,
                values["answer"],
                values.get("context"),
                values.get("question"),
                values.get("id"),
                xxhash.xxh3_128_hexdigest(key.encode()),
            )


def _values(line: bytes, needs_context: bool) -> dict[str, Any]:
    """The object on a line; ValueError says what is wrong with it."""
    values = parse_json_object(line)
    for name in ("answer", *(("context",) if needs_context else ())):
        if not isinstance(values.get(name), str) or not values[name].strip():
            raise ValueError(f"has no text as its '{name}'")
    if not isinstance(values.get("question"), str | None):
        raise ValueError("has a 'question' that is not text")
    return values


def _results(out: Path) -> dict[int, str]:
    """Fingerprints of the rows that have a result, by line number; a torn last line is cut off the file."""
    done: dict[int, str] = {}
    try:
        if not out.exists():
            return done
        whole = 0
        with out.open("rb") as results:
            for number, line in enumerate(results, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    result = json.loads(line)
                    done[int(result["line"])] = str(result["fingerprint"])
                except (ValueError, TypeError, KeyError) as error:
                    raise InvalidInput(
                        f"line {number} of {out} is not a result of 'halluc check'; write to another file, or delete it"
                    ) from error
                whole += len(line)
        if whole < out.stat().st_size:
            os.truncate(out, whole)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be read: {error.strerror or error}") from error
    return done


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
