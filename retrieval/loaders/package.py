"""What the packages of Office programs (docx, pptx, xlsx) share: opening one safely, and its properties."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument

__all__ = ["core_metadata", "opened_package"]

# A package of some kilobytes can be made to unpack to more than the memory.
_LARGEST_UNPACKED = 1 << 30


def opened_package(path: Path, open_package: Callable[[str], Any], kind: str) -> Any:
    """Open a package.

    Args:
        path: the file.
        open_package: opens it; may raise anything.
        kind: what it should be, for messages ("Word document").

    Raises:
        UnreadableDocument: it is damaged, protected, something else, or unpacks to more than 1 GiB.
    """
    try:
        if path.read_bytes()[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            raise UnreadableDocument(
                f"{path} is protected with a password or has the format of an older program; save it as {path.suffix} "
                "without a password"
            )
        with zipfile.ZipFile(path) as package:
            unpacked = sum(entry.file_size for entry in package.infolist())
        if unpacked > _LARGEST_UNPACKED:
            raise UnreadableDocument(f"{path} unpacks to {unpacked >> 20} MiB; leave it out")
        return open_package(str(path))
    except UnreadableDocument:
        raise
    except OSError as error:
        if error.errno is not None:
            raise UnreadableDocument(f"{path} cannot be read: {error.strerror}") from error
        raise UnreadableDocument(f"{path} cannot be read as a {kind}: {error}") from error
    # A damaged package makes the libraries raise whatever their parsers raise.
    except Exception as error:
        raise UnreadableDocument(f"{path} cannot be read as a {kind}: {error or type(error).__name__}") from error


def core_metadata(properties: Any) -> tuple[str | None, dict[str, Any]]:
    """The title of a package, and its other properties that are worth filtering by: author, subject and keywords."""
    values = {
        name: str(getattr(properties, name, None) or "").strip() for name in ("title", "author", "subject", "keywords")
    }
    # Names that programs and libraries write into the files that they make.
    if values["author"] in ("python-docx", "openpyxl"):
        del values["author"]
    title = values.pop("title")
    return (None if title in ("", "Word Document", "PowerPoint Presentation") else title), {
        name: value for name, value in values.items() if value
    }
