"""One YAML file a run: read into the dataclass of its trainer, with keys set from the command line on top."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from halluc.errors import InvalidInput

__all__ = ["load_config"]

T = TypeVar("T")


def load_config(kind: type[T], path: str | Path | None = None, settings: Sequence[str] = ()) -> T:
    """The configuration in `path`, changed by `settings` of the form "key=value" whose values are YAML.

    Raises:
        InvalidInput: the file cannot be read or is no mapping, a setting has no "=", or a key is unknown (the message names
            the nearest one) or has a value the dataclass refuses.
    """
    import yaml

    values: dict[str, Any] = {}
    try:
        if path is not None:
            read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            if read is not None and not isinstance(read, dict):
                raise InvalidInput(f"{path} holds a {type(read).__name__}; write lines of 'key: value'")
            values = read or {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise InvalidInput(f"the setting {setting!r} has no '='; write key=value")
            values[key.strip()] = yaml.safe_load(value)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the configuration {path} cannot be read: {' '.join(str(error).split())}") from error
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
            raise InvalidInput(f"{key!r} is not a setting of {kind.__name__}; {hint}")
    numbers = {f.name for f in fields(kind) if str(f.type).startswith("float")}  # type: ignore[arg-type]
    try:
        for key, value in values.items():
            # YAML 1.1 reads 1e-4 as text: its floats need a point.
            values[key] = tuple(value) if isinstance(value, list) else float(value) if key in numbers else value
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the configuration {path or ''} cannot be used: {error}") from error
