"""Throughput of `halluc check --batch` in one process and on workers, and whether both write the same.

    OMP_NUM_THREADS=1 python benchmarks/workers.py [--rows 400] [--workers 2]

Prints rows per second of one process with one thread and of all workers, and the ratio per worker: 1 is perfect. The time to
start the workers, in which each loads a verifier, is measured separately. With more workers than free CPU cores the ratio
says what the machine allows; the ratio of CPU seconds per row, those of all processes of Ray included, then says what the
workers cost.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

# A script of this folder has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
from halluc.files import read_rows  # noqa: E402
from halluc.verification import load_verifier  # noqa: E402
from halluc.verification.check_file import check_rows  # noqa: E402

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = folder / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in example_rows(arguments.rows)), encoding="utf-8")
        one = timed(rows, folder / "one.jsonl", 1)
        many = timed(rows, folder / "many.jsonl", arguments.workers)
        same = results(folder / "one.jsonl") == results(folder / "many.jsonl")
    print(f"{arguments.rows} rows, {os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}")
    print(f"one process: {arguments.rows / one[0]:.2f} rows/s")
    print(f"{arguments.workers} workers: {arguments.rows / many[0]:.2f} rows/s, and {many[1]:.1f} s until the first result")
    print(f"throughput of a worker ÷ that of the process alone: {one[0] / many[0] / arguments.workers:.2f}")
    print(f"CPU seconds per row: {one[2]:.3f} alone, {many[2]:.3f} with workers; ratio {one[2] / many[2]:.2f}")
    print(f"the same labels, evidence and order: {same}")


def example_rows(count: int) -> list[dict[str, Any]]:
    """Recorded answers with the passages that their questions are about."""
    passages = {row["id"]: row["text"] for _, row in read_rows(ROOT / "examples/xquad/passages.jsonl")}
    contexts = list(passages.values())
    answers = [row for _, row in read_rows(ROOT / "examples/xquad/answers.jsonl") if row["text"].strip()]
    return [
        {"answer": row["text"], "context": contexts[number % len(contexts)], "question": row["question"]}
        for number, row in enumerate((answers * (count // len(answers) + 1))[:count])
    ]


def load() -> tuple[Any, None]:
    return load_verifier(), None


def timed(rows: Path, out: Path, workers: int) -> tuple[float, float, float]:
    """Seconds from the first batch of results to the last, scaled to all rows; seconds until the first; CPU s per row."""
    moments: list[tuple[float, float, int]] = []
    begin = time.perf_counter()

    def advance(count: int) -> None:
        moments.append((time.perf_counter(), cpu_seconds(), count))

    verifier, _ = load()
    verifier.support([("Zebras graze.", "Zebras graze.")])
    check_rows(rows, out, verifier=verifier, advance=advance, workers=workers, load=partial(load))
    total = sum(count for *_, count in moments)
    # The first batch of each worker includes its start.
    first, last = moments[workers - 1], moments[-1]
    counted = sum(count for *_, count in moments[workers:])
    return (last[0] - first[0]) / counted * total, first[0] - begin, (last[1] - first[1]) / counted


def cpu_seconds() -> float:
    """CPU time so far of this process and of those that it started."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def results(path: Path) -> list[Any]:
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        verdicts = [(v["label"], v["claim"]["text"], [exact(e) for e in v["evidence"]]) for v in row["verdicts"]]
        kept.append((row["line"], row["fingerprint"], verdicts))
    return kept


def exact(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence without its scores, which differ in the last digits by what is computed in one batch."""
    return {name: value for name, value in evidence.items() if not isinstance(value, float)}


if __name__ == "__main__":
    main()
