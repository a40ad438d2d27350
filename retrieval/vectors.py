"""FAISS indexes over unit vectors: their kind, their files, and search among the rows that a filter allows.

Not covered: making the vectors (embedders.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retrieval.errors import InvalidQuery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Kind",
    "build_vectors",
    "checked_vectors",
    "choose_kind",
    "open_vectors",
    "reconstruct",
    "search_vectors",
]

Kind = Literal["auto", "flat", "hnsw", "ivf"]

_FLAT_UP_TO = 200_000
_HNSW_UP_TO = 2_000_000
# Number of vectors that an exact scan of an approximate index reads into memory at a time.
_SCAN_ROWS = 16_384


def choose_kind(rows: int, kind: str = "auto") -> str:
    """Choose exact search for small corpora, a graph for large, inverted lists for very large ones; `kind` overrides."""
    if kind != "auto":
        return kind
    if rows <= _FLAT_UP_TO:
        return "flat"
    return "hnsw" if rows <= _HNSW_UP_TO else "ivf"


def checked_vectors(vectors: Any, rows: int | None, dimension: int) -> NDArray[np.float32]:
    """Check vectors, and return them as a contiguous float32 array.

    Args:
        vectors: (rows, dimension) numbers.
        rows: number of texts the vectors belong to; None for any number.
        dimension: of the index.

    Raises:
        InvalidQuery: the shape is another, or a row is not of length 1 (to 1 %), as cosine similarity needs.
    """
    import numpy as np

    try:
        array = np.ascontiguousarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidQuery(f"vectors are not numbers ({error}); pass an array of shape (texts, {dimension})") from error
    if array.ndim != 2 or array.shape != (len(array) if rows is None else rows, dimension):
        raise InvalidQuery(
            f"vectors have shape {array.shape}; this index needs ({'texts' if rows is None else rows}, {dimension})"
        )
    # Without the copy of all vectors that numpy.linalg.norm makes.
    lengths = np.sqrt(np.einsum("ij,ij->i", array, array))
    # Written so that NaN counts as wrong.
    wrong = np.flatnonzero(~(np.abs(lengths - 1) < 0.01))
    if len(wrong):
        raise InvalidQuery(f"vector {wrong[0]} has length {lengths[wrong[0]]:.3g}; divide each vector by its length")
    return array


def build_vectors(vectors: NDArray[np.float32], write: Callable[[bytes], int], kind: str) -> None:
    """Build a FAISS inner-product index, and write it.

    Args:
        vectors: (N, d) unit vectors.
        write: appends bytes to a file. FAISS's own writer ignores an error of the last flush, so that a full disk would
            silently leave a short file.
        kind: "flat", "hnsw" or "ivf".

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
    faiss.write_index(index, faiss.PyCallbackIOWriter(write))  # type: ignore[attr-defined]


def open_vectors(path: Path) -> Any:
    """Open a FAISS index of which the vectors stay on disk until a search reads them."""
    import faiss

    # IO_FLAG_MMAP maps the inverted lists of IVF only; flat and HNSW indexes would be read whole.
    index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if isinstance(index, faiss.IndexIVF):
        # Maps rows to their lists, for `reconstruct`. Made now, because making it is not safe while other threads search.
        index.make_direct_map()
    return index


def search_vectors(
    index: Any, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the rows of highest inner product with each query.

    Args:
        index: a FAISS index of N rows.
        queries: (Q, d) unit vectors.
        k: rows to return, at most N.
        allowed: (N,) mask of rows that may match; None for all.

    Returns:
        (Q, k) cosine similarities, best first, and the (Q, k) rows they belong to; the row is -1 where fewer than k match.
    """
    import faiss
    import numpy as np

    total = int(index.ntotal)
    count = total if allowed is None else int(allowed.sum())
    parameters: Any = None
    if isinstance(index, (faiss.IndexHNSW, faiss.IndexIVF)):
        # Where few rows are allowed, or k is large, a graph or a few lists would reach too few rows; a scan is exact.
        if count * 8 <= total or count <= 4 * k:
            return _scan(index, queries, k, np.arange(total) if allowed is None else np.flatnonzero(allowed))
        rarity = total / count
        if isinstance(index, faiss.IndexHNSW):
            parameters = faiss.SearchParametersHNSW(efSearch=int(max(128, 2 * k) * rarity))  # type: ignore[attr-defined]
        else:
            probed = min(index.nlist, int(index.nlist / 16 * rarity) + 1)
            parameters = faiss.SearchParametersIVF(nprobe=probed)  # type: ignore[call-arg]
    elif allowed is not None:
        parameters = faiss.SearchParameters()
    if allowed is not None:
        # The parameters do not keep the selector alive, nor does the selector keep its bits.
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        parameters.sel = selector
    similarity, rows = index.search(queries, k, params=parameters)
    return similarity, rows


def reconstruct(index: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read the (R, d) vectors of some rows."""
    import numpy as np

    if not len(rows):
        return np.zeros((0, index.d), np.float32)
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)


def _scan(
    index: Any, queries: NDArray[np.float32], k: int, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compare the queries with every one of some rows; returns as `search_vectors`."""
    import numpy as np

    best_scores = np.full((len(queries), k), -np.inf, np.float32)
    best_rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(rows), _SCAN_ROWS):
        chunk = rows[start : start + _SCAN_ROWS]
        scores = np.concatenate([best_scores, queries @ reconstruct(index, chunk).T], 1)
        candidates = np.concatenate([best_rows, np.broadcast_to(chunk, (len(queries), len(chunk)))], 1)
        order = np.argsort(-scores, 1, kind="stable")[:, :k]
        best_scores, best_rows = np.take_along_axis(scores, order, 1), np.take_along_axis(candidates, order, 1)
    return best_scores, best_rows
