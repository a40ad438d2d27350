"""Readers of the types of files: each extension has a function from a file to its texts, or to its rows.

Not covered: folders, and which files of one are read (documents.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import MissingExtra, UnreadableDocument, needs_extra

if TYPE_CHECKING:
    from retrieval.loaders.text import LoadedText

__all__ = ["DOCUMENT_TYPES", "load_rows", "load_texts"]

# Modules are imported when a file needs them: each brings a library of its own.
_TEXTS = {
    ".txt": "text:load_plain_text",
    ".md": "markup:load_markdown",
    ".rst": "markup:load_rst",
    ".html": "visible_html:load_html",
    ".htm": "visible_html:load_html",
    ".pdf": "pdf:load_pdf",
    ".docx": "word:load_docx",
    ".pptx": "slides:load_pptx",
    ".xlsx": "sheets:load_xlsx",
    ".eml": "mail:load_eml",
    ".json": "tables:load_json",
}
_ROWS = {".csv": "tables:csv_rows", ".tsv": "tables:csv_rows", ".jsonl": "tables:jsonl_rows", ".json": "tables:json_rows"}
DOCUMENT_TYPES = tuple(dict.fromkeys((*_TEXTS, *_ROWS)))
"""Extensions of the files that can be read, with their dot."""


def load_texts(path: Path) -> list[LoadedText]:
    """Read the texts of a file.

    Raises:
        UnreadableDocument: it cannot be read.
    """
    load = _function(_TEXTS[path.suffix.lower()])
    try:
        with needs_extra("documents"):
            texts: list[LoadedText] = load(path)
    except MissingExtra as error:
        raise UnreadableDocument(f"{path} cannot be read: {error}") from error
    return texts


def load_rows(path: Path) -> Iterable[tuple[int, Any]] | None:
    """Read the rows of a file, each with the number of its line; None if it is not a file of rows.

    Raises:
        UnreadableDocument: it cannot be read.
    """
    if (name := _ROWS.get(path.suffix.lower())) is None:
        return None
    rows: Iterable[tuple[int, Any]] | None = _function(name)(path)
    return rows


def _function(name: str) -> Callable[[Path], Any]:
    module, function = name.split(":")
    loader: Callable[[Path], Any] = getattr(import_module(f"retrieval.loaders.{module}"), function)
    return loader
