"""BM25 over the passages of one state of an index, kept beside it as derived data.

It can be built again from the passages at any time, so the manifest does not name it, and it is rebuilt when it is missing,
damaged, of another generation, of another index, or of another version of the terms. Not covered: from texts to terms
(terms.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.files import checksum, new_folder
from retrieval.terms import TERMS_VERSION, terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["open_sparse", "search_sparse"]


def open_sparse(folder: Path, index_id: str, rows: int, texts: Callable[[], Sequence[str]]) -> Any:
    """Open the BM25 index in `folder`, or build it and save it there if the disk allows it.

    Args:
        folder: named for the generation of the passages; other folders beside it are stale.
        index_id: of the index whose passages these are.
        rows: number N of texts.
        texts: gives the N texts; called only if the BM25 index has to be built.

    Returns:
        A `bm25s.BM25`, or None if no text has a word to look for.
    """
    import bm25s

    if (saved := _load(folder, index_id, rows)) is not None:
        return saved
    corpus = [terms(text) for text in texts()]
    # bm25s divides by zero where no text has a term: texts of stop words only.
    if not any(corpus):
        return None
    retriever = bm25s.BM25()
    vocabulary: dict[str, int] = {}
    numbers = [[vocabulary.setdefault(term, len(vocabulary)) for term in text] for text in corpus]
    retriever.index((numbers, vocabulary), show_progress=False)
    _save(retriever, folder, index_id)
    return retriever


def search_sparse(
    retriever: Any, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None
) -> list[list[tuple[int, float]]]:
    """Find for each query the rows of highest BM25 score.

    Args:
        retriever: from `open_sparse`, over N rows.
        queries: the texts to look for.
        k: rows to return, at most N.
        allowed: (N,) mask of rows that may match; None for all.

    Returns:
        For each query at most k (row, score), best first; rows that share no word with it are left out.
    """
    import numpy as np

    if retriever is None:
        return [[] for _ in queries]
    weights = None if allowed is None else allowed.astype(np.float32)
    results: list[list[tuple[int, float]]] = []
    for query in queries:
        known = [term for term in terms(query) if term in retriever.vocab_dict]
        if not known:
            results.append([])
            continue
        rows, scores = retriever.retrieve([known], k=k, weight_mask=weights, show_progress=False)
        results.append([(int(r), float(s)) for r, s in zip(rows[0], scores[0], strict=True) if s > 0])
    return results


def _load(folder: Path, index_id: str, rows: int) -> Any:
    """Load a BM25 index if it is complete and belongs to this index; None otherwise."""
    import bm25s

    try:
        # A link or pipe among the files of an index from someone else would read elsewhere, or hang.
        if folder.is_symlink() or not all(path.is_file() and not path.is_symlink() for path in folder.iterdir()):
            return None
        recorded = json.loads((folder / "checksums.json").read_bytes())
        present = {path.name: checksum(path) for path in folder.iterdir() if path.name != "checksums.json"}
        if recorded != {"index": index_id, "terms": TERMS_VERSION, "files": present}:
            return None
        retriever = bm25s.BM25.load(folder, mmap=True)
        return retriever if _is_consistent(retriever, rows) else None
    # Whatever a damaged file makes numpy, json and bm25s raise, BM25 is built again.
    except Exception:
        return None


def _is_consistent(retriever: Any, rows: int) -> bool:
    """Whether every word leads to scores, and every score to a row; the library does not check it when it searches."""
    import numpy as np

    starts, indices = retriever.scores["indptr"], retriever.scores["indices"]
    # The word "" stands for texts without words, and has no scores.
    last_word = max(number for word, number in retriever.vocab_dict.items() if word)
    return bool(
        retriever.scores["num_docs"] == rows
        and last_word < len(starts) - 1
        and starts[0] == 0
        and starts[-1] == len(indices) == len(retriever.scores["data"])
        and np.all(np.diff(starts) >= 0)
        and indices.min() >= 0
        and indices.max() < rows
    )


def _save(retriever: Any, folder: Path, index_id: str) -> None:
    """Save a BM25 index. If the disk refuses, this process uses the one in memory, and the next process builds its own."""
    try:
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        with new_folder(folder) as partial:
            retriever.save(partial)
            files = {path.name: checksum(path) for path in partial.iterdir()}
            recorded = {"index": index_id, "terms": TERMS_VERSION, "files": files}
            (partial / "checksums.json").write_text(json.dumps(recorded), encoding="utf-8")
    except OSError:
        return
