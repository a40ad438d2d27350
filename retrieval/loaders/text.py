"""From bytes to text: the encoding of a file, and what every loader returns.

A file without a byte order mark that is not UTF-8 is decoded with the encoding that it declares (HTML) or that its bytes
suggest. Not covered: the formats themselves, each in a module of this folder.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.files import whole_characters

__all__ = ["LoadedText", "decode", "load_plain_text", "read_bytes", "read_text"]

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings that files of today have; those of old Macintosh and DOS systems would be taken for them.
# fmt: off
_COMMON_ENCODINGS = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "koi8_r", "cp874",
    "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949",
]
# fmt: on
# A guess from fewer bytes than this that are not ASCII is chance: Western European is the most common answer.
_FEWEST_BYTES_TO_GUESS = 24


@dataclass(frozen=True)
class LoadedText:
    """One text of a file.

    Attributes:
        text: paragraphs, separated by blank lines.
        title: the title that the file itself has; None if it has none.
        metadata: JSON values that the file states about itself.
        page_starts: position in `text` at which each page (or slide) starts, ascending; empty if there are no pages.
        part: names one text among several of a file, such as a worksheet; None if the file is one text.
    """

    text: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    page_starts: tuple[int, ...] = ()
    part: str | None = None


def load_plain_text(path: Path) -> list[LoadedText]:
    """Read a text file as it is."""
    return [LoadedText(read_text(path))]


def read_text(path: Path) -> str:
    """Read a text file in whatever encoding it is.

    Raises:
        UnreadableDocument: it cannot be read or is a binary file.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UnreadableDocument: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableDocument(f"{path} cannot be read: {error.strerror}") from error


def decode(content: bytes, path: Path, *, declared: str | None = None) -> str:
    """Decode the bytes of a text file.

    Args:
        content: the bytes.
        path: the file, for messages.
        declared: encoding that the file states, used if the bytes are not UTF-8.

    Raises:
        UnreadableDocument: the bytes are not text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decoded(content, encoding, path)
    if b"\0" in content:
        if (byte_order := _utf16_without_mark(content)) is not None:
            return _decoded(content, byte_order, path)
        raise UnreadableDocument(f"{path} is a binary file, not text; convert it or leave it out")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _decoded(content, _known(declared) or _guessed(content), path)


def _decoded(content: bytes, encoding: str, path: Path) -> str:
    try:
        return whole_characters(content.decode(encoding))
    except UnicodeError as error:
        raise UnreadableDocument(f"{path} is not {encoding} text ({error}); convert it to UTF-8") from error


def _utf16_without_mark(content: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a zero in every second byte; binary files have them, and control codes, anywhere."""
    sample = content[:4096]
    if len(content) % 2 or re.search(rb"[\x01-\x08\x0e-\x1f]", sample):
        return None
    half = len(sample) // 2
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * half and even < 0.01 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.01 * half:
        return "utf-16-be"
    return None


def _known(encoding: str | None) -> str | None:
    """The encoding if Python has it, with Windows-1252 for ISO-8859-1, as browsers read it."""
    if encoding is None:
        return None
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return None
    return "cp1252" if name in ("iso8859-1", "ascii") else name


def _guessed(content: bytes) -> str:
    """The encoding that the bytes suggest; Latin-1, which decodes anything, if none does."""
    from charset_normalizer import from_bytes

    unusual = re.sub(rb"[\x00-\x7f]", b"", content)
    encoding = "cp1252"
    if (
        len(unusual) >= _FEWEST_BYTES_TO_GUESS
        and (best := from_bytes(content, cp_isolation=_COMMON_ENCODINGS).best()) is not None
    ):
        encoding = best.encoding
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return "latin-1"
    return encoding
