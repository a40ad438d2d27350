"""Word documents: paragraphs, tables and text boxes in their order.

Left out are headers and footers, deleted and hidden text. Not covered: footnotes, comments and pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.loaders.marks import superscript
from retrieval.loaders.package import core_metadata, opened_package
from retrieval.loaders.rows import with_first_row_as_header
from retrieval.loaders.text import LoadedText

__all__ = ["load_docx"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# Text that was deleted or moved away, an older copy of a drawing for older programs, and instructions of fields.
_SKIPPED = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}delText",
            "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}  # fmt: skip


def load_docx(path: Path) -> list[LoadedText]:
    """Read a Word document; its title is the one in its properties."""
    import docx

    document = opened_package(path, docx.Document, "Word document")
    blocks = (block for block in _blocks(document.element.body) if block.strip())
    title, metadata = core_metadata(document.core_properties)
    return [LoadedText("\n\n".join(blocks), title, metadata)]


def _blocks(parent: Any) -> Iterator[str]:
    """The paragraphs and rows of tables in an element, such as the body, a cell or a content control."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield _paragraph(child)
            for box in child.iter(f"{_W}txbxContent"):
                if not any(ancestor.tag in _SKIPPED for ancestor in box.iterancestors()):
                    yield from _blocks(box)
        elif child.tag == f"{_W}tbl":
            yield from with_first_row_as_header(_rows(child))
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}moveTo", f"{_W}customXml", f"{_W}smartTag"):
            yield from _blocks(child)


def _rows(table: Any) -> list[list[str]]:
    rows = []
    for row in table.iter(f"{_W}tr"):
        # Rows of a table in a cell are read as a part of that cell.
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue
        cells = [cell for cell in row.iter(f"{_W}tc") if next(cell.iterancestors(f"{_W}tr")) is row]
        rows.append([" ".join(" ".join(_blocks(cell)).split()) for cell in cells])
    return rows


def _paragraph(paragraph: Any) -> str:
    pieces: list[str] = []
    stack = [paragraph]
    while stack:
        element = stack.pop()
        if element.tag in _SKIPPED or element.tag == f"{_W}txbxContent":
            continue
        if element.tag == f"{_W}r":
            pieces.append(_run(element, pieces[-1] if pieces else ""))
            # Drawings in a run hold text boxes, which are read after the paragraph.
            continue
        stack.extend(reversed(element))
    return "".join(pieces)


def _run(run: Any, before: str) -> str:
    properties = run.find(f"{_W}rPr")
    raised = False
    if properties is not None:
        hidden = properties.find(f"{_W}vanish")
        if hidden is not None and hidden.get(f"{_W}val", "true") not in ("0", "false", "off"):
            return ""
        align = properties.find(f"{_W}vertAlign")
        raised = align is not None and align.get(f"{_W}val") == "superscript"
    text = "".join(
        child.text or "" if child.tag == f"{_W}t" else "-" if child.tag == f"{_W}noBreakHyphen" else " "
        for child in run
        if child.tag in (f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}noBreakHyphen")
    )
    return superscript(before, text) if raised and text.strip() else text
