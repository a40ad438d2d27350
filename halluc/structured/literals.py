"""Find objects and lists in a text that are written in JSON or as Python literals, with the place of each value.

The scanner is tolerant: single quotes, `None`, line breaks inside strings, trailing commas and an object cut off at the end
of the text are read. It takes time linear in the text and does not recurse. Not covered: YAML, and scalars on their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from halluc.structured.record import Block, Field, Record, label_words

__all__ = ["literal_blocks"]

_OPENING = re.compile(r"[{\[]\s*(?=[\"'{\[])")
_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<open>[\"'])|(?P<number>-?\d[\d.eE+-]*)"
    r"|(?P<word>true|false|null|True|False|None|NaN)\b|(?P<mark>[{}\[\]:,]))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\n", "b": "", "f": "\n"}
_WORDS = {"true": "yes", "false": "no"}
_NOTHING = ("null", "none", "nan", "")
# Values nested more deeply are not data that anyone wrote to be read.
_MAX_DEPTH = 30


class _Leaf(NamedTuple):
    """A scalar, the keys and positions that lead to it, and its characters [start, end) of the text."""

    path: tuple[str | int, ...]
    value: str
    start: int
    end: int


def literal_blocks(text: str) -> list[Block]:
    """Find the objects, and the lists of objects, of a text.

    Returns:
        Blocks in the order of the text. A list that has no keys is none.
    """
    blocks: list[Block] = []
    position = 0
    while opening := _OPENING.search(text, position):
        leaves, end, complete = _scan(text, opening.start())
        keys = {leaf.path for leaf in leaves if any(isinstance(step, str) for step in leaf.path)}
        if (complete and keys) or (end == len(text) and len(keys) > 1):
            blocks.append(Block(opening.start(), end, tuple(_records(leaves)), "object"))
        position = max(end, opening.end())
    return [block for block in blocks if block.records]


def _scan(text: str, start: int) -> tuple[list[_Leaf], int, bool]:
    """Read one object or list; return its scalars, where reading ended, and whether it was closed there."""
    leaves: list[_Leaf] = []
    path: list[str | int | None] = []  # per open container its current key or position; None in an object before a key
    position = start
    key: str | None = None  # a string of an object that a colon may follow
    while token := _TOKEN.match(text, position):
        position = token.end()
        mark = token["mark"]
        in_object = bool(path) and not isinstance(path[-1], int)
        if mark in ("{", "["):
            if len(path) >= _MAX_DEPTH or (in_object and path[-1] is None):
                break
            path.append(None if mark == "{" else 0)
            key = None
        elif mark in ("}", "]"):
            if not path or (mark == "}") != in_object:
                break
            path.pop()
            if not path:
                return leaves, position, True
        elif mark == ":":
            if not in_object or path[-1] is not None or key is None:
                break
            path[-1], key = key, None
        elif mark == ",":
            step = path[-1]
            path[-1] = step + 1 if isinstance(step, int) else None
        elif in_object and path[-1] is None:
            if key is not None or token["string"] is None:
                break
            key = _unescape(token["string"][1:-1])
        else:
            value, begin, end = _scalar(text, token)
            position = max(position, end)
            leaves.append(_Leaf(tuple(step for step in path if step is not None), value, begin, end))
    return leaves, len(text) if not text[position:].strip() else position, False


def _scalar(text: str, token: re.Match[str]) -> tuple[str, int, int]:
    """The value of a token, and its characters without quotes; an open quotation mark takes the rest of the text."""
    if token["string"] is not None:
        start, end = token.span("string")
        return _unescape(text[start + 1 : end - 1]), start + 1, end - 1
    if token["open"] is not None:
        start = token.end("open")
        return _unescape(text[start:]), start, len(text)
    start, end = token.span("number") if token["number"] is not None else token.span("word")
    value = text[start:end]
    return value[:-2] if value.endswith(".0") else value, start, end


def _unescape(string: str) -> str:
    if "\\" not in string:
        return string
    string = _ESCAPE.sub(
        lambda match: chr(int(match[1][1:], 16)) if match[1][1:] else _ESCAPES.get(match[1], match[1]), string
    )
    # Two escapes may make one character.
    return string.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _records(leaves: list[_Leaf]) -> Iterator[Record]:
    """One record per object: its scalars, and its lists of scalars as one value each."""
    for parent, entries in groupby(_entries(leaves), key=lambda entry: entry[0]):
        fields = tuple(Field(label, value, start, end) for _, label, value, start, end in entries)
        yield Record(_heading(parent), fields)


def _entries(leaves: list[_Leaf]) -> Iterator[tuple[tuple[str | int, ...], str, str, int, int]]:
    """(path of the object, label, value, start, end) of each entry that says something."""
    for path, group in groupby(leaves, key=lambda leaf: _without_position(leaf.path)):
        values = [leaf for leaf in group if leaf.value.strip().lower() not in _NOTHING]
        if values:
            value = ", ".join(" ".join(_WORDS.get(leaf.value.lower(), leaf.value).split()) for leaf in values)
            label = label_words(path[-1]) if path and isinstance(path[-1], str) else ""
            yield path[:-1], label, value, values[0].start, values[-1].end


def _without_position(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The path of a value, or of the list that it is in, if that is the value of a key."""
    return path[:-1] if len(path) > 1 and isinstance(path[-1], int) and isinstance(path[-2], str) else path


def _heading(path: tuple[str | int, ...]) -> str:
    parts: list[str] = []
    for step in path:
        if isinstance(step, str):
            parts.append(label_words(step))
        elif parts:
            parts[-1] += f" {step + 1}"
    return ", ".join(part for part in parts if part)
