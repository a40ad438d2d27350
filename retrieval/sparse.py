"""BM25 over the passages of one state of an index, kept beside it as derived data.

It can be made again from the passages at any time, so it is written without a place in the manifest, and rebuilt when it
is missing, damaged or of another generation.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.storage import checksum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["open_sparse", "search_sparse"]


def open_sparse(folder: Path, texts: Callable[[], Sequence[str]]) -> Any:
    """The BM25 index in `folder`, or one built from `texts()` and, if the disk allows it, saved there; None if no text has
    a word to look for.

    Args:
        folder: named for the generation of the passages; other folders beside it are stale.
        texts: gives the (N,) texts; called only if the index has to be built.
    """
    import bm25s

    try:
        recorded = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
        if all(checksum(folder / name) == value for name, value in recorded.items()):
            return bm25s.BM25.load(folder, mmap=True)
    except (OSError, ValueError, KeyError, AttributeError):
        pass
    tokens = _tokenize(list(texts()))
    # bm25s divides by zero where no text has a word: texts of stop words or single letters only.
    if not any(tokens.ids):
        return None
    retriever = bm25s.BM25()
    retriever.index(tokens, show_progress=False)
    _save(retriever, folder)
    return retriever


def search_sparse(
    retriever: Any, queries: Sequence[str], k: int, allowed: NDArray[np.bool_] | None
) -> list[list[tuple[int, float]]]:
    """Per query the (row, BM25 score) of at most k rows that share a word with it, best first.

    Args:
        retriever: from `open_sparse`, over N rows.
        queries: what to look for.
        k: at most N.
        allowed: (N,) rows that may be found; None for all.
    """
    import numpy as np

    if retriever is None:
        return [[] for _ in queries]
    weights = None if allowed is None else allowed.astype(np.float32)
    found: list[list[tuple[int, float]]] = []
    for query in queries:
        words = _tokenize([query], as_words=True)[0]
        known = [word for word in words if word in retriever.vocab_dict]
        if not known:
            found.append([])
            continue
        rows, scores = retriever.retrieve([known], k=k, weight_mask=weights, show_progress=False)
        found.append([(int(r), float(s)) for r, s in zip(rows[0], scores[0], strict=True) if s > 0])
    return found


def _tokenize(texts: list[str], *, as_words: bool = False) -> Any:
    import bm25s

    return bm25s.tokenize(texts, stopwords="en", return_ids=not as_words, show_progress=False)


def _save(retriever: Any, folder: Path) -> None:
    try:
        folder.parent.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError:
        return
    try:
        retriever.save(partial)
        sums = {path.name: checksum(path) for path in partial.iterdir()}
        (partial / "checksums.json").write_text(json.dumps(sums), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError:
        # The index in memory serves this process; the next one builds its own.
        shutil.rmtree(partial, ignore_errors=True)
