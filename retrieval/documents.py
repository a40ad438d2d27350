"""From files, folders and data sets to documents: `load_documents`, and `read_documents`, which reports what it left out.

A text file is one document; a row of a table is one document. Not covered: the types of files (loaders/) and splitting
documents into passages (split.py).
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from retrieval.errors import DocumentError, EmptyCorpus, InvalidQuery, UnknownFileType, UnreadableDocument, check_texts
from retrieval.loaders import DOCUMENT_TYPES, load_rows, load_texts
from retrieval.passages import Document
from retrieval.records import Record

if TYPE_CHECKING:
    import datasets

__all__ = [
    "DOCUMENT_TYPES",
    "OnBadRow",
    "ReadReport",
    "SkippedFilesWarning",
    "SkippedRowsWarning",
    "load_documents",
    "read_documents",
]

OnBadRow = Literal["raise", "skip"]


class SkippedFilesWarning(UserWarning):
    """Files of a folder were left out: unreadable ones, ones of unknown type, links, and what is not a regular file."""


class SkippedRowsWarning(UserWarning):
    """Rows of a table that cannot be used were left out."""


@dataclass(frozen=True)
class ReadReport(Record):
    """What `read_documents` read, and what it left out.

    Attributes:
        documents: the documents, in the order of their files.
        unreadable: files that cannot be read, each with a sentence that says why.
        bad_rows: for each table with rows that cannot be used, a sentence that names them.
        skipped: sentences about files that are not documents: of unknown type, links, or not regular files.
    """

    documents: tuple[Document, ...]
    unreadable: Mapping[str, str]
    bad_rows: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every document, and every row, was read."""
        return not self.unreadable and not self.bad_rows


def load_documents(
    source: str | Path | Sequence[str | Path] | datasets.Dataset,
    *,
    strict: bool = False,
    on_bad_row: OnBadRow = "raise",
    text_columns: Sequence[str] | None = None,
) -> list[Document]:
    """Read documents.

    Args:
        source: a file, a folder (read recursively, in sorted order; hidden files are passed over), a list of these, or a
            `datasets.Dataset`. Types by extension: txt, md, rst, html/htm, pdf, docx, pptx, xlsx, eml, json, csv, tsv,
            jsonl. A row of a csv, tsv, jsonl or data set is a document, and so is an object of a json list of objects with a
            `text`; `id` and `title` are used if present, and the rest is metadata.
        strict: refuse what cannot be read in a folder, instead of leaving it out with a `SkippedFilesWarning` that names
            it: damaged files, files of unknown type, links (they may lead out of the folder) and what is not a regular
            file. A file that is named itself is always refused if it cannot be read, and may be a link.
        on_bad_row: "raise" refuses a row that is not JSON, has no text, or holds NaN or a lone surrogate; "skip" leaves it
            out with a `SkippedRowsWarning` that names it.
        text_columns: columns of tables that hold the text; several are joined, each with its name. By default `text`, or
            all columns of a table that has no column of that name.

    Raises:
        InvalidQuery: an argument is of another type.
        UnreadableDocument: a file is missing, is a binary file, has no text (a scanned pdf, say), or has a row that cannot
            be used, or none that can. All such files and rows are named in one message.
        UnknownFileType: see `strict`.
        EmptyCorpus: there are no documents.
    """
    if on_bad_row not in get_args(OnBadRow):
        raise InvalidQuery(f"on_bad_row is {on_bad_row!r}; pass 'raise' or 'skip'")
    reading = _read(source, text_columns)
    fatal = [error for file, error in reading.faults.items() if strict or file in reading.named]
    if on_bad_row == "raise":
        fatal += [UnreadableDocument(f"{rows[0]}; fix or remove it") for rows in reading.bad_rows.values()]
    if strict:
        fatal += [UnknownFileType(f"{sentence}; remove them or do without strict") for sentence in reading.skipped]
    if fatal:
        raise _joined(fatal)
    if not reading.documents and reading.faults:
        raise _joined(list(reading.faults.values()))
    if not reading.documents:
        raise EmptyCorpus(f"there is no document in {reading.name}; name files of type {', '.join(DOCUMENT_TYPES)}")
    for sentence in reading.skipped:
        warnings.warn(SkippedFilesWarning(f"{sentence} and are left out"), stacklevel=2)
    if reading.faults:
        count = len(reading.faults)
        reasons = "; ".join(map(str, reading.faults.values()))
        message = f"{count} {'file is' if count == 1 else 'files are'} left out because they cannot be read: {reasons}"
        warnings.warn(SkippedFilesWarning(message), stacklevel=2)
    for sentence in reading.bad_row_sentences().values():
        warnings.warn(SkippedRowsWarning(sentence), stacklevel=2)
    return reading.documents


def read_documents(
    source: str | Path | Sequence[str | Path] | datasets.Dataset, *, text_columns: Sequence[str] | None = None
) -> ReadReport:
    """Read every document that can be read, and report the others, however they were named.

    Args:
        source, text_columns: as in `load_documents`.

    Raises:
        InvalidQuery: an argument is of another type.
    """
    reading = _read(source, text_columns)
    return ReadReport(
        tuple(reading.documents),
        {file: str(error) for file, error in reading.faults.items()},
        reading.bad_row_sentences(),
        tuple(f"{sentence} and are left out" for sentence in reading.skipped),
    )


@dataclass
class _Reading:
    """What was read so far.

    Attributes:
        name: all sources, for messages.
        documents: those that were read.
        files: the files that were opened.
        faults: for each file that cannot be read, why.
        named: files of these that the caller named, rather than a folder that they are in.
        bad_rows: for each table with rows that cannot be used, a sentence about each of them.
        row_counts: number of all rows of those tables.
        skipped: sentences about files that are not documents.
    """

    name: str
    documents: list[Document] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    faults: dict[str, DocumentError] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    bad_rows: dict[str, list[str]] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def bad_row_sentences(self) -> dict[str, str]:
        """A sentence for each table with rows that cannot be used."""
        return {
            table: f"{len(sentences)} of {self.row_counts[table]} rows of {table} cannot be used and are left out: "
            + "; ".join(sentences[:5])
            + ("; …" if len(sentences) > 5 else "")
            for table, sentences in self.bad_rows.items()
        }


def _read(source: Any, text_columns: Sequence[str] | None) -> _Reading:
    if text_columns is not None:
        check_texts("text_columns", text_columns)
        if not text_columns:
            raise InvalidQuery("text_columns is empty; name a column, or leave it out")
    if hasattr(source, "column_names"):
        reading = _Reading("the data set")
        rows = ((f"row {i} of the data set", f"dataset:{i}", row) for i, row in enumerate(cast("Iterable[Any]", source)))
        _read_rows(reading, "the data set", rows, text_columns)
        _make_ids_unique(reading)
        return reading
    paths = _checked_paths(source)
    reading = _Reading(", ".join(map(str, paths)) or "an empty list")
    _read_paths(reading, paths, text_columns)
    _make_ids_unique(reading)
    return reading


def _read_paths(reading: _Reading, paths: Sequence[Path], text_columns: Sequence[str] | None) -> None:
    for path in paths:
        if path.is_dir():
            for file in _files_in(path, reading):
                _read_file(reading, file, text_columns)
        else:
            reading.named.add(str(path))
            if (error := _unusable(path)) is not None:
                reading.faults[str(path)] = error
            else:
                _read_file(reading, path, text_columns)


def _make_ids_unique(reading: _Reading) -> None:
    """Name rows by their file and line where two have the same id, as rows of two tables may."""
    counts = Counter(document.id for document in reading.documents)
    reading.documents = [
        replace(document, id=document.source) if counts[document.id] > 1 and document.source else document
        for document in reading.documents
    ]


def _checked_paths(source: Any) -> list[Path]:
    paths = [source] if isinstance(source, str | Path) else source
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise InvalidQuery(f"source is {source!r}; pass a path, a list of paths or a datasets.Dataset")
    if any(path == "" for path in paths):
        raise InvalidQuery("a path is empty; name a file or folder")
    return list(dict.fromkeys(Path(path) for path in paths))


def _joined(errors: Sequence[DocumentError]) -> DocumentError:
    """One error of several, with all their sentences."""
    if len(errors) == 1:
        return errors[0]
    kind = UnknownFileType if all(isinstance(error, UnknownFileType) for error in errors) else UnreadableDocument
    return kind(f"{len(errors)} sources cannot be used: {'; '.join(map(str, errors))}")


# -- files and folders ---------------------------------------------------------------------------------------------------


def _unusable(path: Path) -> DocumentError | None:
    """Why a file that the caller named cannot be opened."""
    if not path.exists():
        return UnreadableDocument(f"{path} does not exist")
    if path.suffix.lower() not in DOCUMENT_TYPES:
        return UnknownFileType(
            f"{path} has the type {path.suffix or '(none)'!r}; name files of type {', '.join(DOCUMENT_TYPES)}"
        )
    if not path.is_file():
        return UnreadableDocument(f"{path} is not a regular file; copy its text into one")
    return None


def _files_in(folder: Path, reading: _Reading) -> list[Path]:
    """List the files of a folder that can be documents, sorted; sentences about the others go to `reading`."""
    entries = sorted(_entries(folder, reading))
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
        reading.skipped.append(f"{len(names)} of {len(entries)} files in {folder} {fault} ({named})")
    return readable


def _entries(folder: Path, reading: _Reading) -> Iterator[Path]:
    """Find what is in a folder and its subfolders, without what is hidden and without following links."""

    def note(error: OSError) -> None:
        reading.faults[str(error.filename)] = UnreadableDocument(f"{error.filename} cannot be read: {error.strerror}")

    for inside, folders, names in os.walk(folder, onerror=note):
        links = [name for name in folders if (Path(inside) / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        # Office programs keep such a file beside a document that is open.
        visible = [name for name in names + links if not name.startswith((".", "~$"))]
        yield from (Path(inside) / name for name in visible)


def _read_file(reading: _Reading, path: Path, text_columns: Sequence[str] | None) -> None:
    # A file may be named, and be in a folder that is named.
    if str(path) in reading.files:
        return
    reading.files.add(str(path))
    try:
        rows = load_rows(path)
        if rows is not None:
            places = ((f"line {number} of {path}", f"{path}:{number}", row) for number, row in rows)
            _read_rows(reading, str(path), places, text_columns)
        else:
            reading.documents += _documents_of(path)
    except DocumentError as error:
        reading.faults[str(path)] = error


def _documents_of(path: Path) -> list[Document]:
    texts = load_texts(path)
    documents = []
    for loaded in texts:
        # Half a character, as a pdf may have: no user can repair it, and nothing that holds it can be stored.
        text = re.sub("[\ud800-\udfff]", "\ufffd", loaded.text)
        if not text.strip():
            continue
        name = str(path) if loaded.part is None else f"{path}:{loaded.part}"
        title = loaded.title or (path.stem if loaded.part is None else f"{path.stem}, {loaded.part}")
        documents.append(Document(name, text, title, str(path), loaded.metadata, loaded.page_starts))
    if not documents:
        raise UnreadableDocument(f"{path} holds no text; leave it out")
    return documents


def _read_rows(
    reading: _Reading, table: str, rows: Iterable[tuple[str, str, Any]], text_columns: Sequence[str] | None
) -> None:
    """Make a document of each row; `rows` has the place of a row for messages, its source, and the row or its JSON."""
    from retrieval.loaders.tables import document_of_row

    documents: list[Document] = []
    faults: list[str] = []
    for place, source, row in rows:
        try:
            documents.append(document_of_row(row, source, text_columns))
        except ValueError as error:
            faults.append(f"{place} {error}")
    if faults and not documents:
        reading.faults[table] = UnreadableDocument(f"no row of {table} can be used: {faults[0]}")
    elif faults:
        reading.bad_rows[table] = faults
        reading.row_counts[table] = len(faults) + len(documents)
    elif not documents and table != "the data set":
        reading.faults[table] = UnreadableDocument(f"{table} holds no rows; leave it out")
    reading.documents += documents
