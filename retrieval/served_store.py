"""What stores on a server have in common: the facts of an index, and that every use sees its present state.

Not covered: PostgreSQL (postgres) and Qdrant (qdrant), which keep the facts and the passages.
"""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from retrieval.changes import embed_ahead
from retrieval.contents import Contents
from retrieval.embedders import Embedder
from retrieval.errors import IndexDamaged, IndexReplaced, IndexVersion
from retrieval.origin import Origin
from retrieval.passages import IndexInfo, Passage
from retrieval.store import PassageStore
from retrieval.terms import TERMS_VERSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Facts", "ServedContents", "ServedStore", "checked_facts", "new_facts"]


@dataclass(frozen=True)
class Facts:
    """What an index is, and its present state.

    Attributes:
        format_version: version of the format.
        id: random and never used again, so that an index that was removed and created again is another one.
        state: random, and another one after every change.
        generation: number of changes.
        embedder, fingerprint, dimension: the embedder that made the vectors.
        terms_version: version of the terms that are counted.
        passages: number of passages.
    """

    format_version: int
    id: str
    state: str
    generation: int
    embedder: str
    fingerprint: str
    dimension: int
    terms_version: int
    passages: int

    @property
    def origin(self) -> Origin:
        """The embedder that made the vectors."""
        return Origin(self.embedder, self.fingerprint, self.dimension)


FactsT = TypeVar("FactsT", bound=Facts)


def new_facts(origin: Origin, format_version: int) -> dict[str, Any]:
    """Make the facts of an empty index that all stores have."""
    return {
        "format_version": format_version,
        "id": secrets.token_hex(16),
        "state": secrets.token_hex(16),
        "generation": 0,
        "embedder": origin.embedder,
        "fingerprint": origin.fingerprint,
        "dimension": origin.dimension,
        "terms_version": TERMS_VERSION,
        "passages": 0,
    }


def checked_facts(kind: type[FactsT], values: Mapping[str, Any], location: object, format_version: int) -> FactsT:
    """Check the facts of an index as they were read.

    Args:
        kind: the dataclass of the store.
        values: the facts by their names.
        location: the index, for messages.
        format_version: the version that this halluc reads.

    Raises:
        IndexVersion: the index has another format.
        IndexDamaged: a fact is missing.
    """
    version = values.get("format_version")
    if version != format_version:
        remedy = "upgrade halluc" if isinstance(version, int) and version > format_version else "build the index again"
        raise IndexVersion(f"{location} has format {version}, but this halluc reads format {format_version}; {remedy}")
    names = [field.name for field in fields(kind)]
    if missing := [name for name in names if name not in values]:
        raise IndexDamaged(f"the facts of {location} lack {missing[0]}; restore it from a backup or build the index again")
    return kind(**{name: values[name] for name in names})


class ServedContents(Contents, Protocol):
    """The passages of an index on a server."""

    @property
    def facts(self) -> Facts:
        """The facts; reading them raises an error if the index is no longer the one that was opened."""


class ServedStore(PassageStore):
    """Base of the stores on a server.

    Raises:
        IndexClosed: by every method after `close`.
        IndexNotFound, IndexReplaced: by every method if the index was removed, or another one created in its place.
        StoreUnavailable: by every method if the server cannot be reached.
    """

    def __init__(self, location: str, embedder: Embedder | None, facts: Facts) -> None:
        super().__init__(location, embedder)
        self._first_facts = facts
        self._has_passages = facts.passages > 0

    @abstractmethod
    def _reading(self) -> AbstractContextManager[ServedContents]: ...

    @abstractmethod
    def _check_open(self) -> None:
        """Raise `IndexClosed` after `close`."""

    @abstractmethod
    def _description(self, contents: Any) -> dict[str, Any]:
        """The values of `IndexInfo` that differ between servers: store, kind, and bytes if they are known."""

    def __len__(self) -> int:
        with self._reading() as contents:
            return contents.facts.passages

    @property
    def content_hash(self) -> str:
        """Equal for copies that the server's own tools make, and different after every change of the content."""
        import xxhash

        with self._reading() as contents:
            return xxhash.xxh3_128_hexdigest(f"{contents.facts.fingerprint} {contents.facts.state}".encode())

    def info(self) -> IndexInfo:
        """Get facts about the index."""
        with self._reading() as contents:
            facts = contents.facts
            description = self._description(contents)
        return IndexInfo(
            location=self.location,
            passages=facts.passages,
            embedder=facts.embedder,
            fingerprint=facts.fingerprint,
            dimension=facts.dimension,
            generation=facts.generation,
            format_version=facts.format_version,
            **description,
        )

    def refresh(self) -> None:
        """Check that the index is there; every use sees its present state."""
        with self._reading() as contents:
            _ = contents.facts

    @property
    def _origin(self) -> Origin:
        # It never changes, so the server is not asked; every use that reads checks that the index is still there.
        self._check_open()
        return self._first_facts.origin

    def _is_empty(self) -> bool:
        # Not asked again once there was something: a search of nothing finds nothing anyway.
        if not self._has_passages:
            self._has_passages = len(self) > 0
        else:
            self._check_open()
        return not self._has_passages

    def _check_id(self, facts: Facts) -> None:
        if facts.id != self._first_facts.id:
            raise IndexReplaced(
                f"the index {self.location} was removed and another one created there; open that one with "
                "retrieval.open_store"
            )

    def _embedding(self, passages: Sequence[Passage]) -> Callable[[list[str]], NDArray[np.float32]]:
        # Before the lock, for which other writers wait.
        texts = [passage.text for passage in passages]
        with self._reading() as contents:
            stored = contents.ids_of_texts(texts)
        return embed_ahead([text for text in texts if text not in stored], self._embed)
