"""Check the rows of a JSON-lines file into a file of results; an interrupted run resumes where it stopped.

A row is an object with `answer`, with `context` (a text or a list of texts) unless there is an index, and optionally with
`id` and `question`. Each
result is one line of the output, appended once it is known: the report, the `line` and `id` of its row, a `fingerprint` of
the row, and the `settings` it was made with. A line that a killed run left unfinished is removed and its row checked again.

Nothing else in an existing output is ever removed: a file of something else, and results of other rows or settings, are
refused before any work is done. Rows that cannot be used are named and passed over; once fixed, the next run checks them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import check_output_path
from halluc.verification.check import CheckReport
from halluc.verification.check_batches import Row, batch_checker
from halluc.verification.verifier import verifier_settings
from retrieval.files import parse_json_object
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["CheckedRows", "RowResult", "check_results_path", "check_rows", "count_lines", "read_results"]

_KIND = "halluc check"
_FORMAT = 1
# The beginning of every result, which distinguishes the unfinished last line of a killed run from anything else.
_START = json.dumps({"kind": _KIND, "format": _FORMAT, "line": 0}).removesuffix("0}").encode()
# Rows that are verified together, and lost if the run is killed before they are done.
_BATCH_ROWS = 16


@dataclass(frozen=True)
class CheckedRows(Record):
    """Outcome of a run.

    Attributes:
        checked: rows checked by this run.
        resumed: rows that already had a result.
        broken: one sentence for each row that cannot be used.
    """

    checked: int
    resumed: int
    broken: tuple[str, ...]


@dataclass(frozen=True)
class RowResult:
    """One line of results.

    Attributes:
        line: number of the row in its file, from 1.
        id: the `id` of the row, None if it has none.
        fingerprint: hash of what was checked: answer, question and context.
        settings: verifier, and index and k if there is an index, that the result was made with.
        report: the result.
    """

    line: int
    id: Any
    fingerprint: str
    settings: dict[str, Any]
    report: CheckReport


def check_rows(
    rows: Path,
    out: Path,
    *,
    verifier: Verifier,
    index: PassageStore | None = None,
    k: int = 3,
    advance: Callable[[int], None] = lambda _rows: None,
    workers: int = 1,
    load: Callable[[], tuple[Verifier, PassageStore | None]] | None = None,
) -> CheckedRows:
    """Check the rows of a file that have no result yet.

    Args:
        rows: JSON lines.
        out: file that results are appended to; created if missing. A lock file beside it keeps other processes away.
        verifier, index, k: see `check_many`.
        advance: called with the number of rows done since the last call, rows of former runs included.
        workers: number of processes that check (`halluc.workers`); the results are those of one process, in the same order.
        load: with several workers, loads the verifier and the index in each of them; it is pickled.

    Raises:
        InvalidInput: a file cannot be read or written; `out` holds something else, or results of other rows, another
            verifier, another index or another k; or another process is writing to it.
    """
    check_results_path(out, rows)
    needs_context = index is None
    settings = _settings(verifier, index, k)
    tally = _Tally(advance)
    try:
        with _locked(out):
            done = _resume(out, settings)
            if done:
                _check_unchanged(rows, out, needs_context, done)
            with out.open("ab") as results:
                batches = _batches(_rows(rows, needs_context, tally), done, tally)
                with batch_checker(rows, verifier, index, k, workers, load) as checked_batches:
                    for batch in checked_batches(batches):
                        _append(results, batch.reports, settings)
                        tally.checked += len(batch.reports)
                        tally.broken += batch.refused
                        advance(len(batch))
    except OSError as error:
        raise InvalidInput(f"{error.filename or out} cannot be read or written: {error.strerror or error}") from error
    return CheckedRows(tally.checked, tally.resumed, tuple(sentence for _, sentence in sorted(tally.broken)))


def check_results_path(out: Path, rows: Path) -> None:
    """Check, before a verifier is loaded, that results can be appended to a file.

    Raises:
        InvalidInput: the file cannot be written, begins with something else, or is the file of rows.
    """
    check_output_path(out)
    if _same_file(rows, out):
        raise InvalidInput(f"{out} is the file of rows itself; write the results to another file")
    if out.exists():
        with out.open("rb") as results:
            beginning = results.read(len(_START))
        if not _START.startswith(beginning):
            raise _not_a_result(out, 1, "it does not begin like one")


def count_lines(rows: Path) -> int:
    """Count the lines of a file that are not blank, for a progress bar; InvalidInput if it cannot be read."""
    try:
        with rows.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise InvalidInput(f"{rows} cannot be read: {error.strerror or error}") from error


def read_results(out: Path) -> Iterator[RowResult]:
    """Read the results that `check_rows` wrote, in the order of the file; an unfinished last line is left out.

    Raises:
        InvalidInput: the file cannot be read, or a line is not a result; it is named.
    """
    try:
        for result, _ in _results(out):
            yield result
    except OSError as error:
        raise InvalidInput(f"{out} cannot be read: {error.strerror or error}") from error


@dataclass
class _Tally:
    advance: Callable[[int], None] = lambda _rows: None
    checked: int = 0
    resumed: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)


def _settings(verifier: Verifier, index: PassageStore | None, k: int) -> dict[str, Any]:
    settings = verifier_settings(verifier)
    return settings if index is None else {**settings, "index": index.content_hash, "k": k}


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    import filelock

    # The lock file stays: removing it would let two processes lock two files of that name.
    lock = filelock.FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InvalidInput(
            f"another process is writing to {out}; wait until it is done, or write to another file"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _resume(out: Path, settings: dict[str, Any]) -> dict[int, str]:
    """Fingerprints of the rows that have a result, by line; an unfinished last line is cut off the file."""
    done: dict[int, str] = {}
    if not out.exists():
        return done
    number = end = 0
    for number, (result, end) in enumerate(_results(out), 1):  # noqa: B007
        if result.settings != settings:
            raise InvalidInput(
                f"{out} holds results made with {_difference(result.settings, settings)}; write to another file, or delete "
                f"{out} to start again"
            )
        done[result.line] = result.fingerprint
    with out.open("rb") as results:
        results.seek(end)
        tail = results.read(len(_START))
    if not _START.startswith(tail):
        raise _not_a_result(out, number + 1, "it does not begin like one")
    if tail:
        os.truncate(out, end)
    return done


def _check_unchanged(rows: Path, out: Path, needs_context: bool, done: dict[int, str]) -> None:
    """InvalidInput if a row that has a result is another one now; before any row is checked."""
    for row in _rows(rows, needs_context, _Tally()):
        if done.get(row.line, row.fingerprint) != row.fingerprint:
            raise InvalidInput(
                f"{out} holds a result for line {row.line} of {rows}, which has changed since; write to another "
                f"file, or delete {out} to start again"
            )


def _difference(recorded: dict[str, Any], present: dict[str, Any]) -> str:
    names = [name for name in {**recorded, **present} if recorded.get(name) != present.get(name)]
    return ", ".join(f"{name.replace('_', ' ')} {recorded.get(name)!r}, not {present.get(name)!r}" for name in names)


def _results(out: Path) -> Iterator[tuple[RowResult, int]]:
    """The results, each with the offset in bytes at which its line ends, up to a line without an end."""
    end = 0
    with out.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield _result(parse_json_object(line)), end
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise _not_a_result(out, number, str(error)) from error


def _result(values: dict[str, Any]) -> RowResult:
    if (values.get("kind"), values.get("format")) != (_KIND, _FORMAT):
        raise ValueError(f"its kind is not {_KIND!r}, format {_FORMAT}")
    line, fingerprint, settings, score = (values[name] for name in ("line", "fingerprint", "settings", "score"))
    if not isinstance(line, int) or not isinstance(fingerprint, str) or not isinstance(settings, dict):
        raise TypeError("line, fingerprint or settings is of the wrong type")
    if score is not None and (isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1):
        raise ValueError(f"its score is {score!r}, not a number from 0 to 1")
    return RowResult(line, values["id"], fingerprint, settings, CheckReport.from_dict(values))


def _not_a_result(out: Path, number: int, reason: str) -> InvalidInput:
    return InvalidInput(
        f"line {number} of {out} is not a result of 'halluc check' ({reason}); nothing was changed, write to another file"
    )


def _rows(path: Path, needs_context: bool, tally: _Tally) -> Iterator[Row]:
    """The rows that can be used; the others are named in the tally."""
    import xxhash

    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = _values(line, needs_context)
            except ValueError as error:
                tally.broken.append((number, f"line {number} of {path} {error}"))
                tally.advance(1)
                continue
            answer, context, question = values["answer"], values.get("context"), values.get("question")
            key = json.dumps([answer, question, context if needs_context else None])
            yield Row(number, values.get("id"), answer, context, question, xxhash.xxh3_128_hexdigest(key.encode()))


def _values(line: bytes, needs_context: bool) -> dict[str, Any]:
    """The object on a line; the message of the ValueError continues a sentence that names the line."""
    values = parse_json_object(line)
    context = values.get("context")
    for name in ("answer", "context") if needs_context and not isinstance(context, list) else ("answer",):
        if not isinstance(values.get(name), str) or not values[name].strip():
            raise ValueError(f"has no text as its '{name}'")
    if needs_context and isinstance(context, list):
        texts = [text for text in context if isinstance(text, str) and text.strip()]
        if not texts or len(texts) < len(context):
            raise ValueError("has a list without texts, or with something else, as its 'context'")
    if not isinstance(values.get("question"), str | None):
        raise ValueError("has a 'question' that is not text")
    return values


def _batches(rows: Iterator[Row], done: dict[int, str], tally: _Tally) -> Iterator[list[Row]]:
    """The rows without a result, some at a time."""
    batch: list[Row] = []
    for row in rows:
        if row.line in done:
            tally.resumed += 1
            tally.advance(1)
            continue
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _append(results: IO[bytes], checked: Sequence[tuple[Row, CheckReport]], settings: dict[str, Any]) -> None:
    """Write results, and return once they are on the disk."""
    for row, report in checked:
        values = {
            "kind": _KIND,
            "format": _FORMAT,
            "line": row.line,
            "id": row.id,
            "fingerprint": row.fingerprint,
            "settings": settings,
            **report.to_dict(),
        }
        try:
            results.write(json.dumps(values, allow_nan=False).encode() + b"\n")
        except ValueError as error:
            raise InvalidInput(f"{report.verifier} gave line {row.line} a probability that is not finite") from error
    results.flush()
    os.fsync(results.fileno())


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
