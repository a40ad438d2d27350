"""JSON files of what was learned: probes, calibrations, ensembles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput

__all__ = ["read_json", "write_json"]


def write_json(path: str | Path, data: dict[str, Any]) -> None:
    """Write aside, then rename: a reader never finds half a file.

    Raises:
        InvalidInput: the path cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(data, allow_nan=False) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error}") from error


def read_json(path: str | Path, kind: str, version: int) -> dict[str, Any]:
    """The object a file holds.

    Raises:
        InvalidInput: it cannot be read, or is not of this kind and format.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}") from error
    found = data.get("kind") if isinstance(data, dict) else type(data).__name__
    if not isinstance(data, dict) or found != kind:
        raise InvalidInput(f"{path} holds {found!r}, not {kind!r}; pass a file that was saved as that")
    if data.get("format") != version:
        raise InvalidInput(f"{path} has format {data.get('format')!r}; this version reads format {version}")
    return data
