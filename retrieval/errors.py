"""Every error retrieval raises on purpose, and the checks of texts that its functions share.

RetrievalError
├── InvalidQuery        an argument cannot be used: a query, a list of texts, an option
├── DocumentError
│   ├── EmptyCorpus         there is nothing to index
│   ├── UnreadableDocument  a file or row is missing, binary, damaged or without text
│   └── UnknownFileType     no reader for the extension of a file
├── EmbedderUnavailable an embedder cannot be loaded, reached or trusted
├── RerankerUnavailable a reranker cannot be loaded
├── MissingExtra        a library of an extra is not installed: which extra to install
├── PackagedModelUnavailable    a model that is distributed in wheels cannot be fetched, checked or stored
└── PassageIndexError
    ├── IndexNotFound, IndexExists
    ├── IndexClosed         the index object is used after `close`
    ├── IndexReplaced       the index was removed and another one created at its path
    ├── IndexDamaged        a file of the index is missing, truncated, changed or not a regular file
    ├── IndexMismatch       the index was built with another embedder
    ├── IndexVersion        the index has a format that this version does not read
    ├── IndexLocked         another process is writing
    ├── IndexWriteFailed    the disk or the server refused a write; the index is unchanged
    ├── StoreUnavailable    the server of the index cannot be reached, or refuses
    ├── InvalidPassage      a passage cannot be stored
    ├── DuplicateId         an id is already in the index, or occurs twice in one call
    └── UnknownId           an id is not in the index
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DocumentError",
    "DuplicateId",
    "EmbedderUnavailable",
    "EmptyCorpus",
    "IndexClosed",
    "IndexDamaged",
    "IndexExists",
    "IndexLocked",
    "IndexMismatch",
    "IndexNotFound",
    "IndexReplaced",
    "IndexVersion",
    "IndexWriteFailed",
    "InvalidPassage",
    "InvalidQuery",
    "MissingExtra",
    "PackagedModelUnavailable",
    "PassageIndexError",
    "RerankerUnavailable",
    "RetrievalError",
    "StoreUnavailable",
    "UnknownFileType",
    "UnknownId",
    "UnreadableDocument",
    "check_text",
    "check_texts",
    "first_line",
    "needs_extra",
]


class RetrievalError(Exception):
    """Root of retrieval's errors; its message is one sentence to show to a user."""


class InvalidQuery(RetrievalError, ValueError):
    """An argument cannot be used: a query, a list of texts, or an option that is out of range."""


class DocumentError(RetrievalError, ValueError):
    """Documents cannot be used."""


class EmptyCorpus(DocumentError):
    """There is no text to index."""


class UnreadableDocument(DocumentError):
    """A file or row is missing, binary, damaged or without text."""


class UnknownFileType(DocumentError):
    """No reader for the extension of a file."""


class EmbedderUnavailable(RetrievalError):
    """An embedder cannot be loaded or reached, or must be named by the user before it is contacted."""


class RerankerUnavailable(RetrievalError):
    """A reranker cannot be loaded."""


class PackagedModelUnavailable(RetrievalError):
    """A model that is distributed in wheels cannot be fetched, does not have its hash, or cannot be stored."""


class MissingExtra(RetrievalError, ImportError):
    """A library that comes with an extra of halluc is not installed."""


class PassageIndexError(RetrievalError):
    """Root of the errors of `PassageIndex`."""


class IndexNotFound(PassageIndexError, FileNotFoundError):
    """There is no index at the path."""


class IndexExists(PassageIndexError, FileExistsError):
    """There is already something at the path where an index is to be created."""


class IndexClosed(PassageIndexError, ValueError):
    """The index object is used after `close`."""


class IndexReplaced(PassageIndexError):
    """The index was removed and another one was created at its path since this object opened it."""


class IndexDamaged(PassageIndexError):
    """A file of the index is missing, truncated, changed or not a regular file."""


class IndexMismatch(PassageIndexError):
    """The index was built with another embedder."""


class IndexVersion(PassageIndexError):
    """The index has a format that this version does not read."""


class IndexLocked(PassageIndexError):
    """Another process is writing to the index."""


class IndexWriteFailed(PassageIndexError, OSError):
    """The disk or the server refused a write, or the connection was lost; the index is unchanged."""


class StoreUnavailable(PassageIndexError, ConnectionError):
    """The server of an index cannot be reached, refuses, or lacks an extension; or its client is not installed."""


class InvalidPassage(PassageIndexError, ValueError):
    """A passage cannot be stored: a field has the wrong type, or holds what JSON or UTF-8 cannot represent."""


class DuplicateId(PassageIndexError, ValueError):
    """A passage id is already in the index, or occurs twice in one call."""


class UnknownId(PassageIndexError, KeyError):
    """A passage id is not in the index."""

    def __str__(self) -> str:
        """Return the sentence itself; KeyError would show its repr."""
        return str(self.args[0]) if self.args else ""


def check_texts(name: str, texts: Any, *, allow_blank: bool = False) -> None:
    """Check that an argument is a list of texts, and not one text, whose characters would be taken for texts.

    Args:
        name: the argument, in the plural ("queries").
        texts: what was passed.
        allow_blank: accept texts that are empty or white space.

    Raises:
        InvalidQuery: it is not a list, or an item is not a string, is blank, or has a lone surrogate.
    """
    if isinstance(texts, (str, bytes)):
        raise InvalidQuery(f"{name} is one string, {texts[:40]!r}; pass a list of strings")
    if not isinstance(texts, Collection):
        raise InvalidQuery(f"{name} is {texts!r}; pass a list of strings")
    for i, text in enumerate(texts):
        check_text(f"{name}[{i}]", text, allow_blank=allow_blank)


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Run imports of libraries that come with an extra of halluc.

    Args:
        extra: the name of the extra ("documents").

    Raises:
        MissingExtra: one of the libraries is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("halluc", "retrieval", "calibration", "training"):
            raise
        raise MissingExtra(f"{library} is not installed; install it with pip install 'halluc[{extra}]'") from error


def check_text(name: str, text: Any, *, allow_blank: bool = False) -> None:
    """Check that an argument is a text that UTF-8 can represent.

    Raises:
        InvalidQuery: it is not a string, is blank, or has a lone surrogate.
    """
    from retrieval.files import lone_surrogate

    if not isinstance(text, str):
        raise InvalidQuery(f"{name} is {text!r}, not a text; pass a string")
    if not allow_blank and not text.strip():
        raise InvalidQuery(f"{name} is empty; write a text")
    if (position := lone_surrogate(text)) is not None:
        raise InvalidQuery(
            f"{name} has a lone surrogate, {text[position]!r}, at character {position + 1}; "
            "replace it with a whole character"
        )


def first_line(error: BaseException) -> str:
    """Shorten the error of a library to its first line, without a final period, or to its type if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(error).__name__
