"""The result of a benchmark run: its figures, its rows, and reading and writing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Benchmark, Scores
from halluc.evaluation.figures import Curve, Difference, Measured, difference
from halluc.files import read_json, write_json
from retrieval.records import Record

__all__ = ["EvaluationRun", "ItemResult", "SkippedItem", "check_comparable", "compare_runs"]

KIND, FORMAT = "evaluation-run", 2


@dataclass(frozen=True)
class ItemResult(Record):
    """One item of a run.

    Attributes:
        key: digest of the item without its mitigation, by which runs are paired.
        question: what was asked.
        reply: what the model replied; for a likelihood benchmark, the answer of the highest log-probability.
        scores: what the figures are computed from.
    """

    key: str
    question: str
    reply: str
    scores: Scores


@dataclass(frozen=True)
class SkippedItem(Record):
    """An item that no figure counts, since it is longer than the context window of the model or of the judge.

    Attributes:
        where: the place of its row, such as "line 3 of rows.jsonl".
        question: what would have been asked.
        reason: how long it is, and how long the window.
    """

    where: str
    question: str
    reason: str


@dataclass(frozen=True)
class EvaluationRun(Record):
    """A benchmark run.

    Attributes:
        benchmark, model, mitigation: what was evaluated.
        judge: the name of the judge of harm; empty without one.
        data: where the rows came from.
        settings: everything else that the outcomes depend on.
        figures: with 95 % intervals.
        rows: one per item that was scored.
        skipped: the items that were too long, which no figure counts.
        curve: if the benchmark has one.
        note: what a reader of the figures must know.
        seconds: wall time.
        cached: how many outcomes came from the cache.
    """

    benchmark: str
    model: str
    mitigation: str
    judge: str
    data: tuple[str, ...]
    settings: Mapping[str, Any]
    figures: tuple[Measured, ...]
    rows: tuple[ItemResult, ...]
    skipped: tuple[SkippedItem, ...]
    curve: Curve | None
    note: str
    seconds: float
    cached: int

    def save(self, path: str | Path) -> None:
        """Write the run as JSON, to be read by `load` and compared.

        Raises:
            InvalidInput: the path cannot be written.
        """
        write_json(path, {"kind": KIND, "format": FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> EvaluationRun:
        """Read a saved run.

        Raises:
            InvalidInput: the file cannot be read, is not a run, or has another format.
        """
        data = read_json(path, KIND, FORMAT)
        try:
            values = {field.name: data[field.name] for field in fields(cls)}
            values["figures"] = tuple(Measured(**figure) for figure in data["figures"])
            values["rows"] = tuple(ItemResult(**row) for row in data["rows"])
            values["skipped"] = tuple(SkippedItem(**item) for item in data["skipped"])
            values["curve"] = None if data["curve"] is None else Curve(**data["curve"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"{path} is damaged: {error}; run the benchmark again") from error


def check_comparable(before: EvaluationRun, benchmark: str, keys: Iterable[str]) -> None:
    """Check that an earlier run can be compared with one of a benchmark on items with the given keys.

    Raises:
        InvalidInput: it is of another benchmark, or shares no item.
    """
    if before.benchmark != benchmark:
        raise InvalidInput(f"the earlier run is of {before.benchmark}, not of {benchmark}; pass a run of the same benchmark")
    if not {row.key for row in before.rows} & set(keys):
        raise InvalidInput("the two runs share no item; run both on the same rows")


def compare_runs(benchmark: Benchmark, before: EvaluationRun, after: EvaluationRun) -> list[Difference]:
    """Compute how every figure changed, on the items that both runs have.

    Raises:
        InvalidInput: the runs are of different benchmarks, or share no item.
    """
    check_comparable(before, after.benchmark, [row.key for row in after.rows])
    earlier = _by_occurrence(before.rows)
    pairs = [(earlier[key].scores, row.scores) for key, row in _by_occurrence(after.rows).items() if key in earlier]
    old = {figure.name: figure for figure in benchmark.figures([scores for scores, _ in pairs])}
    new = benchmark.figures([scores for _, scores in pairs])
    return [difference(old[figure.name], figure, len(pairs)) for figure in new if figure.name in old]


def _by_occurrence(rows: Sequence[ItemResult]) -> dict[tuple[str, int], ItemResult]:
    """Rows by key and by how often the key came before, since a file may repeat a row."""
    seen: Counter[str] = Counter()
    numbered = {}
    for row in rows:
        numbered[row.key, seen[row.key]] = row
        seen[row.key] += 1
    return numbered
