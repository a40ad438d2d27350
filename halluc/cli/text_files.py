"""Answers and contexts in files, as texts.

Pages and pdfs are read by the document loaders of `retrieval`; other files are texts as they are. Not covered: files of rows
(halluc/verification/check_file.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.errors import InvalidInput, leaf_errors_as_ours

if TYPE_CHECKING:
    from halluc.verification.contexts import Context
    from retrieval import Document

__all__ = ["file_context", "file_text"]

# Types of documents whose text is read as it is: a table is checked with its headers, and a row needs no field of its own.
_AS_WRITTEN = {".txt", ".md", ".csv", ".tsv", ".json", ".jsonl"}
_PAGES = {".html", ".htm"}


def file_context(paths: Sequence[Path]) -> Context:
    """Read the file that is the context, or several files as passages, each with its file as its name.

    Raises:
        InvalidInput: a file is named twice or cannot be read.
    """
    from retrieval import Passage

    if repeated := next((path for path in paths if list(paths).count(path) > 1), None):
        raise InvalidInput(f"--context names {repeated} twice; name each file once")
    texts = [file_text(path, "context") for path in paths]
    if len(paths) == 1:
        return texts[0]
    return [Passage(str(path), text, path.name, source=str(path)) for path, text in zip(paths, texts, strict=True)]


def file_text(path: Path, role: str) -> str:
    """Read the text of a file.

    Args:
        path: the file.
        role: what it is, for messages: "answer" or "context".

    Raises:
        InvalidInput: it cannot be read, or there is no text in it.
    """
    from retrieval.errors import UnreadableDocument
    from retrieval.loaders import DOCUMENT_TYPES
    from retrieval.loaders.text import read_text

    if path.is_dir():
        raise InvalidInput(f"the {role} {path} is a folder; name its files, or index it with 'halluc index build'")
    if path.suffix.lower() in set(DOCUMENT_TYPES) - _AS_WRITTEN:
        return "\n\n".join(document.text for document in _documents(path))
    try:
        text = read_text(path)
    except UnreadableDocument as error:
        raise InvalidInput(f"the {role} {error}") from error
    if not text.strip():
        raise InvalidInput(f"the {role} {path} is empty; there is nothing to check{'' if role == 'answer' else ' against'}")
    return text


def _documents(path: Path) -> list[Document]:
    from retrieval import load_documents
    from retrieval.loaders.visible_html import read_markup

    with leaf_errors_as_ours():
        documents = load_documents(path)
        if path.suffix.lower() not in _PAGES:
            return documents
        markup = read_markup(path)
        written = _with_tables_as_sentences(markup)
        if written == markup:
            return documents
        # The text of a page alone would separate cells from their headers.
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / path.name
            page.write_text(written, encoding="utf-8")
            return load_documents(page)


def _with_tables_as_sentences(markup: str) -> str:
    """The markup of a page with a paragraph for each row of a table, which names the headers of its cells."""
    from halluc.structured import sentences
    from halluc.structured.html_tables import html_table_blocks

    pieces: list[str] = []
    last = 0
    for block in html_table_blocks(markup):
        lines = [line for record in block.records for line in sentences(record)]
        pieces += [markup[last : block.start], *(f"<p>{escape(line)}</p>" for line in lines)]
        last = block.end
    return "".join([*pieces, markup[last:]])
