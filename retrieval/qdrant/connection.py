"""The client of one Qdrant server or folder, and its errors in one sentence."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.errors import IndexClosed, IndexLocked, IndexWriteFailed, StoreUnavailable
from retrieval.qdrant.address import QdrantAddress

__all__ = ["Connection"]

_SECONDS = 60
# Embedded clients of this process by their folders, each with its lock, the number of its users and the indexes they used: a
# folder has one client.
_embedded: dict[Path, list[Any]] = {}
_embedded_lock = threading.Lock()


class Connection:
    """A client, which several threads may use.

    Attributes:
        address: where the index is.
        is_first: whether no other object of this process used the index; always false on a server.

    Raises:
        StoreUnavailable: the folder cannot be used. A server is first reached by a call.
        IndexLocked: another process serves the folder.
    """

    def __init__(self, address: QdrantAddress) -> None:
        from qdrant_client import QdrantClient

        self.address = address
        self.is_first = False
        self._closed = False
        if address.folder is None:
            self._lock: Any = threading.RLock()
            self._client: Any = QdrantClient(
                url=address.server,
                api_key=os.environ.get("QDRANT_API_KEY"),
                timeout=_SECONDS,
                check_compatibility=False,
            )
            return
        with _embedded_lock:
            folder = address.folder.absolute()
            if folder not in _embedded:
                _embedded[folder] = [_embedded_client(address), threading.RLock(), 0, set()]
            entry = _embedded[folder]
            entry[2] += 1
            self.is_first = address.name not in entry[3]
            entry[3].add(address.name)
            self._client, self._lock = entry[:2]

    def close(self) -> None:
        """Release the client; using it afterwards raises `IndexClosed`."""
        if self._closed:
            return
        self._closed = True
        if self.address.folder is None:
            self._client.close()
            return
        with _embedded_lock:
            folder = self.address.folder.absolute()
            _embedded[folder][2] -= 1
            if not _embedded[folder][2]:
                _embedded.pop(folder)[0].close()

    def check_open(self) -> None:
        """Raise `IndexClosed` after `close`."""
        if self._closed:
            raise IndexClosed(f"the index {self.address} is closed; open it again with retrieval.open_store")

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client.

        Raises:
            IndexClosed: after `close`.
        """
        self.check_open()
        function = getattr(self._client, method)
        if self.address.folder is None:
            return function(*arguments, **options)
        with self._lock, warnings.catch_warnings():
            # That payload indexes have no effect, and that a large index belongs on a server.
            warnings.simplefilter("ignore")
            return function(*arguments, **options)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise the errors of calls in the block as `StoreUnavailable`."""
        with self._errors() as errors:
            yield
        if errors:
            raise StoreUnavailable(f"{self.address} cannot be reached or refuses: {errors[0]}") from errors[1]

    @contextmanager
    def writing(self, outcome: str) -> Iterator[None]:
        """Raise the errors of calls in the block as `IndexWriteFailed`, which says what was written."""
        with self._errors() as errors:
            yield
        if errors:
            raise IndexWriteFailed(f"writing to {self.address} failed ({errors[0]}); {outcome}") from errors[1]

    @contextmanager
    def _errors(self) -> Iterator[list[Any]]:
        """Collect the reason and the error, if a call in the block fails."""
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        errors: list[Any] = []
        try:
            yield errors
        except ResponseHandlingException as error:
            errors += [str(error.source) or type(error.source).__name__, error]
        except UnexpectedResponse as error:
            refused = error.status_code in (401, 403)
            reason = "the server refuses the API key; set QDRANT_API_KEY" if refused else error.reason_phrase
            errors += [reason, error]


def _embedded_client(address: QdrantAddress) -> Any:
    from qdrant_client import QdrantClient

    try:
        return QdrantClient(path=str(address.folder))
    except RuntimeError as error:
        raise IndexLocked(
            f"another process uses {address}; Qdrant's embedded mode serves one process at a time, a server serves many"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreUnavailable(f"the folder of {address} cannot be used: {error}") from error
