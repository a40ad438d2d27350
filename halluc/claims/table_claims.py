"""Claims of the tables and objects in an answer: one statement per cell, with its row and its header.

Not covered: finding them (`halluc.structured`), and lists of keys whose values are sentences, which are read as prose.
"""

from __future__ import annotations

from collections.abc import Iterator

from halluc.answers import Claim
from halluc.structured import Block, Field, Record, structured_blocks

__all__ = ["claims_of_block", "stating_blocks"]

# What a row or an object is about, if its first cell does not say.
_NAMES = ("business name", "company", "full name", "name", "product", "restaurant", "title")
# Columns that only count the rows.
_COUNTERS = ("#", "index", "no", "no.", "nr", "nr.")
# Keys of a reply in JSON whose values are the text of the reply.
_REPLY_KEYS = ("answer", "explanation", "final answer", "output", "reasoning", "response", "result", "summary")
# A longer value, or one with a full stop, is a sentence of its own.
_LONGEST_VALUE = 60


def stating_blocks(text: str) -> list[Block]:
    """Find the tables and objects of a text, and the lists of keys that begin with a name and have short values.

    Left out are objects that hold the text of a reply ({"answer": ...}).
    """
    return [block for block in structured_blocks(text) if _states(block)]


def claims_of_block(block: Block) -> list[Claim]:
    """Write the values of a block as claims.

    Returns:
        One check-worthy claim per value: "The capital of France is Paris." Its span is that of the value in the text of the
        block. The value that names a row is no claim unless it is the only one.
    """
    name = _name(block.records[0]) if block.kind != "table" else None
    return [claim for record in block.records for claim in _claims_of_record(record, name, block.kind == "table")]


def _states(block: Block) -> bool:
    if block.kind == "table":
        return True
    fields = [field for record in block.records for field in record.fields]
    if block.kind == "object":
        return not any(field.label.lower() in _REPLY_KEYS for field in block.records[0].fields)
    return fields[0].label.lower() in _NAMES and all(_is_short(field.value) for field in fields)


def _claims_of_record(record: Record, name: Field | None, is_row: bool) -> Iterator[Claim]:
    fields = [field for field in record.fields if not _counts(field)] or list(record.fields)
    subject = fields[0] if is_row else (_name(record) or name)
    for field in fields:
        if field is not subject or len(fields) == 1:
            of = subject.value if subject and field is not subject else ""
            yield Claim(_statement(field, record.heading, of), field.start, field.end)


def _statement(field: Field, heading: str, subject: str) -> str:
    label = ", ".join(part for part in (heading, field.label) if part)
    value = field.value.rstrip() if field.value[-1:] in ".!?" else f"{field.value}."
    if label and subject and not heading and _is_short(field.value) and field.value not in ("yes", "no"):
        verb = "are" if label.endswith("s") and not label.endswith(("is", "ss", "us")) else "is"
        return f"The {_lowered(label)} of {subject} {verb} {value}"
    words = f"{subject}, {_lowered(label)}" if subject and label else subject or label
    return f"{words[0].upper()}{words[1:]}: {value}" if words else value


def _name(record: Record) -> Field | None:
    return next((field for field in record.fields if not record.heading and field.label.lower() in _NAMES), None)


def _counts(field: Field) -> bool:
    return field.label.lower() in _COUNTERS or (not field.label and field.value.strip("#.)").isdigit())


def _is_short(value: str) -> bool:
    return len(value) <= _LONGEST_VALUE and value[-1:] not in ".!?"


def _lowered(label: str) -> str:
    """The label as it is written in a sentence: "Price per kWh" begins small, "GDP" does not."""
    first = label.split(" ")[0].rstrip(",")
    return label[0].lower() + label[1:] if first[1:].islower() or len(first) == 1 else label
