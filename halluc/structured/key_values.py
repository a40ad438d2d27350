"""Find lists of keys with values in a text: at least three lines such as "Name: Finch & Fork" or "name = x".

Not covered: dialogues, whose lines repeat their keys, and lists of which a value is on the next line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halluc.structured.record import Block, Field, Record, label_words
from halluc.structured.tables import Line

__all__ = ["key_value_blocks"]

_LINE = re.compile(
    r"[ \t]*(?:[-*•+][ \t]+)?(?:\*\*|__|[\"'`])?(?P<key>[^\W\d_][^:=.!?,;|{}<>\"*\n]{0,38}?)(?:\*\*|__|[\"'`])?"
    r"[ \t]*(?P<mark>:\*\*|:|=)(?:[ \t]+|(?<==))(?P<value>\S.*?)[ \t]*",
)
_FEWEST_LINES = 3
_MOST_WORDS = 5


def key_value_blocks(lines: Sequence[Line]) -> list[Block]:
    """Find the lists of keys with values among the lines of a text.

    Returns:
        Blocks in the order of the text; the keys of each are distinct.
    """
    blocks: list[Block] = []
    fields: list[Field] = []
    first = 0
    for line in lines:
        match = _LINE.fullmatch(line.text) if len(line.text) < 2000 else None
        if match and len(match["key"].split()) <= _MOST_WORDS and not match["value"].startswith("//"):
            value = match["value"].rstrip(",").strip("\"'*`")
            first = line.start if not fields else first
            start, end = line.start + match.start("key"), line.start + match.end("value")
            fields.append(Field(label_words(match["key"]), value, start, end))
        else:
            _add_block(blocks, first, fields)
            fields = []
    _add_block(blocks, first, fields)
    return blocks


def _add_block(blocks: list[Block], start: int, fields: Sequence[Field]) -> None:
    if len(fields) < _FEWEST_LINES or len({field.label.lower() for field in fields}) < len(fields):
        return
    stated = tuple(field for field in fields if field.value)
    if stated:
        blocks.append(Block(start, fields[-1].end, (Record("", stated),), "keys"))
