"""A weak-to-strong run from a configuration: labeled rows in, a report on disk.

Not covered: the experiment (experiment.py) and the features (features.py).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halluc.errors import InvalidInput, check_integer, check_number
from halluc.files import read_rows, text_of, write_text
from training.rows import check_output_folder
from training.weak_to_strong.experiment import check_rows, weak_to_strong
from training.weak_to_strong.features import features_of

__all__ = ["WeakToStrongConfig", "read_labeled_rows", "run_weak_to_strong"]

_LABELS: Mapping[Any, bool] = {
    "true": True, "false": False, "1": True, "0": False,
    "supported": True, "refuted": False, "not_enough_info": False, "not_supported": False,
}  # fmt: skip


@dataclass(frozen=True)
class WeakToStrongConfig:
    """Settings of `halluc train weak-to-strong`.

    Attributes:
        rows: JSON-lines file with `label` and `statement`, or `evidence` and `claim`. A label is true or false (also 1 and
            0), or supported, refuted, not_enough_info or not_supported, of which supported is true.
        out: folder for the features and report.json; the same command reads features that are there.
        weak, strong: models whose frozen features the supervisor and the student read: "minilm", "mpnet", or a language
            model (`halluc.load_model`).
        limit: most rows, drawn at random with as many true as false ones where possible; None for all.
        confidence_weight: α of the auxiliary confidence loss, in [0, 1]; the paper takes 0.5, and 0.75 for its largest
            students.
        seeds: number of splits and initial weights.
        hidden: units of a hidden layer of each head; 0 for linear heads.
        epochs, learning_rate, weight_decay, batch_size: of the heads.
        seed: of the splits and of the drawn rows.
    """

    rows: str = ""
    out: str = ""
    weak: str = "minilm"
    strong: str = "mpnet"
    limit: int | None = None
    confidence_weight: float = 0.5
    seeds: int = 5
    hidden: int = 0
    epochs: int = 30
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in {"rows": "a file of labeled rows", "out": "a folder"}.items():
            if not getattr(self, name):
                raise InvalidInput(f"{name} is not set; name {kind}")
        for name in ("weak", "strong"):
            if getattr(self, name).lower().startswith(("http://", "https://")):
                raise InvalidInput(f"{name} is an endpoint, which gives no features; pass minilm, mpnet, or a local model")
        check_number("confidence_weight", self.confidence_weight, 0, 1)
        for name in ("seeds", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), 1)
        for name in ("hidden", "seed"):
            check_integer(name, getattr(self, name), 0)
        check_number("weight_decay", self.weight_decay, 0)
        if self.limit is not None:
            check_integer("limit", self.limit, 50)
        if not self.learning_rate > 0:
            raise InvalidInput(f"learning_rate is {self.learning_rate}; pass a number above 0")


def run_weak_to_strong(config: WeakToStrongConfig) -> dict[str, Any]:
    """Read the rows, compute the features, and run the experiment.

    Returns:
        The number of rows, seconds, the settings, and the report (`WeakToStrongReport`); written to report.json in `out`.

    Raises:
        InvalidInput: a row cannot be used (its line is named), there are too few, or `out` cannot be written.
        ModelUnavailable, RetrievalFailed: a model cannot be loaded.
    """
    start = time.perf_counter()
    check_output_folder(config.out)
    rows = _drawn(read_labeled_rows(config.rows), config.limit, config.seed)
    labels = np.array([row["label"] for row in rows], dtype=bool)
    check_rows(labels)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    names = ("hidden", "epochs", "learning_rate", "weight_decay", "batch_size")
    report = weak_to_strong(
        features_of(config.weak, rows, out),
        features_of(config.strong, rows, out),
        labels,
        seeds=config.seeds,
        confidence_weight=config.confidence_weight,
        seed=config.seed,
        **{name: getattr(config, name) for name in names},
    )
    facts = {
        "rows": len(rows),
        "seconds": round(time.perf_counter() - start, 1),
        "settings": asdict(config),
        "report": report.to_dict(),
    }
    write_text(out / "report.json", json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    return facts


def read_labeled_rows(path: str | Path) -> list[dict[str, Any]]:
    """Read rows with a label, as true or false, and a statement, or evidence and claim.

    Raises:
        InvalidInput: the file cannot be read, or a row has no text or no known label, or has other fields than the first
            row; the message names the line.
    """
    rows: list[dict[str, Any]] = []
    for where, row in read_rows(Path(path)):
        if not rows:
            fields = ("statement",) if "statement" in row else ("evidence", "claim")
            if not set(fields) <= set(row):
                found = ", ".join(row) or "none"
                raise InvalidInput(f"{where} has the fields {found}; write statement, or evidence and claim, and label")
        label = row.get("label")
        known = _LABELS.get(str(label).lower()) if isinstance(label, (str, bool, int)) else None
        if known is None:
            raise InvalidInput(
                f"{where} has the label {label!r}; write true or false, or one of {', '.join(list(_LABELS)[4:])}"
            )
        rows.append({"label": known} | {field: text_of(row, field, where) for field in fields})
    return rows


def _drawn(rows: list[dict[str, Any]], limit: int | None, seed: int) -> list[dict[str, Any]]:
    """At most `limit` rows, with equally many of both classes where possible, in random order."""
    if limit is None or limit >= len(rows):
        return rows
    shuffled = random.Random(seed).sample(rows, len(rows))
    half = limit // 2
    sides = [[row for row in shuffled if row["label"] is side] for side in (True, False)]
    taken = [side[:half] for side in sides]
    spare = [row for side in sides for row in side[half:]]
    drawn = [*taken[0], *taken[1], *spare[: limit - len(taken[0]) - len(taken[1])]]
    return random.Random(seed).sample(drawn, len(drawn))
