"""Documents of the index: uploads are kept as files in one folder, from which the index takes them; passages are read.

An upload replaces the document of the same name whole. Searches go on meanwhile: the index is written in a thread of its
own, through another object than the one that searches. Not covered: the types of files (retrieval.loaders).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from halluc.errors import InvalidInput, RetrievalFailed
from halluc.files import can_write_into
from halluc.server.worker import Worker
from retrieval.documents import DOCUMENT_TYPES, read_documents
from retrieval.embedders import is_endpoint
from retrieval.errors import UnknownId
from retrieval.synchronize import delete_documents, sync_documents

if TYPE_CHECKING:
    from halluc.server.options import ServerOptions
    from retrieval import PassageStore

__all__ = ["DocumentService"]

T = TypeVar("T")

_MAX_NAME = 200
# Separators, characters that some file systems refuse, and control characters.
_BAD_IN_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


class DocumentService:
    """Reads passages, and adds and removes documents.

    Args:
        index: the index that the server searches; None refuses everything.
        options: with the folder of uploads, None to refuse them.

    Raises:
        InvalidInput: the folder or the index cannot be written to.
    """

    def __init__(self, index: PassageStore | None, options: ServerOptions) -> None:
        self._index, self._options = index, options
        self._folder = options.uploads
        if self._folder is not None:
            _check_writable(self._folder, index)
            self._folder = self._folder.absolute()
        self._writer: PassageStore | None = None
        # A document takes seconds or minutes, in which searches must not wait.
        self._worker = Worker(max_batch=1, max_queue=8)

    @property
    def features(self) -> dict[str, Any]:
        """The fields of /features about documents."""
        return {
            "passages": None if self._index is None else len(self._index),
            "uploads": self._folder is not None,
            "file_types": list(DOCUMENT_TYPES),
            "max_upload": self._options.max_upload,
        }

    def add_routes(self, app: FastAPI) -> None:
        """Add /documents and /passages to an application."""
        app.get("/documents", summary="Count the documents of the index, and list those that were uploaded")(self.documents)
        app.put("/documents/{name}", summary="Upload a document (the bytes of its file)", response_class=Response)(self.put)
        app.delete("/documents/{name}", summary="Remove an uploaded document", response_class=Response)(self.delete)
        app.get("/passages/{id:path}", summary="Get a passage of the index")(self.passage)

    def close(self, timeout: float) -> None:
        """End the thread that writes, unless it takes longer than this."""
        self._worker.close(timeout)

    async def documents(self) -> dict[str, Any]:
        """Count the documents of the index, and list those that were uploaded."""
        return await self._in_thread(self._documents)

    async def passage(self, id: str) -> dict[str, Any]:
        """Get a passage with its whole text."""
        index = self._index
        if index is None:
            raise HTTPException(404, "this server has no index; start it with --index")
        try:
            return index.get(id).to_dict()
        except UnknownId as error:
            raise HTTPException(404, f"there is no passage {id!r}; it may have been replaced since") from error

    async def put(self, name: str, request: Request) -> Response:
        """Store a document and index it. With the header `If-None-Match: *`, one that is there already is not replaced."""
        path = self._path(name)
        content = await request.body()
        if not content:
            raise HTTPException(400, f"{name!r} is empty; send the bytes of the file")
        replace = request.headers.get("if-none-match") != "*"
        fields = await self._in_thread(lambda: self._put(path, content, replace=replace))
        return JSONResponse(fields, 200 if fields["replaced"] else 201)

    async def delete(self, name: str) -> Response:
        """Remove an uploaded document, from the index and from the folder."""
        path = self._path(name)
        return JSONResponse(await self._in_thread(lambda: self._delete(path)))

    # -- private ---------------------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._worker.run("documents", lambda items: [item() for item in items], work)

    def _path(self, name: str) -> Path:
        """The file of an upload; names are those of files, not of paths."""
        if self._folder is None:
            raise HTTPException(403, "this server takes no documents; start it with --index and --uploads FOLDER")
        if not name.strip() or name.startswith(".") or _BAD_IN_NAME.search(name) or len(name.encode()) > _MAX_NAME:
            raise HTTPException(
                400,
                f"{name[:80]!r} cannot be the name of a document; use at most {_MAX_NAME} bytes, without a leading dot, "
                "slashes and the like",
            )
        if Path(name).suffix.lower() not in DOCUMENT_TYPES:
            raise HTTPException(415, f"{name!r} is of no type that can be read; send one of {', '.join(DOCUMENT_TYPES)}")
        return self._folder / name

    def _documents(self) -> dict[str, Any]:
        index, folder = self._index, self._folder
        if index is None:
            return {"documents": 0, "passages": 0, "uploaded": []}
        index.refresh()
        files = [] if folder is None else sorted(folder.iterdir())
        uploaded = [
            {"name": file.name, "bytes": file.stat().st_size}
            for file in files
            if file.is_file() and not file.name.startswith(".") and file.suffix.lower() in DOCUMENT_TYPES
        ]
        return {"documents": len(index.documents()), "passages": len(index), "uploaded": uploaded}

    def _put(self, path: Path, content: bytes, *, replace: bool) -> dict[str, Any]:
        replaced = path.exists()
        if replaced and not replace:
            raise HTTPException(
                412, f"there is a document {path.name!r} already; send it without If-None-Match to replace it"
            )
        try:
            # Read before anything is replaced. Hidden, so that a folder that is synchronized meanwhile lacks it.
            with TemporaryDirectory(prefix=".upload-", dir=path.parent) as temporary:
                new = Path(temporary) / path.name
                new.write_bytes(content)
                read = read_documents([new])
                if not read.documents:
                    reasons = [*read.unreadable.values(), *read.bad_rows.values(), *read.skipped]
                    raise InvalidInput("; ".join(reasons).replace(str(new), path.name))
                new.replace(path)
        except OSError as error:
            raise RetrievalFailed(f"{path.name} cannot be stored: {error.strerror or error}") from error
        index = self._writing_index()
        update = sync_documents(index, [path]).update
        assert update is not None
        return {
            "name": path.name,
            "replaced": replaced,
            "added": update.added,
            "removed": update.removed,
            "duplicates": len(update.duplicates),
            "left_out": [sentence.replace(str(new), path.name) for sentence in read.bad_rows.values()],
            "passages": len(index),
        }

    def _delete(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise HTTPException(404, f"no document {path.name!r} was uploaded")
        index = self._writing_index()
        before = len(index)
        # If all of its texts were in the index before, the index has nothing of it.
        with suppress(UnknownId):
            delete_documents(index, [path])
        try:
            path.unlink()
        except OSError as error:
            raise RetrievalFailed(f"{path.name} cannot be removed: {error.strerror or error}") from error
        return {"name": path.name, "removed": before - len(index), "passages": len(index)}

    def _writing_index(self) -> PassageStore:
        """Another object for the same index, with an embedder of its own: tokenizers cannot be used by two threads."""
        assert self._index is not None
        if self._writer is None:
            name = self._index.info().embedder
            # An endpoint is contacted only if it was named to this server, which then has it.
            self._writer = self._index.reopen(embedder=self._index.embedder if is_endpoint(name) else None)
        return self._writer


def _check_writable(folder: Path, index: PassageStore | None) -> None:
    if index is None:
        raise InvalidInput(f"uploads are kept in {folder}, but there is no index; pass one, or leave the folder out")
    from retrieval import PassageIndex

    places = [(folder, "folder for uploads")]
    if isinstance(index, PassageIndex):
        places.append((index.path, "index"))
        if folder.absolute().is_relative_to(index.path):
            raise InvalidInput(f"the folder {folder} is inside the index {index.path}; name another folder for uploads")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the folder {folder} for uploads cannot be made: {error.strerror or error}") from error
    for place, what in places:
        if not can_write_into(place):
            raise InvalidInput(f"the {what} {place} cannot be written to; make it writable, or serve without uploads")
