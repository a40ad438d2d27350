"""An index on disk: immutable segments and one manifest.

    my.index/
      manifest.json              what belongs to the index; replacing it is the one commit point
      segments/<generation>/     passages.arrow and vectors.faiss, never changed once named in a manifest
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
from collections.abc import Iterator, Mapping
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
    "disk_errors",
    "new_segment",
    "read_manifest",
    "sweep",
    "sync",
    "verify_contents",
    "verify_sizes",
    "write_manifest",
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
            raise _damaged(folder / "manifest.json", "is missing") from error
        raise IndexNotFound(f"there is no index at {folder}; make one with 'halluc index build'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(folder / "manifest.json", f"cannot be read ({error})") from error
    try:
        values = json.loads(content)
        version = values["format_version"]
        if not isinstance(version, int):
            raise TypeError("format_version is not a number")
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / "manifest.json", f"is damaged ({error})") from error
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
        raise _damaged(folder / "manifest.json", f"is damaged ({error})") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the state of the index, atomically and durably."""
    values = asdict(manifest)
    partial = folder / ".manifest.partial"
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump({**values, "checksum": _manifest_checksum(values)}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / "manifest.json")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(folder)


class NewSegment:
    """A segment being written: fill `folder` within `new_segment`, take `segment` after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segment: Segment


@contextmanager
def new_segment(folder: Path, name: str, rows: int) -> Iterator[NewSegment]:
    """A folder to fill with a segment's files; at the end it is flushed and put in place, or after an error removed.

    Args:
        folder: the index.
        name: of the segment; none must have it.
        rows: in its files.
    """
    parent = folder / "segments"
    written = NewSegment(Path(tempfile.mkdtemp(prefix=".partial-", dir=parent)))
    try:
        # As readable as the index itself, where mkdtemp keeps others out.
        written.folder.chmod(parent.stat().st_mode & 0o777)
        yield written
        files = {}
        for path in sorted(written.folder.iterdir()):
            sync(path)
            files[path.name] = (path.stat().st_size, checksum(path))
        sync(written.folder)
        written.folder.rename(parent / name)
        sync(parent)
    except BaseException:
        shutil.rmtree(written.folder, ignore_errors=True)
        raise
    written.segment = Segment(name, rows, files)


def verify_sizes(folder: Path, manifest: Manifest) -> None:
    """Compare the size of every file with the manifest.

    Raises:
        IndexDamaged: one is missing, shorter or longer; the message names it.
    """
    for path, size, _ in _files(folder, manifest):
        try:
            found = path.stat().st_size
        except OSError as error:
            raise _damaged(path, "is missing" if isinstance(error, FileNotFoundError) else str(error)) from error
        if found != size:
            raise _damaged(path, f"has {found} bytes instead of {size}")


def verify_contents(folder: Path, manifest: Manifest) -> None:
    """Compare the checksum of every file with the manifest, through a fixed buffer.

    Raises:
        IndexDamaged: one is missing or changed; the message names it.
    """
    for path, _, recorded in _files(folder, manifest):
        try:
            found = checksum(path)
        except OSError as error:
            raise _damaged(path, f"cannot be read ({error.strerror})") from error
        if found != recorded:
            raise _damaged(path, "has other contents than were written")


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
    """Hold the index's lock while the block runs.

    Raises:
        IndexLocked: another process or thread is writing.
        IndexWriteFailed: the folder cannot be written to.
    """
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        with disk_errors(folder):
            lock.acquire()
    except filelock.Timeout as error:
        raise IndexLocked(f"another process is writing to {folder}; wait until it is done") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Tell a refusing disk as `IndexWriteFailed`."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise IndexWriteFailed(
            f"writing to {folder} failed ({error.strerror or error}); the index is as it was before, free some space or "
            "check the permissions and try again"
        ) from error


def _files(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, int, str]]:
    for segment in manifest.segments:
        for name, (size, recorded) in segment.files.items():
            yield folder / "segments" / segment.name / name, size, recorded


def _damaged(path: Path, fault: str) -> IndexDamaged:
    return IndexDamaged(f"{path} {fault}; restore it from a copy or build the index again")


def _manifest_checksum(values: Mapping[str, Any]) -> str:
    import xxhash

    return str(xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode()))


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
