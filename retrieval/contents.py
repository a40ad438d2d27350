"""What every store can say about its passages at one moment; planning a change and ranking hits need no more.

Not covered: the store that users see (store.py), and how each kind of store keeps its passages.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from retrieval.passages import IndexedDocument, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrieval.filters import Filter

__all__ = ["Contents", "Match"]


class Match(NamedTuple):
    """A passage that matches a query, before it is looked up; score and similarity as in `Hit`."""

    place: Hashable
    score: float
    similarity: float | None


class Contents(Protocol):
    """The passages of a store at one moment. A place names a stored passage, and is a value of the store's own kind."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def places(self, ids: Collection[str]) -> Mapping[str, Any]:
        """Find where the passages of these ids are; ids that are not stored are left out."""

    def places_of_documents(self, ids: Collection[str]) -> Mapping[str, Sequence[Any]]:
        """Find where the passages of documents are, by document; documents that are not stored are left out."""

    def ids_of_texts(self, texts: Collection[str]) -> Mapping[str, str]:
        """Find the texts that are stored, each with the id of a passage that has it."""

    def passages_at(self, places: Sequence[Any]) -> list[Passage]:
        """Get the passages at some places, in that order."""

    def vectors_at(self, places: Sequence[Any]) -> NDArray[np.float32]:
        """Get the (P, d) unit vectors of the passages at P places."""

    def documents(self) -> list[IndexedDocument]:
        """List the documents, in the order of their first passages."""

    def allowed(self, wanted: Filter | None) -> Any:
        """Translate a filter, or none, for `dense` and `sparse`."""

    def dense(self, vectors: NDArray[np.float32], k: int, allowed: Any) -> list[list[Match]]:
        """Find for each query the k passages of highest cosine similarity; `vectors` is (Q, d)."""

    def sparse(self, queries: Sequence[str], k: int, allowed: Any) -> list[list[Match]]:
        """Find for each query the k passages of highest BM25 score; passages that share no word with it never match."""
