"""An index on disk: immutable segments and one manifest.

    my.index/
      manifest.json              what belongs to the index; replacing it is the one commit point
      segments/<generation>/     passages.arrow and vectors.faiss, never changed once a manifest names them
      sparse/<generation>/       BM25, derived from the passages (sparse.py)
      .lock                      locked by the process that writes

A segment is complete and flushed to the disk before the manifest that names it replaces the old one. A process killed at any
moment therefore leaves the old or the new state; the next writer removes what no manifest names.

An index may come from someone else: names in its manifest cannot lead out of its folder, and links in it are refused.
Not covered: the contents of segments (segment.py).
"""

from __future__ import annotations

import glob
import json
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import IndexDamaged, IndexExists, IndexLocked, IndexNotFound, IndexVersion, IndexWriteFailed
from retrieval.files import new_folder, write_atomically

__all__ = [
    "FORMAT_VERSION",
    "Manifest",
    "Segment",
    "check_vacant",
    "checksum",
    "disk_errors",
    "manifest_stamp",
    "new_index",
    "new_segment",
    "read_manifest",
    "segments_to_merge",
    "sweep",
    "verify_contents",
    "verify_sizes",
    "write_manifest",
    "writing",
]

FORMAT_VERSION = 2
SEGMENT_FILES = ("passages.arrow", "vectors.faiss")

# -- the manifest --------------------------------------------------------------------------------------------------------


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
        _check_plain(path)
        content = path.read_bytes()
    except FileNotFoundError as error:
        if (folder / "segments").is_dir():
            raise _damaged(path, "is missing") from error
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
        if sorted(segment.files) != sorted(SEGMENT_FILES):
            raise ValueError(f"segment {segment.name} has other files than {' and '.join(SEGMENT_FILES)}")
        numbers += [segment.rows, *segment.deleted, *(size for size, _ in segment.files.values())]
        texts += [recorded for _, recorded in segment.files.values()]
        if list(segment.deleted) != sorted({row for row in segment.deleted if row < segment.rows}):
            raise ValueError(f"segment {segment.name} has a wrong list of deleted rows")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a number is not a whole number of at least 0")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name is not a text")


_SEGMENT_NAME = re.compile(r"[0-9]{8,20}")


def _check_parts(folder: Path, manifest: Manifest) -> None:
    segments = folder / "segments"
    paths = [segments, folder / "sparse", folder / "sparse" / str(manifest.generation)]
    paths += [segments / segment.name for segment in manifest.segments]
    for path in paths + [path for path, _, _ in _files(folder, manifest)]:
        _check_plain(path)


def _check_plain(path: Path) -> None:
    """Refuse a link, through which reading or removing would reach outside the index, and a pipe, which would hang."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _damaged(path, "is neither a regular file nor a folder")


def _manifest_checksum(values: Mapping[str, Any]) -> str:
    import xxhash

    return str(xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode()))


# -- checking files ------------------------------------------------------------------------------------------------------


def checksum(path: Path) -> str:
    """Compute the xxh3-128 of a file, read through a fixed buffer."""
    import xxhash

    digest = xxhash.xxh3_128()
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
    return str(digest.hexdigest())


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


def _files(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, int, str]]:
    for segment in manifest.segments:
        for name, (size, recorded) in segment.files.items():
            yield folder / "segments" / segment.name / name, size, recorded


def _damaged(path: Path, fault: str) -> IndexDamaged:
    return IndexDamaged(f"{path} {fault}; restore it from a copy or build the index again")


# -- writing -------------------------------------------------------------------------------------------------------------


def check_vacant(folder: Path) -> None:
    """Check that an index can be created in `folder`, before any work is done for it.

    Raises:
        IndexExists: there is something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise IndexExists(f"{folder} already exists; open it, or choose another path")


@contextmanager
def new_index(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """Fill a new index beside `folder`; it appears there at the end of the block, or not at all.

    What a killed process left of an earlier attempt is removed first. The new index is locked while the block runs, so
    that another attempt does not take it for one of those.

    Yields:
        The temporary folder, with an empty index in it.

    Raises:
        IndexExists: there is something in `folder`, or another process created it meanwhile.
        IndexWriteFailed: the disk refused.
    """
    check_vacant(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        with ExitStack() as locks, new_folder(folder) as partial:
            # Unlocked only after the folder has its final name.
            locks.enter_context(writing(partial))
            (partial / "segments").mkdir()
            write_manifest(partial, manifest)
            yield partial
    except IndexWriteFailed as error:
        raise IndexWriteFailed(f"{folder} cannot be created: {_reason(error.__cause__ or error)}") from error
    except OSError as error:
        check_vacant(folder)
        raise IndexWriteFailed(f"{folder} cannot be created: {_reason(error)}") from error


@contextmanager
def new_segment(folder: Path, name: str, rows: int) -> Iterator[NewSegment]:
    """Fill a new segment; it is put in place at the end of the block, or removed after an error.

    Args:
        folder: the index.
        name: of the segment; none must have it.
        rows: number of rows in its files.

    Yields:
        The segment: the block fills its `folder`, and takes `segment` afterwards.
    """
    path = folder / "segments" / name
    with new_folder(path) as partial:
        written = NewSegment(partial)
        yield written
        files = {file.name: (file.stat().st_size, checksum(file)) for file in sorted(partial.iterdir())}
    written.segment = Segment(name, rows, files)


class NewSegment:
    """A segment that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segment: Segment


def segments_to_merge(rows: Sequence[int], live: Sequence[int], added: int) -> list[int]:
    """Choose the segments that go into the segment now written, so that segments stay few and hold few deleted rows.

    Merged is every segment of which more than a quarter is deleted, and, from the last backwards, each with at most twice as
    many passages as go into the new segment so far. Sizes then fall by more than half from segment to segment: their number
    is logarithmic in the number of passages, and so is how often a passage is written again.

    Args:
        rows: number of rows of each segment, deleted ones included.
        live: number of rows of each segment that count.
        added: number of new passages.

    Returns:
        Positions of the segments, ascending.
    """
    merged = {number for number in range(len(rows)) if 4 * live[number] < 3 * rows[number]}
    total = added + sum(live[number] for number in merged)
    # With nothing to write there is nothing to merge into.
    for number in reversed(range(len(rows))) if total else ():
        if number in merged:
            continue
        if live[number] > 2 * total:
            break
        merged.add(number)
        total += live[number]
    return sorted(merged)


def sweep(folder: Path, manifest: Manifest) -> None:
    """Remove what no manifest names: segments of killed writers, merged segments, stale BM25."""
    named = {"segments": {segment.name for segment in manifest.segments}, "sparse": {str(manifest.generation)}}
    for part, names in named.items():
        path = folder / part
        _check_plain(path)
        for entry in path.iterdir() if path.is_dir() else ():
            # rmtree refuses links, so nothing outside the index is reached.
            if entry.name not in names:
                shutil.rmtree(entry, ignore_errors=True)


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
    """Raise the errors of a refusing disk as `IndexWriteFailed`."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise IndexWriteFailed(
            f"writing to {folder} failed ({_reason(error)}); the index is unchanged, free some space or check the "
            "permissions and try again"
        ) from error


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of killed processes that were to become `folder`; one that is still written is locked."""
    for partial in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
        if partial.is_symlink() or not (partial / "segments").is_dir():
            continue
        try:
            with writing(partial):
                shutil.rmtree(partial, ignore_errors=True)
        except (IndexLocked, IndexWriteFailed):
            continue


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
