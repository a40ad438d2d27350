"""Write structured text as sentences that a model of sentence pairs can read: `readable`.

A model that was trained on sentences does not connect a cell with its header over a line of dashes, or `false` with a key
four brackets away. Not covered: finding the structures (tables.py, html_tables.py, literals.py, key_values.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halluc.structured.html_tables import html_table_blocks
from halluc.structured.key_values import key_value_blocks
from halluc.structured.literals import literal_blocks
from halluc.structured.record import Block, Record
from halluc.structured.tables import Line, table_blocks

__all__ = ["readable", "sentences", "structured_blocks"]

_SIGN = re.compile(r"[\n{]|\[\s*[\[\"'{]|<table", re.IGNORECASE)
# A longer value is text of its own.
_LONGEST_ENTRY = 80


def readable(text: str) -> str:
    """Write the tables, objects and lists of keys with values in a text as sentences; leave everything else as it is.

    A row or an object becomes one sentence, "Country: France; Capital: Paris.", and nested objects one each, "hours:
    Monday: 17:30-23:00." Booleans become yes and no; empty values are left out; long values become sentences of their own.

    Args:
        text: any text.

    Returns:
        The text itself if nothing in it is structured. Time is linear in its length.
    """
    pieces: list[str] = []
    last = 0
    for block in structured_blocks(text):
        pieces += [text[last : block.start], "\n".join(line for record in block.records for line in sentences(record))]
        last = block.end
    return "".join([*pieces, text[last:]]) if last else text


def structured_blocks(text: str) -> list[Block]:
    """Find the tables, objects and lists of keys with values of a text; where two overlap, the first one counts."""
    if not _SIGN.search(text):
        return []
    blocks = [*literal_blocks(text), *html_table_blocks(text)]
    lines = _lines_outside(text, blocks)
    if lines:
        tables = table_blocks(lines)
        blocks = _disjoint([*blocks, *tables])
        blocks = _disjoint([*blocks, *key_value_blocks(lines)])
    return _disjoint(blocks)


def sentences(record: Record) -> list[str]:
    """Write a record as one sentence, and each of its long values as one more."""
    heading = f"{record.heading}: " if record.heading else ""
    entries: list[str] = []
    texts: list[str] = []
    for field in record.fields:
        entry = f"{field.label}: {field.value}" if field.label else field.value
        if len(field.value) > _LONGEST_ENTRY:
            texts.append(_ended(heading + entry))
        else:
            entries.append(entry.rstrip(". "))
    return [*([_ended(heading + "; ".join(entries))] if entries else []), *texts]


def _ended(sentence: str) -> str:
    sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence[-1:] in ".!?" else sentence + "."


def _lines_outside(text: str, blocks: Sequence[Block]) -> list[Line]:
    """The lines of a text that no block is in, with an empty line in the place of each block."""
    if "\n" not in text:
        return []
    blocks = sorted(blocks, key=lambda block: block.start)
    lines: list[Line] = []
    start = number = 0
    for line in text.split("\n"):
        end = start + len(line)
        while number < len(blocks) and blocks[number].end <= start:
            number += 1
        inside = number < len(blocks) and blocks[number].start <= end
        lines.append(Line("" if inside else line.rstrip("\r"), start))
        start = end + 1
    return lines


def _disjoint(blocks: Sequence[Block]) -> list[Block]:
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda block: (block.start, -block.end)):
        if not kept or block.start >= kept[-1].end:
            kept.append(block)
    return kept
