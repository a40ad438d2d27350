"""Documents to passages to embeddings to FAISS (+ BM25) to hits.

Names are handed out lazily: `import retrieval` loads neither numpy nor faiss nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.documents import SkippedFiles, load_documents
    from retrieval.embedders import Embedder, load_embedder
    from retrieval.errors import RetrievalError
    from retrieval.evaluate import RetrievalScore, evaluate_retrieval
    from retrieval.index import AddReport, IndexInfo, PassageIndex
    from retrieval.passages import Document, Hit, Passage
    from retrieval.split import split_documents

__all__ = [
    "AddReport",
    "Document",
    "Embedder",
    "Hit",
    "IndexInfo",
    "Passage",
    "PassageIndex",
    "RetrievalError",
    "RetrievalScore",
    "SkippedFiles",
    "evaluate_retrieval",
    "load_documents",
    "load_embedder",
    "split_documents",
]

_MODULE_OF = {
    "AddReport": "index",
    "Document": "passages",
    "Embedder": "embedders",
    "Hit": "passages",
    "IndexInfo": "index",
    "Passage": "passages",
    "PassageIndex": "index",
    "RetrievalError": "errors",
    "RetrievalScore": "evaluate",
    "SkippedFiles": "documents",
    "evaluate_retrieval": "evaluate",
    "load_documents": "documents",
    "load_embedder": "embedders",
    "split_documents": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'retrieval' has no attribute {name!r}")
    return getattr(importlib.import_module(f"retrieval.{_MODULE_OF[name]}"), name)
