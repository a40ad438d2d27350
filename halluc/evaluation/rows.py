"""Rows of a benchmark: from local files, from the Hugging Face hub through `datasets`, or a packaged sample of a few.

Not covered: which columns a benchmark needs (its own file).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from halluc.errors import InvalidInput, check_integer, needs_extra
from halluc.evaluation.benchmark import Benchmark, HubRows, Row
from halluc.files import read_table
from retrieval.errors import first_line
from retrieval.hub import require_hub

__all__ = ["SAMPLE", "read_benchmark_rows"]

SAMPLE = "sample"
"""Names the packaged rows; a file of that name is read as "./sample"."""

_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:#(?P<configuration>[\w.-]+))?(?::(?P<split>\w+))?")


def read_benchmark_rows(
    benchmark: Benchmark, data: Sequence[str | Path] = (), *, limit: int | None = None, seed: int = 0
) -> tuple[list[Row], list[str]]:
    """Read the rows of a benchmark.

    Args:
        benchmark: whose rows.
        data: files that `halluc.files.read_table` reads, hub ids "owner/name#configuration:split", or "sample" for the
            packaged rows; the benchmark's own hub ids by default.
        limit: number of rows to draw; all if None.
        seed: of the draw.

    Returns:
        The rows, in the order of their files, and where they came from.

    Raises:
        InvalidInput: a file cannot be read, a hub id cannot be loaded, there are no rows, or `limit` is below 1.
    """
    if limit is not None:
        check_integer("limit", limit, 1)
    sources = [_source(entry, benchmark) for entry in data] if data else _default_sources(benchmark)
    rows = [
        row
        for source in sources
        for row in (_from_hub(source, benchmark) if isinstance(source, HubRows) else read_table(source))
    ]
    names = [f"{s.id}#{s.configuration}:{s.split}" if isinstance(s, HubRows) else str(s) for s in sources]
    if not rows:
        raise InvalidInput(f"{', '.join(names)} holds no rows; pass a file with at least one")
    if limit is not None and limit < len(rows):
        drawn = sorted(random.Random(seed).sample(range(len(rows)), limit))
        rows = [rows[i] for i in drawn]
    return rows, names


def _source(entry: str | Path, benchmark: Benchmark) -> Path | HubRows:
    if entry == SAMPLE:
        return _sample(benchmark)
    path = Path(entry)
    if path.exists():
        return path
    match = _HUB_ID.fullmatch(str(entry))
    # A hub id looks like a path; a file type tells that a file was meant.
    if match is None or path.suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet"):
        raise InvalidInput(
            f"there is no file {entry}; pass a file of JSON lines, CSV, TSV or Parquet, or a hub id such as "
            "owner/name#configuration:split"
        )
    return HubRows(match["id"], match["configuration"], match["split"] or "test")


def _sample(benchmark: Benchmark) -> Path:
    path = _samples() / f"{benchmark.name}.jsonl"
    if not path.exists():
        present = ", ".join(sorted(other.stem for other in _samples().glob("*.jsonl")))
        raise InvalidInput(f"{benchmark.name} has no packaged rows, as {present} have; pass --data with a file")
    return path


def _samples() -> Path:
    return Path(__file__).with_name("samples")


def _default_sources(benchmark: Benchmark) -> Sequence[HubRows]:
    if not benchmark.hub:
        raise InvalidInput(f"{benchmark.name} has no rows of its own; pass --data with a file{_or_sample(benchmark)}")
    return benchmark.hub


def _or_sample(benchmark: Benchmark) -> str:
    """Advice to use the packaged rows, if the benchmark has some."""
    return f", or with {SAMPLE!r}" if (_samples() / f"{benchmark.name}.jsonl").exists() else ""


def _from_hub(source: HubRows, benchmark: Benchmark) -> list[Row]:
    name = f"{source.id}#{source.configuration}" if source.configuration else source.id
    with needs_extra("training"):
        import datasets
    try:
        require_hub(source.id, kind="dataset")
        loaded = datasets.load_dataset(source.id, source.configuration, split=source.split)
    # The hub, the cache and the readers of a dozen formats fail in as many ways.
    except Exception as error:
        raise InvalidInput(
            f"the split {source.split} of {name} cannot be loaded from the hub: {first_line(error)}; "
            f"pass --data with a file{_or_sample(benchmark)}"
        ) from error
    return [(f"row {number} of {name}", dict(row)) for number, row in enumerate(loaded, 1)]
