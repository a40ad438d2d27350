"""What recalibrators and abstention rules share: scikit-learn's parameters, and files in JSON rather than pickle.

A file holds the class name, the constructor's parameters and every learned attribute (those ending in "_"). Arrays are
lists; floats are written so that they read back bit for bit. Reading runs no code from the file: the class must be one
of those that `register` names.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator

from calibration.errors import InvalidInput, NotFitted, UnreadableFile

__all__ = ["Saved", "load", "register", "write_aside"]

_FORMAT = 1
_CLASSES: dict[str, type["Saved"]] = {}


class Saved(BaseEstimator):
    """A scikit-learn estimator that reads and writes JSON."""

    # An attribute that only `fit` sets.
    _learned: ClassVar[str]

    def check_fitted(self) -> None:
        """NotFitted unless `fit` has been called."""
        if not hasattr(self, self._learned):
            raise NotFitted(f"{type(self).__name__} has not seen data; call fit(confidence, correct) first")

    def to_dict(self) -> dict[str, Any]:
        """Class, parameters and learned attributes as plain JSON values."""
        self.check_fitted()
        learned = {name: _plain(value) for name, value in vars(self).items() if name.endswith("_")}
        parameters = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        return {"format": _FORMAT, "class": type(self).__name__, "parameters": parameters, "learned": learned}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The estimator that `to_dict` described; UnreadableFile when it is not one of this class."""
        made = _revive(data)
        if not isinstance(made, cls):
            raise UnreadableFile(f"this is a {type(made).__name__}, not a {cls.__name__}; use calibration.load")
        return made

    def save(self, path: str | Path) -> None:
        """Write JSON to `path`; what was there stays whole until the new file is."""
        write_aside(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; UnreadableFile when the file holds something else."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read: {error.strerror}; pass a file written by save") from error
        except ValueError as error:
            raise UnreadableFile(f"{path} is not JSON ({error}); pass a file written by save") from error
        return cls.from_dict(data)


def register(cls: type[Saved]) -> type[Saved]:
    """Let `load` make objects of this class; a decorator."""
    _CLASSES[cls.__name__] = cls
    return cls


def load(path: str | Path) -> Saved:
    """Whatever recalibrator or rule a file holds."""
    return Saved.load(path)


def write_aside(path: str | Path, text: str) -> None:
    """Write UTF-8 text to a file beside `path` and rename it: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as aside:
        try:
            aside.write(text)
            aside.flush()
            os.fsync(aside.fileno())
            # A temporary file is private to its maker; the one asked for has the rights any new file has.
            Path(aside.name).chmod(0o666 & ~_umask())
            Path(aside.name).replace(path)
        except BaseException:
            Path(aside.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _revive(data: object) -> Saved:
    # Every class registers itself when its module is imported.
    import calibration.abstention
    import calibration.calibrator
    import calibration.claims
    import calibration.recalibrators  # noqa: F401

    if not isinstance(data, dict) or not {"class", "parameters", "learned"} <= set(data):
        raise UnreadableFile("the data names no class, parameters and learned attributes; pass what save wrote")
    if data.get("format") != _FORMAT:
        raise UnreadableFile(f"the data has format {data.get('format')!r}; this version reads format {_FORMAT}")
    if data["class"] not in _CLASSES:
        raise UnreadableFile(f"class {data['class']!r} is unknown; known are {', '.join(sorted(_CLASSES))}")
    cls = _CLASSES[data["class"]]
    try:
        made = cls(**{name: _restored(value) for name, value in data["parameters"].items()})
    except TypeError as error:
        raise UnreadableFile(f"the parameters do not fit {data['class']}: {error}") from error
    for name, value in data["learned"].items():
        if not name.endswith("_") or name.startswith("_"):
            raise UnreadableFile(f"{name!r} is not a learned attribute; their names end in '_'")
        setattr(made, name, _restored(value))
    made.check_fitted()
    return made


def _plain(value: object) -> Any:
    if isinstance(value, Saved):
        return {"estimator": value.to_dict() if hasattr(value, value._learned) else _unfitted(value)}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist()}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {"map": [[_plain(key), _plain(held)] for key, held in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidInput(f"{value!r} cannot be written to JSON; parameters are numbers, strings, arrays and estimators")


def _unfitted(value: Saved) -> dict[str, Any]:
    parameters = {name: _plain(held) for name, held in value.get_params(deep=False).items()}
    return {"format": _FORMAT, "class": type(value).__name__, "parameters": parameters, "learned": None}


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(held) for held in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.asarray(value["array"], dtype=np.float64)
    if "float" in value:
        return float(value["float"])
    if "map" in value:
        return {_restored(key): _restored(held) for key, held in value["map"]}
    if "estimator" in value:
        inner = value["estimator"]
        if inner.get("learned") is None and inner.get("class") in _CLASSES:
            return _CLASSES[inner["class"]](**{name: _restored(held) for name, held in inner["parameters"].items()})
        return _revive(inner)
    raise UnreadableFile(f"unknown value {value!r}; pass what to_dict or save wrote")
