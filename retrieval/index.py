"""`PassageIndex`: the store whose passages are in a folder on this machine, embedded in the process.

Not covered: what every store does in the same way (store.py), the files on disk (manifest.py), writing them
(storage.py) and reading their present state (search.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from retrieval import manifest as manifests
from retrieval import storage
from retrieval.arguments import check_duplicates
from retrieval.changes import Duplicates
from retrieval.embedders import Embedder
from retrieval.errors import IndexClosed, IndexReplaced, InvalidQuery
from retrieval.origin import Origin, check_embedder, checked_embedder
from retrieval.passages import AddReport, IndexInfo, Passage, checked_passages
from retrieval.search import Snapshot, open_snapshot
from retrieval.store import PassageStore
from retrieval.vectors import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PassageIndex"]


class PassageIndex(PassageStore):
    """Passages on disk, memory-mapped, with one writer at a time and any number of readers.

    Made by `create`, `build` or `open`. A reader sees the state at which it was opened; `refresh` moves it to the present
    one. After `close`, and after the index was removed from its path, every use raises.

    Raises:
        IndexClosed: by every method after `close`.
        IndexNotFound, IndexReplaced: by every method if the index was removed, or another one was created at its path.
    """

    def __init__(self, path: Path, snapshot: Snapshot, embedder: Embedder | None) -> None:
        # Absolute, so that the index is still found after a change of the working folder.
        self.path = path.absolute()
        super().__init__(str(self.path), embedder)
        self._snapshot: Snapshot | None = snapshot
        self._id = snapshot.manifest.id
        self._stamp: tuple[int, int, int] | None = None

    @classmethod
    def create(cls, path: str | Path, *, embedder: Embedder | str | None = None, kind: Kind = "auto") -> PassageIndex:
        """Create an empty index.

        Args:
            path: a folder that does not exist yet, or is empty.
            embedder: an `Embedder`, a name for `load_embedder`, or None for the default.
            kind: "auto" chooses by size: exact search ("flat") up to 200,000 passages, a graph ("hnsw") up to two million,
                inverted lists ("ivf") above.

        Raises:
            IndexExists: there is already something at `path`.
            IndexWriteFailed: the disk refused.
        """
        folder, model, manifest = _new(path, embedder, kind)
        with storage.new_index(folder, manifest):
            pass
        return cls(folder, Snapshot(folder, manifest), model)

    @classmethod
    def build(
        cls,
        path: str | Path,
        passages: Sequence[Passage],
        *,
        embedder: Embedder | str | None = None,
        kind: Kind = "auto",
        vectors: NDArray[np.float32] | None = None,
        duplicates: Duplicates = "skip",
    ) -> tuple[PassageIndex, AddReport]:
        """Create an index of passages, which appears at `path` only once all of them are in it.

        A process that is killed meanwhile leaves nothing at `path`, so the same call can be repeated.

        Args:
            path, embedder, kind: as in `create`.
            passages, vectors, duplicates: as in `add`.

        Returns:
            The index, and what `add` reports.

        Raises:
            IndexExists: there is already something at `path`.
            EmptyCorpus, InvalidPassage, DuplicateId, IndexWriteFailed: as `add`.
        """
        passages = checked_passages(passages)
        check_duplicates(duplicates)
        folder, model, manifest = _new(path, embedder, kind)
        with storage.new_index(folder, manifest) as partial, cls(partial, Snapshot(partial, manifest), model) as unfinished:
            change, _ = unfinished._change(unfinished._state, passages, vectors, duplicates, unfinished._embed)
            state = unfinished._state
        report = AddReport(len(change.new), change.duplicates)
        return cls(folder, Snapshot(folder, state.manifest, state), model), report

    @classmethod
    def open(cls, path: str | Path, *, embedder: Embedder | str | None = None) -> PassageIndex:
        """Open an index; its vectors stay on disk until a search reads them.

        Every file is compared with its checksum, at about the reading speed of the disk.

        Args:
            path: the folder.
            embedder: None for the one the index was built with, which is loaded when first needed. An index built with an
                endpoint needs the endpoint named here: the texts, and your API key, go only where you send them.

        Raises:
            IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
            IndexMismatch: `embedder` is not the one the index was built with.
        """
        folder = _folder(path)
        model = None if embedder is None else checked_embedder(embedder)
        snapshot = open_snapshot(folder)
        if model is not None:
            check_embedder(str(folder), snapshot.manifest.origin, model)
        return cls(folder, snapshot, model)

    @classmethod
    def fill(
        cls,
        path: str | Path,
        origin: Origin,
        batches: Iterable[tuple[Sequence[Passage], NDArray[np.float32]]],
        *,
        embedder: Embedder | None = None,
    ) -> PassageIndex:
        """Create an index of passages and their vectors, which appears at `path` only once all of them are in it.

        Args:
            path: as in `create`.
            origin: the embedder that made the vectors.
            batches: passages with different ids, and their (N, d) vectors.
            embedder: the embedder of the origin, if it is loaded.

        Raises:
            IndexExists, IndexWriteFailed: as `create`.
        """
        folder = _folder(path)
        manifest = manifests.Manifest(origin.embedder, origin.fingerprint, origin.dimension, "auto")
        with storage.new_index(folder, manifest) as partial:
            snapshot = Snapshot(partial, manifest)
            for passages, vectors in batches:
                manifest = storage.commit(partial, manifest, snapshot.segments, passages, vectors, [])
                snapshot = Snapshot(partial, manifest, snapshot)
        return cls(folder, Snapshot(folder, manifest, snapshot), embedder)

    @classmethod
    def checked_location(cls, path: str | Path) -> str:
        """The path as it is."""
        return str(path)

    @classmethod
    def check_vacant(cls, path: str | Path) -> None:
        """Check that an index can be created, before any work is done for it.

        Raises:
            IndexExists: there is already something at `path`.
        """
        storage.check_vacant(_folder(path))

    # -- reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._state.manifest.passages

    @property
    def content_hash(self) -> str:
        """Hash of passages and vectors, equal for copies of an index and different after every change of its content."""
        import xxhash

        manifest = self._state.manifest
        content = [[sorted(segment.files.items()), segment.deleted] for segment in manifest.segments]
        return xxhash.xxh3_128_hexdigest(json.dumps([manifest.fingerprint, content]).encode())

    def __iter__(self) -> Iterator[Passage]:
        return self._state.passages()

    def batches(self, size: int = 1000) -> Iterator[tuple[list[Passage], NDArray[np.float32]]]:
        """Get all passages with their (N, d) vectors, at most `size` at a time."""
        return self._state.batches(size)

    def close(self) -> None:
        """Release the files. Using the index afterwards is an error, except for closing it again."""
        self._snapshot = None

    def reopen(self, *, embedder: Embedder | None = None) -> PassageIndex:
        """Open the same index once more, in its present state."""
        return PassageIndex.open(self.path, embedder=embedder)

    def refresh(self) -> None:
        """Move to the state that is on disk now."""
        state = self._state
        if manifests.read_manifest(self.path).generation != state.manifest.generation:
            snapshot = open_snapshot(self.path, known=state)
            self._check_id(snapshot.manifest)
            self._snapshot = snapshot

    def info(self) -> IndexInfo:
        """Get facts about the index."""
        m = self._state.manifest
        return IndexInfo(
            location=self.location,
            store="folder",
            passages=m.passages,
            embedder=m.embedder,
            fingerprint=m.fingerprint,
            dimension=m.dimension,
            kind=m.kind,
            generation=m.generation,
            format_version=m.format_version,
            bytes=sum(size for segment in m.segments for size, _ in segment.files.values()),
            segments=len(m.segments),
        )

    # -- private ---------------------------------------------------------------------------------------------------

    @property
    def _origin(self) -> Origin:
        return self._state.manifest.origin

    @property
    def _state(self) -> Snapshot:
        """The state to read or change, if this object may still be used."""
        snapshot = self._snapshot
        if snapshot is None:
            raise IndexClosed(f"the index {self.path} is closed; open it again with PassageIndex.open")
        stamp = manifests.manifest_stamp(self.path)
        if stamp is None or stamp != self._stamp:
            self._check_id(manifests.read_manifest(self.path))
            self._stamp = stamp
        return snapshot

    def _check_id(self, manifest: manifests.Manifest) -> None:
        if manifest.id != self._id:
            raise IndexReplaced(
                f"the index {self.path} was removed and another one created there; open that one with PassageIndex.open"
            )

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        yield self._state

    @contextmanager
    def _writing(self) -> Iterator[Snapshot]:
        # Checked before the lock, which would make a folder where the index was removed.
        _ = self._state
        with storage.writing(self.path):
            self.refresh()
            yield self._state

    def _commit(
        self, contents: Any, new: Sequence[Passage], vectors: NDArray[np.float32] | None, removed: Sequence[Any]
    ) -> Snapshot:
        manifest = storage.commit(self.path, contents.manifest, contents.segments, new, vectors, removed)
        self._snapshot = Snapshot(self.path, manifest, contents)
        return self._snapshot


def _new(path: str | Path, embedder: Embedder | str | None, kind: Kind) -> tuple[Path, Embedder, manifests.Manifest]:
    """Check the arguments of a new index, and make its first manifest."""
    folder = _folder(path)
    if kind not in get_args(Kind):
        raise InvalidQuery(f"kind is {kind!r}; pass 'auto', 'flat', 'hnsw' or 'ivf'")
    storage.check_vacant(folder)
    model = checked_embedder(embedder)
    return folder, model, manifests.Manifest(model.name, model.fingerprint, model.dimension, kind)


def _folder(path: Any) -> Path:
    if not isinstance(path, str | Path) or path == "":
        raise InvalidQuery(f"path is {path!r}; name the folder of an index")
    return Path(path)
