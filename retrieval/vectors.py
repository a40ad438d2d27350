"""FAISS indexes over unit vectors: which kind, on disk and memory-mapped, search among allowed rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kind", "build_vectors", "choose_kind", "open_vectors", "reconstruct", "search_vectors"]

Kind = Literal["auto", "flat", "hnsw", "ivf"]

# On two cores an exhaustive search of 200,000 vectors of 384 dimensions takes about 5 ms a query, which no graph need beat.
_FLAT_UP_TO = 200_000
_HNSW_UP_TO = 2_000_000


def choose_kind(rows: int, kind: Kind = "auto") -> Literal["flat", "hnsw", "ivf"]:
    """Exact search for small corpora, a graph for large, inverted lists for very large; `kind` overrides."""
    if kind != "auto":
        return kind
    if rows <= _FLAT_UP_TO:
        return "flat"
    return "hnsw" if rows <= _HNSW_UP_TO else "ivf"


def build_vectors(vectors: NDArray[np.float32], path: Path, kind: Literal["flat", "hnsw", "ivf"]) -> None:
    """Write a FAISS inner-product index of (N, d) unit vectors.

    Raises:
        OSError: the disk refused.
    """
    import faiss

    dimension = vectors.shape[1]
    if kind == "flat":
        index: Any = faiss.IndexFlatIP(dimension)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
    else:
        # FAISS's guideline of 4 √N lists, bounded so that each has the 39 points its k-means asks for.
        lists = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // 39))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
    index.add(vectors)
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(f"FAISS could not write {path}: {error}") from error


def open_vectors(path: Path) -> Any:
    """A FAISS index whose vectors stay on disk until a search touches them."""
    import faiss

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def search_vectors(
    index: Any, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(Q, k) similarities and rows, best first; -1 rows where there are fewer than k.

    Args:
        index: a FAISS index of N rows.
        queries: (Q, d) unit vectors.
        k: at most N.
        allowed: (N,) rows that may be found; None for all.
    """
    import faiss
    import numpy as np

    parameters: Any = None
    if isinstance(index, faiss.IndexHNSW):
        parameters = faiss.SearchParametersHNSW(efSearch=max(128, 2 * k))  # type: ignore[attr-defined]
    elif isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(nprobe=max(1, index.nlist // 16))  # type: ignore[call-arg]
    elif allowed is not None:
        parameters = faiss.SearchParameters()
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        # The parameters keep no reference of their own to the selector, nor the selector to its bits.
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        parameters.sel = selector
    similarity, rows = index.search(queries, k, params=parameters)
    return similarity, rows


def reconstruct(index: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(R, d) vectors of some rows."""
    import faiss
    import numpy as np

    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    if not len(rows):
        return np.zeros((0, index.d), np.float32)
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)
