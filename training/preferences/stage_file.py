"""The data of a stage as JSON lines, written batch by batch, so that an interrupted stage resumes at the batch it was in.

    NAME.partial.jsonl     while the stage runs
    NAME.jsonl             when it is complete

Not covered: what the rows are, and folders of finished pairs (dataset.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import read_rows, write_text
from retrieval.files import flush, parse_json_object
from retrieval.progress import progress_bar

__all__ = ["build_stage", "json_lines"]


def build_stage(
    path: Path,
    rows: int,
    batch_size: int,
    make_batch: Callable[[range], list[dict[str, Any]]],
    activity: str,
) -> list[dict[str, Any]]:
    """Make the rows of a stage, except those that are on disk already.

    Args:
        path: the file of the stage, NAME.jsonl.
        rows: number of rows.
        batch_size: rows per batch.
        make_batch: from the numbers of the rows of a batch to the rows, one for each number.
        activity: shown beside the progress bar.

    Raises:
        InvalidInput: the file cannot be read or written, or a complete file has another number of rows.
    """
    if path.exists():
        done = [row for _, row in read_rows(path)]
        if len(done) != rows:
            raise InvalidInput(f"{path} has {len(done)} rows, and this run has {rows}; delete the file to make it again")
        return done
    partial = path.with_name(f"{path.stem}.partial.jsonl")
    done = _whole_batches(partial, batch_size)
    write_text(partial, json_lines(done))
    with progress_bar(activity, rows) as advance, partial.open("a", encoding="utf-8") as file:
        advance(len(done))
        for start in range(len(done), rows, batch_size):
            numbers = range(start, min(start + batch_size, rows))
            batch = make_batch(numbers)
            done += batch
            file.write(json_lines(batch))
            file.flush()
            advance(len(batch))
    flush(partial)
    partial.rename(path)
    flush(path.parent)
    # What a resumed run reads, so that both have the same numbers.
    return [row for _, row in read_rows(path)]


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _whole_batches(path: Path, batch_size: int) -> list[dict[str, Any]]:
    """The rows of the batches that were written completely."""
    done: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                row = parse_json_object(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            done.append(row)
    return done[: len(done) // batch_size * batch_size]
