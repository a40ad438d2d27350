"""The embedder that an index was built with: checked whenever one is passed, and loaded when none is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retrieval.embedders import Embedder, is_endpoint, load_embedder
from retrieval.errors import EmbedderUnavailable, IndexMismatch, InvalidQuery

__all__ = ["Origin", "check_embedder", "checked_embedder", "load_origin"]


@dataclass(frozen=True)
class Origin:
    """The embedder that made the vectors of an index.

    Attributes:
        embedder, fingerprint: its name, and the hash of its weights.
        dimension: length of its vectors.
    """

    embedder: str
    fingerprint: str
    dimension: int


def load_origin(location: str, origin: Origin) -> Embedder:
    """Load the embedder that the index at `location` was built with.

    Raises:
        EmbedderUnavailable: it cannot be loaded, or is an endpoint that only the index names.
        IndexMismatch: its name now stands for another embedder than the index was built with.
    """
    if is_endpoint(origin.embedder):
        raise EmbedderUnavailable(
            f"{location} was built with the endpoint {origin.embedder}, which is not contacted because only the index "
            f"names it; if you trust it, pass embedder={origin.embedder!r} when you open the index, or --embedder on the "
            "command line"
        )
    model = load_embedder(origin.embedder)
    check_embedder(location, origin, model)
    return model


def checked_embedder(embedder: Any) -> Embedder:
    """Load an embedder by its name, or check that one was passed.

    Raises:
        InvalidQuery: it is no embedder.
        EmbedderUnavailable: it cannot be loaded.
    """
    if embedder is None or isinstance(embedder, str):
        return load_embedder(embedder)
    if not hasattr(embedder, "encode"):
        raise InvalidQuery(f"embedder is {embedder!r}; pass an Embedder, or a name for load_embedder")
    model: Embedder = embedder
    return model


def check_embedder(location: str, origin: Origin, embedder: Embedder) -> None:
    """Check that an embedder is the one that a store was built with.

    Raises:
        IndexMismatch: it is another one.
    """
    if (embedder.dimension, embedder.fingerprint) != (origin.dimension, origin.fingerprint):
        same_name = " (the same name, but other weights)" if embedder.name == origin.embedder else ""
        raise IndexMismatch(
            f"{location} was built with {origin.embedder} ({origin.dimension} dims), not {embedder.name} "
            f"({embedder.dimension} dims){same_name}; pass embedder=None to use the one it was built with, or build it again"
        )
