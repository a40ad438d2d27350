"""What belongs to an index: its manifest, and whether the files it names are the ones that were written.

    my.index/
      manifest.json              what belongs to the index; replacing it is the one commit point
      segments/<generation>/     passages.arrow and vectors.faiss, never changed once a manifest names them
      sparse/<generation>/       BM25, derived from the passages (sparse.py)
      .lock                      locked by the process that writes

An index may come from someone else: names in its manifest cannot lead out of its folder, and links and pipes in it are
refused. Not covered: writing (storage.py) and the contents of segments (segment.py).
"""

from __future__ import annotations

import json
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import IndexDamaged, IndexNotFound, IndexVersion
from retrieval.files import checksum, write_atomically
from retrieval.origin import Origin

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "Segment",
    "check_plain",
    "manifest_stamp",
    "read_manifest",
    "verify_contents",
    "verify_sizes",
    "write_manifest",
]

FORMAT_VERSION = 2
_SEGMENT_FILES = ("passages.arrow", "vectors.faiss")
_SEGMENT_NAME = re.compile(r"[0-9]{8,20}")


@dataclass(frozen=True)
class Segment:
    """Rows that were written together.

    Attributes:
        name: folder under `segments/`, the generation that wrote it in at least eight digits.
        rows: number of rows in its files, deleted ones included.
        files: size in bytes and checksum of each of its files.
        deleted: rows that no longer count, ascending.
    """

    name: str
    rows: int
    files: Mapping[str, tuple[int, str]]
    deleted: tuple[int, ...] = ()

    @property
    def live(self) -> int:
        """Number of rows that count."""
        return self.rows - len(self.deleted)


@dataclass(frozen=True)
class Manifest:
    """One state of an index.

    Attributes:
        embedder, fingerprint, dimension: the embedder that made the vectors.
        kind: kind of vector index, "auto", "flat", "hnsw" or "ivf".
        id: random and never used again, so that an index that was removed and created again is another one.
        generation: grows by one with every change.
        segments: where the passages are.
        format_version: version of this layout.
    """

    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    generation: int = 0
    segments: tuple[Segment, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def origin(self) -> Origin:
        """The embedder that made the vectors."""
        return Origin(self.embedder, self.fingerprint, self.dimension)

    @property
    def passages(self) -> int:
        """Number of passages in the index."""
        return sum(segment.live for segment in self.segments)


def read_manifest(folder: Path) -> Manifest:
    """Read the present state of the index in `folder`.

    Raises:
        IndexNotFound: there is no index.
        IndexVersion: it has another format.
        IndexDamaged: its manifest cannot be read, names what cannot be a part of an index, or a part is a link.
    """
    path = folder / "manifest.json"
    try:
        check_plain(path)
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / "segments").is_dir():
            raise _damaged(path, "is missing") from error
        if folder.is_file():
            raise IndexNotFound(
                f"{folder} is a file, and an index is a folder; build one with 'halluc index build'"
            ) from error
        raise IndexNotFound(f"there is no index at {folder}; build one with 'halluc index build'") from error
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror or error})") from error
    try:
        values = json.loads(content)
        version = values["format_version"]
        if not isinstance(version, int):
            raise TypeError("format_version is not a number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"is damaged ({error})") from error
    if version != FORMAT_VERSION:
        remedy = "upgrade halluc" if version > FORMAT_VERSION else "build the index again"
        raise IndexVersion(f"{folder} has index format {version}, but this halluc reads format {FORMAT_VERSION}; {remedy}")
    try:
        recorded = values.pop("checksum")
        if recorded != _manifest_checksum(values):
            raise ValueError("its checksum is wrong")
        manifest = Manifest(**values | {"segments": tuple(_segment(entry) for entry in values["segments"])})
        _check_values(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _damaged(path, f"is damaged ({error})") from error
    _check_parts(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the state of the index, atomically and durably."""
    values = asdict(manifest)
    write_atomically(folder / "manifest.json", json.dumps({**values, "checksum": _manifest_checksum(values)}))


def manifest_stamp(folder: Path) -> tuple[int, int, int] | None:
    """Identify the manifest file without reading it: another manifest has another stamp. None if there is no file."""
    try:
        status = (folder / "manifest.json").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def verify_sizes(folder: Path, manifest: Manifest) -> None:
    """Compare the size of every file with the manifest.

    Raises:
        IndexDamaged: a file is missing, shorter or longer; the message names it.
    """
    for path, size, _ in _files(folder, manifest):
        try:
            present = path.stat().st_size
        except OSError as error:
            raise _damaged(path, "is missing" if isinstance(error, FileNotFoundError) else str(error)) from error
        if present != size:
            raise _damaged(path, f"has {present} bytes instead of {size}")


def verify_contents(folder: Path, segments: Sequence[Segment]) -> None:
    """Compare the checksum of every file of some segments with the manifest, through a fixed buffer.

    Raises:
        IndexDamaged: a file is missing or changed; the message names it.
    """
    for segment in segments:
        for name, (_, recorded) in segment.files.items():
            path = folder / "segments" / segment.name / name
            try:
                present = checksum(path)
            except OSError as error:
                raise _damaged(path, f"cannot be read ({error.strerror})") from error
            if present != recorded:
                raise _damaged(path, "has other contents than were written")


def check_plain(path: Path) -> None:
    """Refuse a link, through which reading or removing would reach outside the index, and a pipe, which would hang."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _damaged(path, "is neither a regular file nor a folder")


def _segment(entry: Mapping[str, Any]) -> Segment:
    files = {name: (size, recorded) for name, (size, recorded) in entry["files"].items()}
    return Segment(entry["name"], entry["rows"], files, tuple(entry["deleted"]))


def _check_values(manifest: Manifest) -> None:
    """Check that a manifest can be one of ours: paths are made of its names, and rows are looked up by its numbers."""
    numbers = [manifest.dimension, manifest.generation]
    texts = [manifest.embedder, manifest.fingerprint, manifest.kind, manifest.id]
    for segment in manifest.segments:
        if not _SEGMENT_NAME.fullmatch(segment.name):
            raise ValueError(f"{segment.name!r} is not the name of a segment")
        if sorted(segment.files) != sorted(_SEGMENT_FILES):
            raise ValueError(f"segment {segment.name} has other files than {' and '.join(_SEGMENT_FILES)}")
        numbers += [segment.rows, *segment.deleted, *(size for size, _ in segment.files.values())]
        texts += [recorded for _, recorded in segment.files.values()]
        if list(segment.deleted) != sorted({row for row in segment.deleted if row < segment.rows}):
            raise ValueError(f"segment {segment.name} has a wrong list of deleted rows")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a number is not a whole number of at least 0")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name is not a text")


def _check_parts(folder: Path, manifest: Manifest) -> None:
    segments = folder / "segments"
    paths = [segments, folder / "sparse", folder / "sparse" / str(manifest.generation)]
    paths += [segments / segment.name for segment in manifest.segments]
    for path in paths + [path for path, _, _ in _files(folder, manifest)]:
        check_plain(path)


def _manifest_checksum(values: Mapping[str, Any]) -> str:
    import xxhash

    return str(xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode()))


def _files(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, int, str]]:
    for segment in manifest.segments:
        for name, (size, recorded) in segment.files.items():
            yield folder / "segments" / segment.name / name, size, recorded


def _damaged(path: Path, fault: str) -> IndexDamaged:
    return IndexDamaged(f"{path} {fault}; restore it from a copy or build the index again")
