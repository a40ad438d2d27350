"""Every error retrieval raises on purpose.

RetrievalError
├── InvalidQuery        an empty query, or an option out of range
├── DocumentError
│   ├── EmptyCorpus         there is nothing to index
│   ├── UnreadableDocument  a file is missing, binary, damaged or without text
│   └── UnknownFileType     no reader for a file's extension
├── EmbedderUnavailable an embedder cannot be had
└── PassageIndexError
    ├── IndexNotFound, IndexExists
    ├── IndexDamaged        a file of the index is missing, truncated or changed
    ├── IndexMismatch       built with another embedder
    ├── IndexVersion        written by a newer halluc
    ├── IndexLocked         another process is writing
    ├── IndexWriteFailed    the disk refused; the index is as it was
    ├── InvalidPassage      a passage cannot be stored
    ├── DuplicateId         an id is in the index, or twice in one call
    └── UnknownId           an id is not in the index
"""

__all__ = [
    "DocumentError",
    "DuplicateId",
    "EmbedderUnavailable",
    "EmptyCorpus",
    "IndexDamaged",
    "IndexExists",
    "IndexLocked",
    "IndexMismatch",
    "IndexNotFound",
    "IndexVersion",
    "IndexWriteFailed",
    "InvalidPassage",
    "InvalidQuery",
    "PassageIndexError",
    "RetrievalError",
    "UnknownFileType",
    "UnknownId",
    "UnreadableDocument",
]


class RetrievalError(Exception):
    """Root of retrieval's errors; its message is one sentence fit to be shown to a user."""


class InvalidQuery(RetrievalError, ValueError):
    """A query is empty or a search option is out of range."""


class DocumentError(RetrievalError, ValueError):
    """Documents cannot be used."""


class EmptyCorpus(DocumentError):
    """There is no text to index."""


class UnreadableDocument(DocumentError):
    """A file is missing, binary, damaged or without text."""


class UnknownFileType(DocumentError):
    """No reader for a file's extension."""


class EmbedderUnavailable(RetrievalError):
    """An embedder cannot be loaded or reached."""


class PassageIndexError(RetrievalError):
    """Root of the errors of `PassageIndex`."""


class IndexNotFound(PassageIndexError, FileNotFoundError):
    """There is no index at the path."""


class IndexExists(PassageIndexError, FileExistsError):
    """There is something at the path where an index was to be created."""


class IndexDamaged(PassageIndexError):
    """A file of the index is missing, truncated or changed."""


class IndexMismatch(PassageIndexError):
    """The index was built with another embedder."""


class IndexVersion(PassageIndexError):
    """The index has a format this version does not know."""


class IndexLocked(PassageIndexError):
    """Another process is writing to the index."""


class IndexWriteFailed(PassageIndexError, OSError):
    """The disk refused a write; the index is as it was before."""


class InvalidPassage(PassageIndexError, ValueError):
    """A passage cannot be stored: its metadata are no JSON values, or its text is no valid Unicode."""


class DuplicateId(PassageIndexError, ValueError):
    """A passage id is already in the index, or twice in one call."""


class UnknownId(PassageIndexError, KeyError):
    """A passage id is not in the index."""

    def __str__(self) -> str:
        """The sentence itself; KeyError would show its repr."""
        return str(self.args[0]) if self.args else ""
