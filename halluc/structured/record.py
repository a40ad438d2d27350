"""What every kind of structured text is read into: blocks of records, which have labeled values.

Not covered: finding them (tables.py, html_tables.py, literals.py, key_values.py) and writing them as sentences
(statements.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Block", "Field", "Record", "label_words"]


@dataclass(frozen=True)
class Field:
    """A labeled value: a cell of a table below its header, or an entry of an object.

    Attributes:
        label: the header or key in words; empty where the header of a column is.
        value: the value in words.
        start, end: its characters [start, end) of the text.
    """

    label: str
    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Record:
    """A row of a table, or the entries of an object that stand together.

    Attributes:
        heading: what the record is about, such as the keys of the objects around it; may be empty.
        fields: its values in the order of the text, at least one.
    """

    heading: str
    fields: tuple[Field, ...]

    @property
    def start(self) -> int:
        """Where the first value begins in the text."""
        return self.fields[0].start

    @property
    def end(self) -> int:
        """Where the last value ends in the text."""
        return max(field.end for field in self.fields)


@dataclass(frozen=True)
class Block:
    """A table, an object or a list of keys with values.

    Attributes:
        start, end: its characters [start, end) of the text.
        records: its records in the order of the text.
        kind: "table", "object" (JSON and the like) or "keys" (lines of keys with values).
    """

    start: int
    end: int
    records: tuple[Record, ...]
    kind: Literal["table", "object", "keys"]


_WORD_BOUNDARY = re.compile(r"_+|(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z][A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def label_words(key: str) -> str:
    """Split a key into words: "review_stars" is "review stars", "OutdoorSeating" is "outdoor seating".

    A key that has spaces already is left as it is.
    """
    key = " ".join(key.split())
    if " " in key or not _WORD_BOUNDARY.search(key):
        return key
    words = _WORD_BOUNDARY.sub(" ", key).split()
    if max(map(len, words), default=0) < 3:  # "WiFi"
        return key
    return " ".join(word.lower() if word[1:].islower() or len(word) == 1 else word for word in words)
