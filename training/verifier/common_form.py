"""Data sets of the common form: rows with `evidence`, `claim`, `label` and `doc`.

In some of them claims are edits of a right text; what was changed is then the span that is not supported. Not covered: sets
with formats of their own (data_sets.py).
"""

from __future__ import annotations

import difflib
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from halluc.files import read_rows
from training.verifier.pairs import PairLabel, Reader, Row, changed_spans

__all__ = ["COMMON_FORM", "edits", "labeled_rows"]

COMMON_FORM: Mapping[str, Sequence[str]] = {
    "wice": ("dev",),
    "lfqa": ("sentences",),
    "expertqa": ("val",),
    "attribution_bench": ("dev",),
    "fever_nli": ("dev",),
    "feverous": ("dev",),
    "fool_me_twice": ("dev",),
    "fever_symmetric": ("dev",),
    "cg2c": ("doc",),
    "citation_integrity": ("train",),
}
"""Names of the sets and of their files, without those whose claims are edits."""

# Share of equal words from which on two claims about one document are taken for a text and its edit.
_EDIT_RATIO = 0.7


def labeled_rows(name: str, files: Sequence[str]) -> Reader:
    """Make the reader of a data set."""

    def read(folder: Path, _generator: random.Random) -> Iterator[Row]:
        for row, document in _rows(folder / name, files):
            label = _label(row)
            yield Row(row["evidence"], row["claim"], label, document, () if label == "supported" else None)

    return read


def edits(name: str, files: Sequence[str]) -> Reader:
    """Make the reader of a data set whose unsupported claims are edits of supported ones."""

    def read(folder: Path, _generator: random.Random) -> Iterator[Row]:
        rows = list(_rows(folder / name, files))
        originals = defaultdict(list)
        for row, _ in rows:
            if row["label"] == "supported":
                originals[row["doc"]].append(row["claim"].split())
        for row, document in rows:
            label = _label(row)
            if label == "supported":
                yield Row(row["evidence"], row["claim"], label, document, ())
                continue
            words = row["claim"].split()
            ratio, nearest = max(
                (
                    (difflib.SequenceMatcher(None, original, words, autojunk=False).ratio(), original)
                    for original in originals[row["doc"]]
                ),
                default=(0.0, []),
                key=lambda pair: pair[0],
            )
            spans = changed_spans(" ".join(nearest), row["claim"]) if ratio >= _EDIT_RATIO else None
            yield Row(row["evidence"], row["claim"], label, document, spans)

    return read


def _rows(folder: Path, files: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows, each with the evidence of the first row of its document, which decides the part of all of them."""
    first_evidence: dict[str, str] = {}
    for file in files:
        for _, row in read_rows(folder / f"{file}.jsonl"):
            yield row, first_evidence.setdefault(f"{file} {row['doc']}", row["evidence"])


def _label(row: Mapping[str, Any]) -> PairLabel:
    label: PairLabel = row["label"]
    if label not in get_args(PairLabel):
        raise KeyError(label)
    return label
