"""PowerPoint presentations: each slide from top to bottom, with its notes; hidden slides and shapes are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.loaders.package import core_metadata, opened_package
from retrieval.loaders.rows import with_first_row_as_header
from retrieval.loaders.text import LoadedText

__all__ = ["load_pptx"]


def load_pptx(path: Path) -> list[LoadedText]:
    """Read a presentation; its pages are its slides, hidden ones counted."""
    import pptx

    presentation = opened_package(path, pptx.Presentation, "presentation")
    text, starts = "", []
    try:
        for slide in presentation.slides:
            blocks = [] if slide._element.get("show") in ("0", "false") else [b for b in _slide(slide) if b.strip()]
            text += "\n\n" if text and blocks else ""
            starts.append(len(text))
            text += "\n\n".join(blocks)
    # A damaged part is found only where it is read.
    except (KeyError, ValueError, AttributeError) as error:
        raise UnreadableDocument(f"{path} cannot be read as a presentation: {error}") from error
    title, metadata = core_metadata(presentation.core_properties)
    return [LoadedText(text, title, metadata, tuple(starts))]


def _slide(slide: Any) -> Iterator[str]:
    yield from _shapes(slide.shapes)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        yield frame.text


def _shapes(shapes: Iterable[Any]) -> Iterator[str]:
    """The texts of shapes, from top to bottom; the parts of a group stay together."""
    for shape in sorted(shapes, key=lambda s: (s.top or 0, s.left or 0)):
        if any(names.get("hidden") in ("1", "true") for names in shape._element.xpath("./*[1]/p:cNvPr")):
            continue
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        elif getattr(shape, "has_table", False):
            yield from with_first_row_as_header([[cell.text for cell in row.cells] for row in shape.table.rows])
        elif shape.has_text_frame:
            for paragraph in shape.text_frame.paragraphs:
                yield " ".join(paragraph.text.split())
