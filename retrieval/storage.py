"""Writing an index: the lock, new segments, the merging of old ones, and commits.

A segment is complete and flushed to the disk before the manifest that names it replaces the old one. A process killed at any
moment therefore leaves the old or the new state; the next writer removes what no manifest names.
Not covered: the layout of an index (manifest.py) and the contents of segments (segment.py).
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import IndexExists, IndexLocked, IndexWriteFailed
from retrieval.files import new_folder
from retrieval.manifest import Manifest, Segment, check_plain, write_manifest
from retrieval.passages import Passage
from retrieval.segment import OpenSegment, Place, write_files
from retrieval.vectors import choose_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_vacant", "commit", "new_index", "segments_to_merge", "writing"]


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
def writing(folder: Path) -> Iterator[None]:
    """Hold the index's lock while the block runs.

    Raises:
        IndexLocked: another process or thread is writing.
        IndexWriteFailed: the folder cannot be written to.
    """
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        with _disk_errors(folder):
            lock.acquire()
    except filelock.Timeout as error:
        raise IndexLocked(f"another process is writing to {folder}; wait until it is done") from error
    try:
        yield
    finally:
        lock.release()


def commit(
    folder: Path,
    manifest: Manifest,
    opened: Sequence[OpenSegment],
    new: Sequence[Passage],
    vectors: NDArray[np.float32] | None,
    removed: Sequence[Place],
) -> Manifest:
    """Write one new state: without the removed rows, and with the new rows and those of merged segments in one segment.

    Args:
        folder: the index, whose lock is held.
        manifest: the present state.
        opened: its segments.
        new: N passages to add.
        vectors: (N, d) unit vectors of the new passages; None if there are none.
        removed: where the passages to remove are.

    Returns:
        The new state, which is on the disk.

    Raises:
        IndexWriteFailed: the disk refused; the present state stays.
    """
    import numpy as np

    removed_rows: dict[int, set[int]] = {}
    for number, row in removed:
        removed_rows.setdefault(number, set()).add(row)
    kept = [
        replace(segment, deleted=tuple(sorted({*segment.deleted, *removed_rows.get(number, ())})))
        for number, segment in enumerate(manifest.segments)
    ]
    merged = segments_to_merge([segment.rows for segment in kept], [segment.live for segment in kept], len(new))
    passages: list[Passage] = []
    parts: list[NDArray[np.float32]] = []
    for number in merged:
        rows = np.setdiff1d(np.arange(kept[number].rows), kept[number].deleted)
        passages += opened[number].passages(rows)
        parts.append(opened[number].vectors(rows))
    passages += new
    parts += [] if vectors is None else [vectors]
    segments = tuple(segment for number, segment in enumerate(kept) if number not in merged)
    generation = manifest.generation + 1
    with _disk_errors(folder):
        # Sweep leftovers of a killed writer first: they may use the name of this generation.
        _sweep(folder, manifest)
        if passages:
            matrix = parts[0] if len(parts) == 1 else np.concatenate(parts)
            segments += (_write_segment(folder, f"{generation:08d}", passages, matrix, manifest.kind),)
        manifest = replace(manifest, generation=generation, segments=segments)
        write_manifest(folder, manifest)
    _sweep(folder, manifest)
    return manifest


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


def _write_segment(folder: Path, name: str, passages: Sequence[Passage], vectors: NDArray[np.float32], kind: str) -> Segment:
    """Write a new segment and put it in place once it is complete; the name must be new."""
    path = folder / "segments" / name
    with new_folder(path) as partial:
        files = write_files(partial, passages, vectors, choose_kind(len(passages), kind))
    return Segment(name, len(passages), files)


def _sweep(folder: Path, manifest: Manifest) -> None:
    """Remove what no manifest names: segments of killed writers, merged segments, stale BM25."""
    named = {"segments": {segment.name for segment in manifest.segments}, "sparse": {str(manifest.generation)}}
    for part, names in named.items():
        path = folder / part
        check_plain(path)
        for entry in path.iterdir() if path.is_dir() else ():
            # rmtree refuses links, so nothing outside the index is reached.
            if entry.name not in names:
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
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
