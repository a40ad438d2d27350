"""Estimators that are saved as JSON: scikit-learn's parameters, and no pickle.

A file holds the class name, the constructor's parameters and every learned attribute (their names end in "_"). Arrays are
lists; floats are written so that they read back bit for bit. Reading runs no code from the file: the class must be a public
estimator of `calibration`, and everything learned must have the type that the class declares.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from calibration.errors import CalibrationError, InvalidInput, UnreadableFile

__all__ = ["JsonEstimator", "NotFitted", "load", "write_atomically"]

_FORMAT = 1
# What a damaged file may raise while it is taken apart.
_DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class NotFitted(CalibrationError, NotFittedError):
    """`fit` has not been called."""


class JsonEstimator(BaseEstimator):
    """A scikit-learn estimator that reads and writes JSON.

    Subclasses declare what `fit` learns as annotated attributes whose names end in "_".
    """

    def check_fitted(self) -> None:
        """Check that `fit` has been called.

        Raises:
            NotFitted: it has not.
        """
        if not any(_is_learned(name) for name in vars(self)):
            raise NotFitted(f"{type(self).__name__} has not seen data; call fit first")

    def to_dict(self) -> dict[str, Any]:
        """Class, parameters and learned attributes as plain JSON values.

        Raises:
            NotFitted: `fit` has not been called.
        """
        self.check_fitted()
        learned = {name: _to_json(value) for name, value in vars(self).items() if _is_learned(name)}
        return {**_unfitted(self), "learned": learned}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the estimator that `to_dict` described.

        Raises:
            UnreadableFile: the data describe no estimator, or one of another class.
        """
        try:
            estimator = _restored_estimator(data)
        except UnreadableFile:
            raise
        except _DAMAGE as error:
            raise UnreadableFile(f"the data are damaged ({error}); pass what save wrote") from error
        if not isinstance(estimator, cls):
            raise UnreadableFile(f"this is a {type(estimator).__name__}, not a {cls.__name__}; use calibration.load")
        return estimator

    def save(self, path: str | Path) -> None:
        """Write JSON to `path`, atomically: a file that was there stays whole until the new one is complete.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the file cannot be written.
        """
        write_atomically(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            UnreadableFile: the file cannot be read, or holds something else.
            InvalidInput: `path` is no path.
        """
        path = _checked_path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}; pass a file written by save") from error
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{path} is not JSON ({error}); pass a file written by save") from error
        try:
            return cls.from_dict(data)
        except UnreadableFile as error:
            raise UnreadableFile(f"{path} cannot be used: {error}") from error

    def _check_restored(self) -> None:
        """Use what was read from a file, so that parts that do not fit together raise here and not later."""


def load(path: str | Path) -> JsonEstimator:
    """Read whichever recalibrator or rule a file holds.

    Raises:
        UnreadableFile: the file cannot be read, or holds something else.
    """
    return JsonEstimator.load(path)


def write_atomically(path: str | Path, text: str) -> None:
    """Write a UTF-8 file so that readers, and a crash, leave either the old file or the new one.

    The text goes to a temporary file in the same folder, is flushed to the disk, and is renamed to `path`; then the folder
    is flushed, so that the new name survives a power loss. `retrieval.files` does the same; neither package imports the
    other.

    Raises:
        InvalidInput: the folder is missing or cannot be written to, or the disk is full; `path` is unchanged.
    """
    path = _checked_path(path)
    try:
        _replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}; name another file") from error


def _checked_path(path: str | Path) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise InvalidInput(f"path is {path!r}; pass a string or a Path") from error


def _replace_file(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as temporary:
        try:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
            # Temporary files are private to their owner; this one gets the permissions of any new file.
            Path(temporary.name).chmod(0o666 & ~_umask())
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _unfitted(estimator: JsonEstimator) -> dict[str, Any]:
    parameters = {name: _to_json(value) for name, value in estimator.get_params(deep=False).items()}
    return {"format": _FORMAT, "class": type(estimator).__name__, "parameters": parameters, "learned": None}


def _to_json(value: object) -> Any:
    if isinstance(value, JsonEstimator):
        fitted = any(_is_learned(name) for name in vars(value))
        return {"estimator": value.to_dict() if fitted else _unfitted(value)}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        return _to_json(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        # Pairs, because the keys of a JSON object are always strings.
        return {"map": [[_to_json(key), _to_json(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidInput(f"{value!r} cannot be written to JSON; parameters are numbers, strings, arrays and estimators")


def _restored_estimator(data: object, *, fitted: bool = True) -> JsonEstimator:
    if not isinstance(data, dict) or not {"class", "parameters", "learned"} <= set(data):
        raise UnreadableFile("the data have no class, parameters and learned attributes; pass what save wrote")
    if data.get("format") != _FORMAT:
        raise UnreadableFile(f"the data have format {data.get('format')!r}; this version reads format {_FORMAT}")
    cls = _class_named(data["class"])
    try:
        estimator = cls(**{name: _restored(value) for name, value in data["parameters"].items()})
    except TypeError as error:
        raise UnreadableFile(f"the parameters do not fit {cls.__name__}: {error}") from error
    parameter_types = get_type_hints(cls.__init__)
    for name, value in estimator.get_params(deep=False).items():
        _check_type(name, value, parameter_types.get(name, object))
    if not fitted:
        return estimator
    learned = {name: _restored(value) for name, value in data["learned"].items()}
    learned_types = {name: hint for name, hint in get_type_hints(cls).items() if _is_learned(name)}
    if learned.keys() != learned_types.keys():
        raise UnreadableFile(
            f"a {cls.__name__} has learned {', '.join(learned_types)}, but the data have {', '.join(learned) or 'nothing'}"
        )
    for name, value in learned.items():
        _check_type(name, value, learned_types[name])
        setattr(estimator, name, value)
    estimator._check_restored()
    return estimator


def _class_named(name: object) -> type[JsonEstimator]:
    import calibration

    # The lazy exports of the package are the table from name to module: only their classes can be made.
    exported = getattr(calibration, name, None) if isinstance(name, str) else None
    if isinstance(exported, type) and issubclass(exported, JsonEstimator):
        return exported
    raise UnreadableFile(f"class {name!r} is unknown; pass what save wrote, with the version of halluc that wrote it")


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.asarray(value["array"], dtype=np.float64)
    if "float" in value:
        return float(value["float"])
    if "map" in value:
        return {_restored(key): _restored(item) for key, item in value["map"]}
    if "estimator" in value:
        return _restored_estimator(value["estimator"], fitted=value["estimator"].get("learned") is not None)
    raise UnreadableFile(f"the value {value!r} is unknown; pass what to_dict or save wrote")


def _check_type(name: str, value: object, hint: Any) -> None:
    if not _has_type(value, hint):
        raise UnreadableFile(f"{name} is {str(value)[:40]!r}, which is of the wrong type; pass what save wrote")


def _has_type(value: object, hint: Any) -> bool:
    """Whether a value is of an annotated type; True for annotations that have no run-time meaning."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_has_type(value, option) for option in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (list, Sequence):
        return isinstance(value, list) and all(_has_type(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _has_type(key, arguments[0]) and _has_type(item, arguments[1]) for key, item in value.items()
        )
    if origin is np.ndarray:
        return isinstance(value, np.ndarray)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True
