"""Which store an index is in, by its location: a folder, or a URL.

my.index                                    a folder (`PassageIndex`)
postgresql://user@host:5432/database#name   a schema of a PostgreSQL database with pgvector; needs halluc[postgres]
qdrant://host:6333#name                     a collection of a Qdrant server; qdrants:// behind TLS; needs halluc[qdrant]
qdrant:///folder#name                       Qdrant's embedded mode, for tests and small indexes
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from retrieval.arguments import check_duplicates
from retrieval.changes import Duplicates, embed_ahead, plan_change
from retrieval.embedders import Embedder
from retrieval.errors import InvalidQuery, StoreUnavailable
from retrieval.origin import Origin, checked_embedder
from retrieval.passages import AddReport, Passage, checked_passages
from retrieval.store import PassageStore
from retrieval.vectors import checked_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["build_store", "check_vacant", "checked_location", "copy_store", "create_store", "open_store"]

_SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "qdrant": "qdrant", "qdrants": "qdrant"}
# The module that each extra brings.
_NEEDS = {"postgresql": ("psycopg", "postgres"), "qdrant": ("qdrant_client", "qdrant")}


class _Kind(Protocol):
    """What a kind of store has besides its objects."""

    def open(self, location: Any, *, embedder: Embedder | str | None = None) -> PassageStore: ...
    def check_vacant(self, location: Any) -> None: ...
    def checked_location(self, location: Any) -> str: ...
    def fill(
        self,
        location: Any,
        origin: Origin,
        batches: Iterable[tuple[Sequence[Passage], NDArray[np.float32]]],
        *,
        embedder: Embedder | None = None,
    ) -> PassageStore: ...


def open_store(location: str | Path, *, embedder: Embedder | str | None = None) -> PassageStore:
    """Open an index, wherever it is.

    Args:
        location: a folder or a URL.
        embedder: None for the one the index was built with, which is loaded when first needed. An index built with an
            endpoint needs the endpoint named here: the texts, and your API key, go only where you send them.

    Raises:
        InvalidQuery: the location is neither a folder nor a URL of a known scheme, or the URL has a password.
        IndexNotFound, IndexDamaged, IndexVersion: there is no index, or it cannot be used.
        IndexMismatch: `embedder` is not the one the index was built with.
        StoreUnavailable: the server cannot be reached, refuses, or the client is not installed.
    """
    return _kind(location).open(location, embedder=embedder)


def create_store(location: str | Path, *, embedder: Embedder | str | None = None) -> PassageStore:
    """Create an empty index.

    Args:
        location: a folder that does not exist yet or is empty, or a URL at which there is no index.
        embedder: an `Embedder`, a name for `load_embedder`, or None for the default.

    Raises:
        IndexExists: there is something at the location.
        InvalidQuery, StoreUnavailable: as `open_store`.
        IndexWriteFailed: the disk or the server refused.
    """
    kind = _kind(location)
    kind.check_vacant(location)
    model = checked_embedder(embedder)
    return kind.fill(location, Origin(model.name, model.fingerprint, model.dimension), [], embedder=model)


def build_store(
    location: str | Path,
    passages: Sequence[Passage],
    *,
    embedder: Embedder | str | None = None,
    vectors: NDArray[np.float32] | None = None,
    duplicates: Duplicates = "skip",
) -> tuple[PassageStore, AddReport]:
    """Create an index of passages, which appears at its location only once all of them are in it.

    Args:
        location, embedder: as in `create_store`.
        passages, vectors, duplicates: as in `PassageIndex.add`.

    Returns:
        The index, and what `add` reports.

    Raises:
        IndexExists, InvalidQuery, StoreUnavailable, IndexWriteFailed: as `create_store`.
        EmptyCorpus, InvalidPassage, DuplicateId: as `PassageIndex.add`.
    """
    kind = _kind(location)
    passages = checked_passages(passages)
    check_duplicates(duplicates)
    kind.check_vacant(location)
    model = checked_embedder(embedder)
    if vectors is not None:
        vectors = checked_vectors(vectors, len(passages), model.dimension)
    change = plan_change(None, passages, (), duplicates)
    if vectors is None:
        texts = [passage.text for passage in change.new]
        matrix = checked_vectors(embed_ahead(texts, model.encode)(texts), len(texts), model.dimension)
    else:
        matrix = change.select(vectors)
    origin = Origin(model.name, model.fingerprint, model.dimension)
    store = kind.fill(location, origin, [(change.new, matrix)], embedder=model)
    return store, AddReport(len(change.new), change.duplicates)


def copy_store(source: str | Path, target: str | Path) -> int:
    """Copy an index from one location to another, with its vectors, so that nothing is embedded again.

    The copy appears only once all passages are in it. Passages that are added to the source meanwhile may be missing.

    Args:
        source: an index.
        target: as the location of `create_store`.

    Returns:
        Number of passages.

    Raises:
        IndexExists: there is something at the target.
        PassageIndexError: the source cannot be read, or the target cannot be written.
    """
    kind = _kind(target)
    with open_store(source) as opened:
        kind.check_vacant(target)
        facts = opened.info()
        origin = Origin(facts.embedder, facts.fingerprint, facts.dimension)
        with kind.fill(target, origin, opened.batches()) as copy:
            return len(copy)


def check_vacant(location: str | Path) -> None:
    """Check that an index can be created at a location, before any work is done for it.

    Raises:
        IndexExists: there is something.
        InvalidQuery, StoreUnavailable: as `open_store`.
    """
    _kind(location).check_vacant(location)


def checked_location(location: str | Path) -> str:
    """Check a location, before it is saved or anything is done with it; returns it with its defaults written out.

    Raises:
        InvalidQuery, StoreUnavailable: as `open_store`; a URL with a password is refused.
    """
    kind = _kind(location)
    return kind.checked_location(location)


def _kind(location: Any) -> _Kind:
    """Choose the kind of store by the scheme of a location."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location) if isinstance(location, str) else None
    if match is None:
        from retrieval.index import PassageIndex

        return PassageIndex
    scheme = match[1].lower()
    if scheme not in _SCHEMES:
        (nearest, *_) = [*difflib.get_close_matches(scheme, _SCHEMES, 1, 0.0), "postgresql"]
        raise InvalidQuery(
            f"no index can be at {scheme}://; did you mean {nearest}://? There are postgresql://, qdrant:// and qdrants://, "
            "and a folder needs no scheme"
        )
    client, extra = _NEEDS[_SCHEMES[scheme]]
    if find_spec(client) is None:
        raise StoreUnavailable(
            f"an index at {scheme}:// needs a client that is not installed; pip install 'halluc[{extra}]'"
        )
    if extra == "qdrant":
        from retrieval.qdrant.store import QdrantStore

        return QdrantStore
    from retrieval.postgres.store import PostgresStore

    return PostgresStore
