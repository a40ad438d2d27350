"""Read the configuration of a run: a YAML file, with settings from the command line on top, into a dataclass.

The dataclasses of TRL's trainers are among them. Values are checked and converted by the types of their fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from halluc.errors import HallucError, InvalidInput
from retrieval.errors import first_line
from retrieval.files import kind_of_value

__all__ = ["config_from", "load_config"]

T = TypeVar("T")


def load_config(kind: type[T], path: str | Path | None = None, settings: Sequence[str] = ()) -> T:
    """Read a configuration.

    Args:
        kind: the dataclass of the run.
        path: YAML file with settings; None for none.
        settings: "key=value" texts that replace settings of the file; values are YAML. A dot in the key names a setting
            inside of a setting: "reward.max_steps=20".

    Raises:
        InvalidInput: the file cannot be read or is no mapping, a setting has no "=", a key is unknown (the message names the
            most similar one), a value has the wrong type or is refused by the dataclass, or output_dir is null.
    """
    where = f"the configuration {path}" if path is not None else "the configuration"
    return config_from(kind, _read_values(path, settings), where)


def config_from(kind: type[T], settings: Mapping[str, Any], where: str) -> T:
    """Make a configuration from settings by name, with the checks of `load_config`.

    Args:
        kind: the dataclass of the run.
        settings: values by name, as YAML gives them.
        where: what holds the settings, for messages ("the configuration run.yaml").

    Raises:
        InvalidInput: as `load_config`.
    """
    known = [field.name for field in fields(kind) if field.init]  # type: ignore[arg-type]
    types = get_type_hints(kind)
    values = dict(settings)
    for key, value in values.items():
        if key not in known:
            similar = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"choose from {', '.join(known)}"
            raise InvalidInput(f"{key!r} is not a setting of {kind.__name__}; {hint}")
        if key == "output_dir" and value is None:
            # transformers would write to a folder of its own choice.
            raise InvalidInput("output_dir is empty; name a folder")
        values[key] = _converted(key, value, types[key])
    try:
        return kind(**values)
    # The dataclasses of TRL and transformers read files and look for libraries, and raise whatever those raise.
    except Exception as error:
        if isinstance(error, HallucError) and not isinstance(error, ValueError):
            raise
        advice = "" if isinstance(error, HallucError) else "; correct that setting, or leave it out"
        raise InvalidInput(f"{where} cannot be used: {first_line(error)}{advice}") from error


def _read_values(path: str | Path | None, settings: Sequence[str]) -> dict[str, Any]:
    import yaml

    values: Any = None
    try:
        if path is not None:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if values is not None and not isinstance(values, dict):
            raise InvalidInput(f"{path} holds {kind_of_value(values)}; write lines of 'key: value'")
        values = values or {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals:
                raise InvalidInput(f"the setting {setting!r} has no '='; write key=value")
            _set(values, key.strip(), yaml.safe_load(value))
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"the configuration {path} cannot be read: {reason}; name a YAML file") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidInput(f"the configuration {path} cannot be read: {' '.join(str(error).split())}") from error
    return dict(values)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a setting, or one inside of a setting if the key has dots."""
    outer, dot, inner = key.partition(".")
    if not dot:
        values[key] = value
        return
    nested = values.get(outer)
    if nested is not None and not isinstance(nested, dict):
        raise InvalidInput(
            f"the setting {key!r} is inside of {outer!r}, which is {nested!r} and holds no settings; set {outer!r}"
        )
    values[outer] = dict(nested or {})
    _set(values[outer], inner, value)


def _converted(key: str, value: Any, kind: Any) -> Any:
    """The value as its type says; 1e-4, which YAML 1.1 reads as text, becomes a number where one is wanted."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        reasons = dict.fromkeys(reason["msg"] for reason in error.errors())
        raise InvalidInput(f"{key} is {value!r}: {'; '.join(reasons)}") from error
