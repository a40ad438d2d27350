"""From files, folders and data sets to documents: `load_documents`.

A text file is one document; a row of a table is one document. Not covered: cutting documents into passages (split.py).
"""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from retrieval.errors import EmptyCorpus, InvalidQuery, UnknownFileType, UnreadableDocument
from retrieval.files import check_encodable, parse_json_object
from retrieval.passages import Document

if TYPE_CHECKING:
    import datasets

__all__ = ["DOCUMENT_TYPES", "OnBadRow", "SkippedFilesWarning", "SkippedRowsWarning", "load_documents"]

OnBadRow = Literal["raise", "skip"]


class SkippedFilesWarning(UserWarning):
    """Files were left out: their type is unknown, or they are links or not regular files."""


class SkippedRowsWarning(UserWarning):
    """Rows of a table that cannot be used were left out."""


def load_documents(
    source: str | Path | Sequence[str | Path] | datasets.Dataset, *, strict: bool = False, on_bad_row: OnBadRow = "raise"
) -> list[Document]:
    """Read documents.

    Args:
        source: a file, a folder (read recursively, in sorted order; hidden files are passed over), a list of these, or a
            `datasets.Dataset`. Types by extension: txt, md, html/htm, pdf, csv, jsonl. A row of a csv, jsonl or data set
            is a document: `text` is required, `id` and `title` are used if present, and the rest is metadata.
        strict: refuse what cannot be read in a folder, instead of leaving it out with a `SkippedFilesWarning` that names
            it: files of unknown type, links (they may lead out of the folder) and what is not a regular file. A file that
            is named itself is always refused if it cannot be read, and may be a link.
        on_bad_row: "raise" refuses a row that is not JSON, has no text, or holds NaN or a lone surrogate; "skip" leaves it
            out with a `SkippedRowsWarning` that names it.

    Raises:
        InvalidQuery: an argument is of another type.
        UnreadableDocument: a file is missing, is not UTF-8 text, has no text (a scanned pdf, say), or has a row that cannot
            be used, or none that can; the message names the line.
        UnknownFileType: see `strict`.
        EmptyCorpus: there are no documents.
    """
    if on_bad_row not in get_args(OnBadRow):
        raise InvalidQuery(f"on_bad_row is {on_bad_row!r}; pass 'raise' or 'skip'")
    if hasattr(source, "column_names"):
        names = "the data set"
        rows = ((f"row {i} of the data set", f"dataset:{i}", row) for i, row in enumerate(cast("Iterable[Any]", source)))
        documents = _from_rows(rows, names, on_bad_row)
    else:
        paths = _checked_paths(source)
        names = ", ".join(map(str, paths)) or "an empty list"
        documents = [document for path in paths for document in _from_path(path, strict, on_bad_row)]
    if not documents:
        raise EmptyCorpus(f"there is no document in {names}; name files of type {', '.join(DOCUMENT_TYPES)}")
    return documents


def _checked_paths(source: Any) -> list[Path]:
    paths = [source] if isinstance(source, str | Path) else source
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise InvalidQuery(f"source is {source!r}; pass a path, a list of paths or a datasets.Dataset")
    if any(path == "" for path in paths):
        raise InvalidQuery("a path is empty; name a file or folder")
    return [Path(path) for path in paths]


# -- files and folders ---------------------------------------------------------------------------------------------------


def _from_path(path: Path, strict: bool, on_bad_row: OnBadRow) -> Iterator[Document]:
    if path.is_dir():
        for file in _files_in(path, strict):
            yield from _from_file(file, on_bad_row)
    elif not path.exists():
        raise UnreadableDocument(f"{path} does not exist")
    elif path.suffix.lower() not in DOCUMENT_TYPES:
        raise UnknownFileType(
            f"{path} has the type {path.suffix or '(none)'!r}; name files of type {', '.join(DOCUMENT_TYPES)}"
        )
    elif not path.is_file():
        raise UnreadableDocument(f"{path} is not a regular file; copy its text into one")
    else:
        yield from _from_file(path, on_bad_row)


def _files_in(folder: Path, strict: bool) -> list[Path]:
    """List the files of a folder that can be read, sorted; the others are named in a warning or, if strict, in an error."""
    entries = sorted(_entries(folder))
    readable: list[Path] = []
    left_out: dict[str, list[str]] = {}
    for path in entries:
        if path.is_symlink() or not path.is_file():
            left_out.setdefault("are links or not regular files", []).append(str(path.relative_to(folder)))
        elif path.suffix.lower() not in DOCUMENT_TYPES:
            left_out.setdefault("have a type that cannot be read", []).append(str(path.relative_to(folder)))
        else:
            readable.append(path)
    for fault, names in left_out.items():
        named = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        message = f"{len(names)} of {len(entries)} files in {folder} {fault} ({named})"
        if strict:
            raise UnknownFileType(f"{message}; remove them or do without strict")
        warnings.warn(SkippedFilesWarning(f"{message} and are left out"), stacklevel=5)
    return readable


def _entries(folder: Path) -> Iterator[Path]:
    """Find what is in a folder and its subfolders, without what is hidden and without following links."""

    def refuse(error: OSError) -> None:
        raise UnreadableDocument(f"{error.filename} cannot be read: {error.strerror}") from error

    for inside, folders, names in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(inside) / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(inside) / name for name in names + links if not name.startswith("."))


def _from_file(path: Path, on_bad_row: OnBadRow) -> list[Document]:
    file_type = path.suffix.lower()
    if file_type in _ROWS:
        rows = ((f"line {number} of {path}", f"{path}:{number}", row) for number, row in _ROWS[file_type](path))
        return _from_rows(rows, str(path), on_bad_row)
    text, title = _TEXTS[file_type](path)
    # Half a character, as a pdf may have: no user can repair it, and nothing that holds it can be stored.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    if not text.strip():
        raise UnreadableDocument(f"{path} holds no text; leave it out")
    return [Document(str(path), text, title or path.stem, str(path))]


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


# -- texts: one document per file ----------------------------------------------------------------------------------------


def _txt(path: Path) -> tuple[str, str | None]:
    return _text_of(path), None


def _markdown(path: Path) -> tuple[str, str | None]:
    from markdown_it import MarkdownIt

    # The parser's own limit of 20 silently drops the text of deeper lists.
    parser = MarkdownIt("commonmark", {"maxNesting": 10_000}).enable("table")
    try:
        markup = parser.render(_text_of(path))
    except RecursionError as error:
        raise UnreadableDocument(f"{path} is nested too deeply; leave it out") from error
    return _visible_text(path, markup)


def _html(path: Path) -> tuple[str, str | None]:
    return _visible_text(path, _text_of(path))


def _visible_text(path: Path, markup: str) -> tuple[str, str | None]:
    from bs4 import BeautifulSoup

    try:
        soup = BeautifulSoup(markup, "lxml")
        heading = soup.find("title") or soup.find("h1")
        title = heading.get_text(" ", strip=True) if heading else None
        for tag in soup(["script", "style", "noscript", "template", "title"]):
            tag.decompose()
        # Block elements end a paragraph; inline ones (b, a, …) do not break the sentence they are in.
        for tag in soup(_BLOCKS):
            tag.insert_before("\n\n")
            tag.insert_after("\n\n")
        for tag in soup(["td", "th", "br"]):
            tag.insert_after(" ")
        text = soup.get_text()
    except RecursionError as error:
        raise UnreadableDocument(f"{path} is nested too deeply; leave it out") from error
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(part for part in paragraphs if part), title


# Elements that end the paragraph before them and are one themselves.
# fmt: off
_BLOCKS = [
    "address", "article", "aside", "blockquote", "caption", "dd", "details", "div", "dl", "dt", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tr", "ul",
]
# fmt: on


def _pdf(path: Path) -> tuple[str, str | None]:
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        pages = [page.extract_text() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    # A damaged file makes pypdf raise more than its own errors: recursion, wrong types, bad compression.
    except Exception as error:
        raise UnreadableDocument(f"{path} cannot be read as a pdf: {error}") from error
    if not any(page.strip() for page in pages):
        raise UnreadableDocument(f"{path} is a pdf without text (scanned pages?); run it through OCR first")
    return "\n\n".join(pages), title


# -- rows: one document per row ------------------------------------------------------------------------------------------


def _csv(path: Path) -> list[tuple[int, Any]]:
    # The default limit of 131,072 characters per field holds for the whole process, so it is restored.
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
    return rows


def _jsonl(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(_text_of(path).split("\n"), 1) if line.strip())


def _from_rows(rows: Iterable[tuple[str, str, Any]], names: str, on_bad_row: OnBadRow) -> list[Document]:
    """Make a document of each row; `rows` has the place of a row for messages, its source, and the row or its JSON."""
    documents: list[Document] = []
    faults: list[str] = []
    for place, source, row in rows:
        try:
            documents.append(_from_row(row, source))
        except ValueError as error:
            faults.append(f"{place} {error}")
            if on_bad_row == "raise":
                raise UnreadableDocument(f"{faults[0]}; fix or remove it") from error
    if faults and not documents:
        raise UnreadableDocument(f"no row of {names} can be used: {faults[0]}")
    if faults:
        named = "; ".join(faults[:5]) + ("; …" if len(faults) > 5 else "")
        total = len(faults) + len(documents)
        message = f"{len(faults)} of {total} rows of {names} cannot be used and are left out: {named}"
        warnings.warn(SkippedRowsWarning(message), stacklevel=5)
    return documents


def _from_row(row: Any, source: str) -> Document:
    """Make a document of one row, or raise a ValueError whose message continues a sentence that names the row."""
    if isinstance(row, str):
        row = parse_json_object(row)
    if not isinstance(row, Mapping):
        raise ValueError(f"is not a mapping but a {type(row).__name__}")
    if None in row:
        raise ValueError(f"has more fields than the {len(row) - 1} columns; quote its commas")
    if not isinstance(row.get("text"), str) or not row["text"].strip():
        raise ValueError("has no text in a field 'text'")
    check_encodable(row)
    metadata = {key: value for key, value in row.items() if key not in ("id", "title", "text") and value is not None}
    document_id, title = row.get("id"), row.get("title")
    return Document(
        source if document_id in (None, "") else str(document_id),
        row["text"],
        None if title in (None, "") else str(title),
        source,
        metadata,
    )


_TEXTS: dict[str, Callable[[Path], tuple[str, str | None]]] = {
    ".txt": _txt,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
_ROWS: dict[str, Callable[[Path], Iterable[tuple[int, Any]]]] = {".csv": _csv, ".jsonl": _jsonl}
DOCUMENT_TYPES = (*_TEXTS, *_ROWS)
"""Extensions of the files that can be read, with their dot."""
