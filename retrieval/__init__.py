"""Passage retrieval: documents are split into passages, embedded, indexed (FAISS and BM25) and searched.

The public names are listed once, in `__init__.pyi`, and are loaded on first use: `import retrieval` loads neither numpy nor
faiss nor torch.
"""

from __future__ import annotations

import lazy_loader

__distribution__ = "halluc"  # checked when halluc is imported, since the name of this package is a common one
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
