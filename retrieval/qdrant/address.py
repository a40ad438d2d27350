"""URLs of indexes in Qdrant.

    qdrant://host:6333#name         a server; qdrants:// for one behind TLS
    qdrant:///path/to/folder#name   Qdrant's embedded mode, for tests and small indexes: one process at a time, exact search

The API key comes from QDRANT_API_KEY. A URL with a key is refused, since URLs end up in saved settings, in logs and on
screens. The name is that of the index; by default "halluc". Open embedded folders of your own only: the client unpickles
what is in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from retrieval.errors import InvalidQuery

__all__ = ["QdrantAddress", "parse_address"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class QdrantAddress:
    """Where an index is.

    Attributes:
        name: of the index, which is the collection NAME with the collection NAME.facts beside it.
        location: the URL, with the defaults of port and name.
        server: http(s) address of the server; None for a folder.
        folder: of the embedded mode; None for a server.
    """

    name: str
    location: str
    server: str | None = None
    folder: Path | None = None

    @property
    def facts(self) -> str:
        """The collection with the facts of the index."""
        return f"{self.name}.facts"

    def __str__(self) -> str:
        return self.location


def parse_address(url: str) -> QdrantAddress:
    """Parse the URL of an index in Qdrant.

    Raises:
        InvalidQuery: it is no such URL, it has a key, or the name cannot be that of an index.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # It quotes the part that it does not understand, which may be the key.
        host, port, parts = None, None, urlsplit("qdrant:")
    name = parts.fragment or "halluc"
    if "@" in name or not _NAME.fullmatch(name):
        shown = "what follows the #" if "@" in name else repr(name)
        raise InvalidQuery(
            f"{shown} cannot name an index in Qdrant; use letters, digits, - and _, such as qdrant://host#manuals"
        )
    if parts.username is not None:
        raise InvalidQuery(
            "the qdrant URL has an API key or a user name, which would end up in saved settings and logs; leave it out, and "
            "set QDRANT_API_KEY"
        )
    scheme = parts.scheme.lower()
    if host is None and scheme == "qdrant" and parts.path.strip("/") and not parts.netloc:
        folder = Path(unquote(parts.path))
        return QdrantAddress(name, f"qdrant://{folder}#{name}", folder=folder)
    if host is None or parts.query or parts.path not in ("", "/"):
        raise InvalidQuery("the qdrant URL cannot be read; write qdrant://host:6333#name, or qdrant:///folder#name")
    host = f"[{host}]" if ":" in host else host
    port = port or 6333
    web = "https" if scheme == "qdrants" else "http"
    return QdrantAddress(name, f"{scheme}://{host}:{port}#{name}", f"{web}://{host}:{port}")
