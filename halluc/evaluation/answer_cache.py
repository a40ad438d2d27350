"""A file of answers, one per line, so that a run that was killed is resumed and a repeated run costs nothing.

The name of the file is a digest of everything that the answers depend on besides what was asked: benchmark, model,
mitigation and other settings, and the version of halluc, which has the prompts. Each line is flushed when it is written; a
last line that was cut off is dropped on the next use.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from halluc import __version__
from halluc.errors import InvalidInput
from retrieval.files import parse_json_object

__all__ = ["AnswerCache", "default_cache_folder"]

AnswerT = TypeVar("AnswerT")

_KIND, _FORMAT = "benchmark-answers", 1


def default_cache_folder() -> Path:
    """The folder of all caches: `evaluations` in the folder HALLUC_HOME, else in the user's cache folder."""
    from platformdirs import user_cache_path

    home = os.environ.get("HALLUC_HOME")
    return (Path(home) if home else user_cache_path("halluc")) / "evaluations"


class AnswerCache(Generic[AnswerT]):
    """Answers by the key of what was asked.

    Args:
        folder: where the file is or will be; created if missing.
        settings: what the answers depend on, as plain JSON values.
        plain: makes plain JSON values of an answer.
        restore: makes an answer of those; raises KeyError, TypeError or ValueError if they are none.

    Raises:
        InvalidInput: the file cannot be read or written, is in use by another run, or has another format.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        plain: Callable[[AnswerT], Any],
        restore: Callable[[Any], AnswerT],
    ) -> None:
        import filelock

        self._plain, self._restore = plain, restore
        settings = {"halluc": __version__, **settings}
        encoded = json.dumps(settings, sort_keys=True)
        self.path = folder / f"{hashlib.sha256(encoded.encode()).hexdigest()[:24]}.jsonl"
        self._answers: dict[str, AnswerT] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / f".{self.path.name}.lock", timeout=0)
            self._lock.acquire()
        except filelock.Timeout as error:
            raise InvalidInput(
                f"the cache {self.path} is in use by another run; wait until it is done, or pass another --cache"
            ) from error
        except OSError as error:
            raise self._unusable(error) from error
        try:
            complete = self._read() if self.path.exists() else 0
            self._file = self.path.open("ab")
            self._file.truncate(complete)
            if not complete:
                self._write({"kind": _KIND, "format": _FORMAT, "settings": settings})
        except OSError as error:
            self._lock.release()
            raise self._unusable(error) from error
        except InvalidInput:
            self._lock.release()
            raise

    def _unusable(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"the cache {self.path} cannot be used: {error.strerror or error}; pass another --cache")

    def __enter__(self) -> AnswerCache[AnswerT]:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._lock.release()

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> AnswerT:
        return self._answers[key]

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, key: str, answer: AnswerT) -> None:
        """Store an answer; a run that is killed afterwards does not lose it."""
        self._answers[key] = answer
        self._write({"key": key, "outcome": self._plain(answer)})

    def _read(self) -> int:
        """Read all complete lines; return their size in bytes."""
        complete = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break
                try:
                    value = parse_json_object(line)
                    if number == 0:
                        self._check_header(value)
                    else:
                        self._answers[value["key"]] = self._restore(value["outcome"])
                except (ValueError, KeyError, TypeError) as error:
                    if isinstance(error, InvalidInput):
                        raise
                    raise InvalidInput(f"line {number + 1} of the cache {self.path} is damaged; delete the file") from error
                complete += len(line)
        return complete

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if header.get("kind") != _KIND or header.get("format") != _FORMAT:
            raise InvalidInput(
                f"the cache {self.path} has kind {header.get('kind')!r} and format {header.get('format')!r}; this version "
                f"reads {_KIND!r} of format {_FORMAT}; delete the file or pass another --cache"
            )

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()
