"""An index on disk: immutable segments and one manifest.

    my.index/
      manifest.json              what belongs to the index; replacing it is the one commit point
      segments/<name>/           passages.arrow and vectors.faiss, never changed once named in a manifest
      sparse/<generation>/       BM25, derived from the passages (sparse.py)
      .lock                      held by the process that writes

A segment is written aside, flushed to the disk and renamed before the manifest that names it replaces the old one. A process
killed at any moment therefore leaves the old or the new state; what it left unnamed is swept by the next writer.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import IndexDamaged, IndexLocked, IndexNotFound, IndexVersion, IndexWriteFailed

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "Segment",
    "checksum",
    "read_manifest",
    "sweep",
    "verify",
    "write_manifest",
    "write_segment",
    "writing",
]

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Segment:
    """Rows written together.

    Attributes:
        name: folder under `segments/`.
        rows: rows in its files, deleted ones included.
        files: per file name its size in bytes and its checksum.
        deleted: rows that no longer count, ascending.
    """

    name: str
    rows: int
    files: Mapping[str, tuple[int, str]]
    deleted: tuple[int, ...] = ()

    @property
    def live(self) -> int:
        """Rows that count."""
        return self.rows - len(self.deleted)


@dataclass(frozen=True)
class Manifest:
    """One state of an index; `generation` grows by one with every change."""

    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    generation: int = 0
    segments: tuple[Segment, ...] = field(default=())
    format_version: int = FORMAT_VERSION

    @property
    def passages(self) -> int:
        """Passages in the index."""
        return sum(segment.live for segment in self.segments)


def checksum(path: Path) -> str:
    """xxh3-128 of a file, read through a fixed buffer."""
    import xxhash

    digest = xxhash.xxh3_128()
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
    return str(digest.hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The current state of the index in `folder`.

    Raises:
        IndexNotFound, IndexDamaged, IndexVersion: there is none, it cannot be read, or it is of a newer format.
    """
    try:
        content = (folder / "manifest.json").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if (folder / "segments").is_dir():
            raise IndexDamaged(f"{folder} has lost its manifest.json; restore it from a copy or build it again") from error
        raise IndexNotFound(f"there is no index at {folder}; make one with 'halluc index build'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise IndexDamaged(f"{folder / 'manifest.json'} cannot be read: {error}") from error
    try:
        values = json.loads(content)
        version = values["format_version"]
        if not isinstance(version, int):
            raise TypeError("format_version is not a number")
    except (ValueError, KeyError, TypeError) as error:
        raise IndexDamaged(
            f"{folder / 'manifest.json'} is damaged ({error}); restore it or build the index again"
        ) from error
    if version > FORMAT_VERSION:
        raise IndexVersion(
            f"{folder} has index format {version}, this halluc knows formats up to {FORMAT_VERSION}; upgrade halluc"
        )
    try:
        recorded = values.pop("checksum")
        if recorded != _manifest_checksum(values):
            raise ValueError("its checksum is wrong")
        segments = tuple(
            Segment(s["name"], s["rows"], {n: (f[0], f[1]) for n, f in s["files"].items()}, tuple(s["deleted"]))
            for s in values.pop("segments")
        )
        return Manifest(**values, segments=segments)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise IndexDamaged(
            f"{folder / 'manifest.json'} is damaged ({error}); restore it or build the index again"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the state of the index, atomically and durably."""
    values = asdict(manifest)
    partial = folder / ".manifest.partial"
    with partial.open("w", encoding="utf-8") as file:
        json.dump({**values, "checksum": _manifest_checksum(values)}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / "manifest.json")
    _sync(folder)


def write_segment(folder: Path, rows: int, write: Callable[[Path], None]) -> Segment:
    """Let `write` fill a folder, flush it, and put it in place under a new name."""
    parent = folder / "segments"
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    try:
        write(partial)
        files = {}
        for path in sorted(partial.iterdir()):
            _sync(path)
            files[path.name] = (path.stat().st_size, checksum(path))
        _sync(partial)
        name = f"{int(max((p.name for p in parent.iterdir() if p.name.isdigit()), default='0')) + 1:08d}"
        partial.rename(parent / name)
        _sync(parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Segment(name, rows, files)


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        IndexDamaged: one is missing, truncated or changed; the message names it.
    """
    for segment in manifest.segments:
        for name, (size, recorded) in segment.files.items():
            path = folder / "segments" / segment.name / name
            try:
                found = path.stat().st_size
                fault = f"has {found} bytes instead of {size}" if found != size else None
                if fault is None and checksum(path) != recorded:
                    fault = "has other contents than were written"
            except FileNotFoundError:
                fault = "is missing"
            except OSError as error:
                fault = f"cannot be read ({error.strerror})"
            if fault:
                raise IndexDamaged(f"{path} {fault}; restore it from a copy or build the index again")


def sweep(folder: Path, manifest: Manifest) -> None:
    """Remove what no manifest names: segments of killed writers, merged segments, stale BM25."""
    named = {segment.name for segment in manifest.segments}
    for path in (folder / "segments").iterdir():
        if path.name not in named:
            shutil.rmtree(path, ignore_errors=True)
    sparse = folder / "sparse"
    for path in sparse.iterdir() if sparse.is_dir() else ():
        if path.name != str(manifest.generation):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the index's lock while the block runs, and tell a refusing disk as `IndexWriteFailed`.

    Raises:
        IndexLocked: another process or thread is writing.
    """
    import filelock

    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise IndexLocked(f"another process is writing to {folder}; wait until it is done") from error
    except IndexWriteFailed:
        raise
    except OSError as error:
        if isinstance(error, IndexNotFound):
            raise
        raise IndexWriteFailed(
            f"writing to {folder} failed ({error.strerror or error}); the index is as it was before, free some space or "
            "check the permissions and try again"
        ) from error


def _damaged_manifest(folder: Path, error: Exception) -> IndexDamaged:
    return IndexDamaged(f"{folder / 'manifest.json'} is damaged ({error}); restore it or build the index again")


def _manifest_checksum(values: Mapping[str, Any]) -> str:
    import xxhash

    return str(xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode()))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
