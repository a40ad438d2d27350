"""Reading JSON lines, and writing files and folders so that they are complete or absent.

`parse_json` is the one parser of JSON; `write_atomically` and `new_folder` are the only writers of
files and folders, with one policy: everything is flushed to the disk before the rename that makes it visible, and the parent
folder after it. Not covered: which files an index has (manifest.py).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "SummedFile",
    "check_encodable",
    "checksum",
    "flush",
    "kind_of_value",
    "lone_surrogate",
    "new_folder",
    "parse_json",
    "parse_json_object",
    "whole_characters",
    "write_atomically",
]


def parse_json_object(line: bytes | str) -> dict[str, Any]:
    """Parse one line that holds a JSON object.

    Args:
        line: the line, as text or as UTF-8 bytes.

    Returns:
        The object. Its strings can be encoded as UTF-8 and its numbers are finite.

    Raises:
        ValueError: the line holds no such object; the message continues a sentence that names the line ("is not JSON: ...").
    """
    value = parse_json(line)
    if not isinstance(value, dict):
        raise ValueError(f"is not an object but {kind_of_value(value)}")
    return value


def kind_of_value(value: Any) -> str:
    """Name the kind of a value of JSON or YAML: "a list", "text", "a number", "true or false", "an object" or "null"."""
    kinds = {str: "text", list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


def parse_json(text: bytes | str) -> Any:
    """Parse one JSON value of any type, with the guarantees and the errors of `parse_json_object`."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        # An escape such as \\ud83d passes the parser, but nothing that holds it can be written as UTF-8.
        check_encodable(value)
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("has an integer with too many digits") from error
        raise
    return value


def check_encodable(value: Any) -> None:
    """Check that every text in a value, in lists and mappings too, can be encoded as UTF-8.

    Raises:
        ValueError: a text has a lone surrogate; the message continues a sentence that names the value.
    """
    if isinstance(value, str):
        if (position := lone_surrogate(value)) is not None:
            raise ValueError(
                f"has a lone surrogate, {value[position]!r}, at character {position + 1} of a string; "
                "replace it with a whole character"
            )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_encodable(key)
            check_encodable(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_encodable(item)


def lone_surrogate(text: str) -> int | None:
    """Find the position of the first half of a surrogate pair, which UTF-8 cannot encode; None if there is none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def whole_characters(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates by U+FFFD, so that the text can be encoded as UTF-8."""
    if lone_surrogate(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def write_atomically(path: str | Path, data: str | bytes) -> None:
    """Write a file so that readers, and a crash, see either the old file or the new one.

    The data go to a temporary file in the same folder, are flushed to the disk, and the file is renamed to `path`; then the
    folder is flushed, so that the new name survives a power loss. Text is written as UTF-8.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full; `path` is as it was.
    """
    path = Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as temporary:
        try:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
            # Temporary files are private to their owner; the final file gets the permissions of any new file.
            Path(temporary.name).chmod(0o666 & ~_umask())
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
    flush(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a new folder so that readers, and a crash, see all of it or nothing.

    The block fills a temporary folder beside `path`. At its end the files are flushed to the disk and the folder is renamed;
    after an error it is removed.

    Args:
        path: the final folder, which must not exist or be empty.

    Yields:
        The temporary folder, whose name is `.NAME.partial-` and random characters. A killed process leaves it behind.

    Raises:
        OSError: the parent is missing or cannot be written, the disk is full, or there is a folder with files at `path`.
    """
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        # Temporary folders are private to their owner; the final folder gets the permissions of any new folder.
        partial.chmod(0o777 & ~_umask())
        yield partial
        for inside, _, names in os.walk(partial):
            for name in names:
                flush(Path(inside) / name)
            flush(Path(inside))
        partial.rename(path)
        flush(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SummedFile(io.BufferedWriter):
    """A new file, whose checksum is computed while it is written, so that it need not be read again."""

    def __init__(self, path: Path) -> None:
        import xxhash

        super().__init__(io.FileIO(path, "w"))
        self._digest = xxhash.xxh3_128()

    @property
    def checksum(self) -> str:
        """The value that `checksum` has for the finished file."""
        return str(self._digest.hexdigest())

    def write(self, data: Buffer) -> int:
        """Append bytes."""
        self._digest.update(data)
        return super().write(data)


def checksum(path: Path) -> str:
    """Compute the xxh3-128 of a file, read through a fixed buffer."""
    import xxhash

    digest = xxhash.xxh3_128()
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
    return str(digest.hexdigest())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON; write a number or null")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"holds the number {digits[:20]}, which is too large")
    return number


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
