"""`PassageIndex`: passages that can be searched by meaning, by words and by both.

Not here: how it lies on disk (storage.py), which segments a write merges (merging.py), searching them (snapshot.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from retrieval import storage
from retrieval.embedders import Embedder, load_embedder
from retrieval.errors import (
    DuplicateId,
    IndexExists,
    IndexMismatch,
    IndexWriteFailed,
    InvalidQuery,
    UnknownId,
)
from retrieval.merging import segments_to_merge
from retrieval.passages import Hit, Passage, checked_passages
from retrieval.search import Found, Place, Snapshot, open_snapshot
from retrieval.segment import Filter, write_files
from retrieval.vectors import KINDS, Kind, checked_vectors, choose_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AddReport", "IndexInfo", "Mode", "PassageIndex"]

Mode = Literal["dense", "sparse", "hybrid"]


@dataclass(frozen=True)
class AddReport:
    """What `add` did: how many passages went in, and which were left out as (their id, id of the one with that text)."""

    added: int
    duplicates: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class IndexInfo:
    """Facts about an index."""

    path: str
    passages: int
    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    segments: int
    generation: int
    format_version: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class PassageIndex:
    """Passages on disk, memory-mapped, with one writer at a time and any number of readers.

    Made by `create` or `open`. A reader sees the state at which it was opened; `refresh` moves it to the present one.
    """

    def __init__(self, path: Path, state: Snapshot, embedder: Embedder | None) -> None:
        self.path = path
        self._embedder = embedder
        self._state = state

    @classmethod
    def create(cls, path: str | Path, *, embedder: Embedder | str | None = None, kind: Kind = "auto") -> PassageIndex:
        """Make an empty index.

        Args:
            path: a folder that does not exist yet, or is empty.
            embedder: an `Embedder`, a name for `load_embedder`, or None for the default.
            kind: "auto" chooses by size: exact search ("flat") up to 200,000 passages, a graph ("hnsw") up to two million,
                inverted lists ("ivf") above.

        Raises:
            IndexExists: there is something at `path` already.
        """
        folder = Path(path)
        if kind not in KINDS:
            raise InvalidQuery(f"kind is {kind!r}; pass 'auto', 'flat', 'hnsw' or 'ivf'")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise IndexExists(f"{folder} exists already; open it, or choose another path")
        model = load_embedder(embedder) if embedder is None or isinstance(embedder, str) else embedder
        manifest = storage.Manifest(model.name, model.fingerprint, model.dimension, kind)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                partial.chmod(0o755)
                (partial / "segments").mkdir()
                storage.write_manifest(partial, manifest)
                partial.rename(folder)
                storage.sync(folder.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        except OSError as error:
            raise IndexWriteFailed(f"{folder} cannot be made: {error.strerror or error}") from error
        return cls(folder, Snapshot(folder, manifest), model)

    @classmethod
    def open(cls, path: str | Path, *, embedder: Embedder | str | None = None, verify: bool = True) -> PassageIndex:
        """Open an index; its vectors stay on disk until a search touches them.

        Args:
            path: the folder.
            embedder: None for the one it was built with, which is loaded when first needed.
            verify: compare every file with its checksum, at about the disk's reading speed; sizes are always compared.

        Raises:
            IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
            IndexMismatch: `embedder` is another than the one it was built with.
        """
        folder = Path(path)
        model = load_embedder(embedder) if isinstance(embedder, str) else embedder
        state = open_snapshot(folder, verify=verify)
        if model is not None:
            _check_embedder(folder, state.manifest, model)
        return cls(folder, state, model)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use.

        Raises:
            IndexMismatch: what its name stands for now is not what the index was built with.
        """
        if self._embedder is None:
            model = load_embedder(self._state.manifest.embedder)
            _check_embedder(self.path, self._state.manifest, model)
            self._embedder = model
        return self._embedder

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

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and bool(self._state.places([passage_id]))

    def __enter__(self) -> PassageIndex:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; the index is empty afterwards and must not be used."""
        self._state = Snapshot(self.path, replace(self._state.manifest, segments=()))

    def refresh(self) -> None:
        """Move to the state that is on disk now."""
        if storage.read_manifest(self.path).generation != self._state.manifest.generation:
            self._state = open_snapshot(self.path, verify=False)

    def get(self, passage_id: str) -> Passage:
        """The passage of that id.

        Raises:
            UnknownId: there is none.
        """
        return self._state.passage(*self._places([passage_id]))

    def info(self) -> IndexInfo:
        """Facts about the index."""
        m = self._state.manifest
        size = sum(size for segment in m.segments for size, _ in segment.files.values())
        return IndexInfo(
            str(self.path), m.passages, m.embedder, m.fingerprint, m.dimension, m.kind, len(m.segments), m.generation,
            m.format_version, size,
        )  # fmt: skip

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a sequence of strings, but one query
        self, query: str, k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[Hit]: ...
    @overload
    def search(
        self, query: Sequence[str], k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[list[Hit]]: ...
    def search(
        self, query: str | Sequence[str], k: int = 5, mode: Mode = "hybrid", *, filter: Filter | None = None
    ) -> list[Hit] | list[list[Hit]]:
        """The passages nearest to a query, or to each of several.

        Args:
            query: a text, or a list of texts, which is embedded and searched in one batch.
            k: hits to return; the whole index if it holds fewer.
            mode: "dense" (cosine similarity), "sparse" (BM25) or "hybrid" (reciprocal rank fusion of both).
            filter: a mapping from metadata keys to the value, or list of values, they must have, or a predicate on passages.

        Returns:
            Hits, best first; for a list of queries a list of such lists. A sparse search leaves out passages that share no
            word with the query.

        Raises:
            InvalidQuery: a query is empty, k is below 1, or the mode is unknown.
        """
        single = isinstance(query, str)
        queries: list[str] = [query] if isinstance(query, str) else list(query)
        for i, text in enumerate(queries):
            if not isinstance(text, str) or not text.strip():
                raise InvalidQuery("the query is empty" if single else f"query {i} is empty; leave it out")
        if k < 1:
            raise InvalidQuery(f"k is {k}; ask for at least 1 hit")
        if mode not in ("dense", "sparse", "hybrid"):
            raise InvalidQuery(f"mode is {mode!r}; pass 'dense', 'sparse' or 'hybrid'")
        state = self._state
        allowed = state.allowed(filter)
        if not queries or not len(self):
            found: list[list[Found]] = [[] for _ in queries]
        elif mode == "sparse":
            found = state.sparse(queries, k, allowed)
        else:
            vectors = checked_vectors(self.embedder.encode(queries), len(queries), state.manifest.dimension)
            found = state.dense(vectors, k, allowed) if mode == "dense" else state.hybrid(queries, vectors, k, allowed)
        hits = state.hits(found)
        return hits[0] if single else hits

    def search_vectors(self, vectors: NDArray[np.float32], k: int = 5, *, filter: Filter | None = None) -> list[list[Hit]]:
        """Dense search with (Q, d) unit vectors in place of texts.

        Raises:
            InvalidQuery: the vectors have another shape or are not of length 1, or k is below 1.
        """
        if k < 1:
            raise InvalidQuery(f"k is {k}; ask for at least 1 hit")
        vectors = checked_vectors(vectors, len(vectors), self._state.manifest.dimension)
        if not len(vectors) or not len(self):
            return [[] for _ in vectors]
        return self._state.hits(self._state.dense(vectors, k, self._state.allowed(filter)))

    # -- writing ---------------------------------------------------------------------------------------------------

    def add(
        self,
        passages: Sequence[Passage],
        *,
        vectors: NDArray[np.float32] | None = None,
        duplicates: Literal["skip", "keep"] = "skip",
    ) -> AddReport:
        """Add passages; they are on disk when this returns, all of them or, after an error, none.

        Args:
            passages: with ids that are not in the index yet.
            vectors: (N, d) unit vectors of the passages, if they are known already.
            duplicates: "skip" leaves out a passage whose text is in the index and reports it; "keep" adds it.

        Raises:
            EmptyCorpus: there are no passages, or one has no text.
            InvalidPassage: one cannot be stored.
            DuplicateId: an id is in the index, or twice among `passages`.
            IndexLocked, IndexWriteFailed: another process is writing, or the disk refused.
        """
        passages = checked_passages(passages)
        if vectors is not None:
            vectors = checked_vectors(vectors, len(passages), self._state.manifest.dimension)
        with storage.writing(self.path):
            self.refresh()
            if taken := list(self._state.places([passage.id for passage in passages])):
                raise DuplicateId(
                    f"{len(taken)} passage ids are in {self.path} already ({', '.join(map(repr, taken[:5]))}); use update "
                    "to replace them"
                )
            known = self._state.ids_of_texts([passage.text for passage in passages]) if duplicates == "skip" else {}
            keep: list[int] = []
            left_out: list[tuple[str, str]] = []
            for i, passage in enumerate(passages):
                if passage.text in known:
                    left_out.append((passage.id, known[passage.text]))
                    continue
                keep.append(i)
                if duplicates == "skip":
                    known[passage.text] = passage.id
            if keep:
                self._commit([passages[i] for i in keep], None if vectors is None else vectors[keep])
        return AddReport(len(keep), tuple(left_out))

    def update(self, passages: Sequence[Passage], *, vectors: NDArray[np.float32] | None = None) -> None:
        """Replace passages that are in the index by ones of the same ids, in one step.

        Args:
            passages: the new ones.
            vectors: as in `add`.

        Raises:
            UnknownId: an id is not in the index; nothing is changed. Otherwise as `add`.
        """
        passages = checked_passages(passages)
        if vectors is not None:
            vectors = checked_vectors(vectors, len(passages), self._state.manifest.dimension)
        with storage.writing(self.path):
            self.refresh()
            self._commit(passages, vectors, removed=self._places([passage.id for passage in passages]))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove passages.

        Raises:
            UnknownId: an id is not in the index; nothing is changed.
            IndexLocked, IndexWriteFailed: another process is writing, or the disk refused.
        """
        if isinstance(ids, str):
            raise InvalidQuery(f"ids is the string {ids!r}; pass a list of ids")
        with storage.writing(self.path):
            self.refresh()
            if places := self._places(ids):
                self._commit([], None, removed=places)

    # -- private ---------------------------------------------------------------------------------------------------

    def _places(self, ids: Sequence[str]) -> list[Place]:
        places = self._state.places(ids)
        if missing := [passage_id for passage_id in ids if passage_id not in places]:
            named = ", ".join(map(repr, missing[:5]))
            raise UnknownId(f"{self.path} has no passage {named}; list the ids with 'for passage in index'")
        return list(places.values())

    def _commit(self, new: Sequence[Passage], vectors: NDArray[np.float32] | None, *, removed: Sequence[Place] = ()) -> None:
        """Write one state: rows removed, new ones and those of merged segments in one segment."""
        import numpy as np

        state, manifest = self._state, self._state.manifest
        if vectors is None and new:
            encoded = self.embedder.encode([passage.text for passage in new])
            vectors = checked_vectors(encoded, len(new), manifest.dimension)
        gone: dict[int, set[int]] = {}
        for number, row in removed:
            gone.setdefault(number, set()).add(row)
        kept = [
            replace(segment, deleted=tuple(sorted({*segment.deleted, *gone.get(number, ())})))
            for number, segment in enumerate(manifest.segments)
        ]
        merged = segments_to_merge([segment.rows for segment in kept], [segment.live for segment in kept], len(new))
        passages: list[Passage] = []
        parts: list[NDArray[np.float32]] = []
        for number in merged:
            rows = np.setdiff1d(np.arange(kept[number].rows), kept[number].deleted)
            passages += state.segments[number].passages(rows)
            parts.append(state.segments[number].vectors(rows))
        passages += new
        parts += [] if vectors is None else [vectors]
        segments = tuple(segment for number, segment in enumerate(kept) if number not in merged)
        generation = manifest.generation + 1
        with storage.disk_errors(self.path):
            # First of all what a killed writer left, as it may bear the name of this generation.
            storage.sweep(self.path, manifest)
            if passages:
                kind = choose_kind(len(passages), manifest.kind)
                matrix = parts[0] if len(parts) == 1 else np.concatenate(parts)
                with storage.new_segment(self.path, f"{generation:08d}", len(passages)) as written:
                    write_files(written.folder, passages, matrix, kind)
                segments += (written.segment,)
            manifest = replace(manifest, generation=generation, segments=segments)
            storage.write_manifest(self.path, manifest)
        self._state = Snapshot(self.path, manifest)
        storage.sweep(self.path, manifest)


def _check_embedder(folder: Path, manifest: storage.Manifest, embedder: Embedder) -> None:
    if (embedder.dimension, embedder.fingerprint) != (manifest.dimension, manifest.fingerprint):
        same_name = " (the same name, but other weights)" if embedder.name == manifest.embedder else ""
        raise IndexMismatch(
            f"{folder} was built with {manifest.embedder} ({manifest.dimension} dims), not {embedder.name} "
            f"({embedder.dimension} dims){same_name}; pass embedder=None to use the one it was built with, or build it again"
        )
