"""From files, folders and data sets to documents: `load_documents`."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retrieval.errors import EmptyCorpus, UnknownFileType, UnreadableDocument
from retrieval.passages import Document

if TYPE_CHECKING:
    import datasets

__all__ = ["SkippedFilesWarning", "load_documents"]


class SkippedFilesWarning(UserWarning):
    """Files of unknown type were left out."""


def load_documents(source: str | Path | Sequence[str | Path] | datasets.Dataset, *, strict: bool = False) -> list[Document]:
    """Read documents.

    Args:
        source: a file, a folder (read recursively, in sorted order; hidden files are passed over), a list of these, or a
            `datasets.Dataset`. Types by extension: txt, md, html/htm, pdf, csv, jsonl. A row of a csv, jsonl or data set
            is a document: `text` is required, `id` and `title` are used if present, the rest is metadata.
        strict: refuse a file of unknown type found in a folder, instead of leaving it out with a `SkippedFilesWarning`
            that names it. A file of unknown type that is named itself is always refused.

    Raises:
        UnreadableDocument: a file is missing, is not UTF-8 text, has no text (a scanned pdf, say), or has a broken row
            (named by its line).
        UnknownFileType: see `strict`.
        EmptyCorpus: nothing was found.
    """
    if hasattr(source, "column_names"):
        documents = list(_from_rows(enumerate(cast("Iterable[Any]", source)), "dataset"))
    else:
        paths = [source] if isinstance(source, str | Path) else source
        documents = [document for path in paths for document in _from_path(Path(path), strict)]
    if not documents:
        raise EmptyCorpus(f"there is no document in {source!s}; name files of type {', '.join(_READERS)}")
    return documents


def _from_path(path: Path, strict: bool) -> Iterator[Document]:
    if not path.exists():
        raise UnreadableDocument(f"{path} does not exist")
    if not path.is_dir():
        yield from _from_file(path)
        return
    inside = sorted(p for p in path.rglob("*") if p.is_file())
    files = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    unknown = [p for p in files if p.suffix.lower() not in _READERS]
    if unknown:
        named = ", ".join(str(p.relative_to(path)) for p in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        message = f"{len(unknown)} of {len(files)} files in {path} have a type that cannot be read ({named})"
        if strict:
            raise UnknownFileType(f"{message}; remove them or do without strict")
        warnings.warn(SkippedFilesWarning(f"{message} and are left out"), stacklevel=4)
    for file in files:
        if file.suffix.lower() in _READERS:
            yield from _from_file(file)


def _from_file(path: Path) -> Iterable[Document]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UnknownFileType(f"{path} has the type {path.suffix or '(none)'!r}; name files of type {', '.join(_READERS)}")
    return reader(path)


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableDocument(f"{path} cannot be read: {error.strerror}") from error
    if b"\0" in content:
        raise UnreadableDocument(f"{path} is a binary file, not text; convert it or leave it out")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            f"{path} is not UTF-8 text (byte {error.start} is {content[error.start]:#04x}); convert it first"
        ) from error


def _whole(path: Path, text: str, title: str | None) -> list[Document]:
    if not text.strip():
        raise UnreadableDocument(f"{path} holds no text; leave it out")
    return [Document(str(path), text, title, str(path))]


def _txt(path: Path) -> list[Document]:
    return _whole(path, _text_of(path), path.stem)


def _markdown(path: Path) -> list[Document]:
    from markdown_it import MarkdownIt

    return _html_text(path, MarkdownIt("commonmark").enable("table").render(_text_of(path)))


def _html(path: Path) -> list[Document]:
    return _html_text(path, _text_of(path))


def _html_text(path: Path, markup: str) -> list[Document]:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(markup, "lxml")
    heading = soup.find("title") or soup.find("h1")
    title = heading.get_text(" ", strip=True) if heading else None
    for tag in soup(["script", "style", "noscript", "template", "title"]):
        tag.decompose()
    # Block elements end a paragraph; inline ones (b, a, …) do not break the sentence they stand in.
    for tag in soup(_BLOCKS):
        tag.insert_before("\n\n")
        tag.insert_after("\n\n")
    for tag in soup(["td", "th", "br"]):
        tag.insert_after(" ")
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", soup.get_text()))
    return _whole(path, "\n\n".join(part for part in paragraphs if part), title or path.stem)


def _pdf(path: Path) -> list[Document]:
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        pages = [page.extract_text() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    # A damaged file makes pypdf stumble over more than its own errors: recursion, wrong types, bad compression.
    except Exception as error:
        raise UnreadableDocument(f"{path} cannot be read as a pdf: {error}") from error
    if not any(page.strip() for page in pages):
        raise UnreadableDocument(f"{path} is a pdf without text (scanned pages?); run it through OCR first")
    return _whole(path, "\n\n".join(pages), title or path.stem)


def _csv(path: Path) -> Iterator[Document]:
    # The default limit of 131,072 characters a field is for the whole process, so it is put back.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.DictReader(io.StringIO(_text_of(path), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UnreadableDocument(f"line {reader.line_num} of {path} is not csv: {error}") from error
    finally:
        csv.field_size_limit(limit)
    columns = reader.fieldnames or ()
    if "text" not in columns:
        raise UnreadableDocument(f"{path} has no column 'text', only {', '.join(columns) or 'nothing'}")
    for number, row in rows:
        if None in row:
            raise UnreadableDocument(
                f"line {number} of {path} has more fields than the {len(columns)} columns; quote its commas"
            )
    return _from_rows(rows, str(path))


def _jsonl(path: Path) -> Iterator[Document]:
    def rows() -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(_text_of(path).split("\n"), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    raise UnreadableDocument(f"line {number} of {path} is not JSON: {error.msg}") from error

    return _from_rows(rows(), str(path))


def _from_rows(rows: Iterable[tuple[int, Any]], source: str) -> Iterator[Document]:
    for number, row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("text"), str) or not row["text"].strip():
            raise UnreadableDocument(f"row {number} of {source} has no text in a field 'text'; mend or remove it")
        extra = {key: value for key, value in row.items() if key not in ("id", "title", "text") and value is not None}
        document_id, title = row.get("id"), row.get("title")
        yield Document(
            f"{source}:{number}" if document_id in (None, "") else str(document_id),
            row["text"],
            None if title in (None, "") else str(title),
            f"{source}:{number}",
            extra,
        )


# Elements that end the paragraph before them and are one themselves.
# fmt: off
_BLOCKS = [
    "address", "article", "aside", "blockquote", "caption", "dd", "details", "div", "dl", "dt", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tr", "ul",
]
# fmt: on

_READERS: dict[str, Callable[[Path], Iterable[Document]]] = {
    ".txt": _txt,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".csv": _csv,
    ".jsonl": _jsonl,
}
