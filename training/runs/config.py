"""Read the configuration of a run: a YAML file, with settings from the command line on top, into a dataclass.

The dataclasses of TRL's trainers are among them. Values are checked and converted by the types of their fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from halluc.errors import InvalidInput

__all__ = ["load_config"]

T = TypeVar("T")


def load_config(kind: type[T], path: str | Path | None = None, settings: Sequence[str] = ()) -> T:
    """Read a configuration.

    Args:
        kind: the dataclass of the run.
        path: YAML file with settings; None for none.
        settings: "key=value" texts that replace settings of the file; values are YAML.

    Raises:
        InvalidInput: the file cannot be read or is no mapping, a setting has no "=", a key is unknown (the message names the
            most similar one), or a value has the wrong type or is refused by the dataclass.
    """
    values = _read_values(path, settings)
    known = [field.name for field in fields(kind) if field.init]  # type: ignore[arg-type]
    types = get_type_hints(kind)
    for key, value in values.items():
        if key not in known:
            similar = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"choose from {', '.join(known)}"
            raise InvalidInput(f"{key!r} is not a setting of {kind.__name__}; {hint}")
        values[key] = _converted(key, value, types[key])
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        where = f"the configuration {path}" if path is not None else "the configuration"
        raise InvalidInput(f"{where} cannot be used: {error}") from error


def _read_values(path: str | Path | None, settings: Sequence[str]) -> dict[str, Any]:
    import yaml

    values: Any = None
    try:
        if path is not None:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if values is not None and not isinstance(values, dict):
            raise InvalidInput(f"{path} holds a {type(values).__name__}; write lines of 'key: value'")
        values = values or {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise InvalidInput(f"the setting {setting!r} has no '='; write key=value")
            values[key.strip()] = yaml.safe_load(value)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the configuration {path} cannot be read: {' '.join(str(error).split())}") from error
    return dict(values)


def _converted(key: str, value: Any, kind: Any) -> Any:
    """The value as its type says; 1e-4, which YAML 1.1 reads as text, becomes a number where one is wanted."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        reasons = dict.fromkeys(reason["msg"] for reason in error.errors())
        raise InvalidInput(f"{key} is {value!r}: {'; '.join(reasons)}") from error
