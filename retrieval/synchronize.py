"""Keeping an index in step with files: documents that were added, changed or removed since it was built.

A document of the index belongs to a file by its `source`. Relative paths are resolved in the working folder, so `docs`,
`./docs` and its absolute path are the same folder. Not covered: watching files; call `sync_documents` when they may have
changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieval.changes import OnMissing
from retrieval.documents import ReadReport, read_documents
from retrieval.errors import InvalidQuery, UnknownId
from retrieval.passages import Document, IndexedDocument, UpdateReport
from retrieval.records import Record
from retrieval.split import split_documents
from retrieval.store import PassageStore

__all__ = ["SyncReport", "delete_documents", "put_documents", "sync_documents"]


@dataclass(frozen=True)
class SyncReport(Record):
    """What a synchronization read and changed.

    Attributes:
        read: what was read, and which files could not be.
        update: how the index was changed; None if nothing could be read and nothing was to be deleted.
    """

    read: ReadReport
    update: UpdateReport | None


def sync_documents(
    index: PassageStore,
    paths: str | Path | Sequence[str | Path],
    *,
    max_tokens: int | None = None,
    overlap: int = 1,
    text_columns: Sequence[str] | None = None,
) -> SyncReport:
    """Make an index hold the documents of some files and folders as they are now, in one step.

    New documents are added, changed ones replaced whole, and those whose files or rows are gone are deleted. Documents of
    a file that cannot be read, and documents from elsewhere, stay.

    Args:
        index: the index.
        paths: files and folders.
        max_tokens, overlap: as in `split_documents`; other values than before replace all documents.
        text_columns: as in `load_documents`.

    Raises:
        RetrievalError: as `read_documents`, `split_documents` and `PassageStore.update`.
    """
    folders = [paths] if isinstance(paths, str | Path) else paths
    read = read_documents(folders, text_columns=text_columns)
    documents = _as_indexed(index, read.documents)
    present = {document.id for document in documents}
    is_inside, is_kept = _inside(folders), _inside([*read.unreadable, *read.bad_rows])
    gone = [d.id for d in index.documents() if d.id not in present and is_inside(d) and not is_kept(d)]
    return SyncReport(read, _update(index, documents, gone, "add", max_tokens, overlap))


def put_documents(
    index: PassageStore,
    paths: str | Path | Sequence[str | Path],
    *,
    on_missing: OnMissing = "add",
    max_tokens: int | None = None,
    overlap: int = 1,
    text_columns: Sequence[str] | None = None,
) -> SyncReport:
    """Put the documents of some files and folders in an index as they are now; nothing is deleted.

    Args:
        index: the index.
        paths: files and folders.
        on_missing: for documents that are not in the index, as in `PassageStore.update`.
        max_tokens, overlap, text_columns: as in `sync_documents`.

    Raises:
        RetrievalError: as `sync_documents`.
    """
    read = read_documents(paths, text_columns=text_columns)
    documents = _as_indexed(index, read.documents)
    return SyncReport(read, _update(index, documents, [], on_missing, max_tokens, overlap))


def delete_documents(index: PassageStore, names: Sequence[str | Path]) -> tuple[str, ...]:
    """Remove documents from an index.

    Args:
        index: the index.
        names: ids of documents or passages, files, or folders; files and folders need not exist any more.

    Returns:
        Ids of the documents and passages that were removed.

    Raises:
        UnknownId: nothing in the index has one of these names; nothing is changed.
        InvalidQuery: there are no names.
    """
    if isinstance(names, str | Path) or not names:
        raise InvalidQuery(f"names is {names!r}; pass a list of at least one id, file or folder")
    documents = index.documents()
    by_id = {document.id for document in documents}
    doomed: dict[str, None] = {}
    missing = []
    for name in names:
        if str(name) in by_id or str(name) in index:
            doomed[str(name)] = None
        elif contents := list(filter(_inside([name]), documents)):
            doomed.update(dict.fromkeys(document.id for document in contents))
        else:
            missing.append(str(name))
    if missing:
        raise UnknownId(
            f"{index.location} holds nothing called {', '.join(map(repr, missing))}, and nothing from such a file or "
            "folder; list its documents with PassageStore.documents or 'halluc index list'"
        )
    index.delete(list(doomed))
    return tuple(doomed)


def _update(
    index: PassageStore,
    documents: Sequence[Document],
    gone: Sequence[str],
    on_missing: OnMissing,
    max_tokens: int | None,
    overlap: int,
) -> UpdateReport | None:
    if not documents and not gone:
        return None
    passages = (
        split_documents(documents, max_tokens=max_tokens, overlap=overlap, embedder=index.embedder) if documents else []
    )
    return index.update(passages, delete=gone, on_missing=on_missing)


def _as_indexed(index: PassageStore, documents: Iterable[Document]) -> list[Document]:
    """Name documents as the index names them, if their paths were written in another way when it was built."""
    names = {_normal(_file(d.source)): str(_file(d.source)) for d in index.documents() if d.source is not None}
    renamed = []
    for document in documents:
        path = str(_file(document.source or ""))
        name = names.get(_normal(path), path)
        if name != path and document.source is not None:
            document = replace(
                document,
                id=name + document.id[len(path) :] if document.id.startswith(path) else document.id,
                source=name + document.source[len(path) :],
            )
        renamed.append(document)
    return renamed


def _inside(paths: Iterable[str | Path]) -> Callable[[IndexedDocument], bool]:
    """A test of whether a document is from one of some files or folders."""
    places = {_normal(path) for path in paths}

    def is_inside(document: IndexedDocument) -> bool:
        if document.source is None:
            return False
        file = _normal(_file(document.source))
        return not places.isdisjoint((file, *file.parents))

    return is_inside


def _file(source: str) -> Path:
    """The file of a source, which may name a row of it: "table.csv:7"."""
    return Path(re.sub(r"(?<=.):\d+$", "", source))


def _normal(path: str | Path) -> Path:
    """The absolute path without `..`; links are not resolved, as they may have changed."""
    return Path(os.path.normpath(Path(path).absolute()))
