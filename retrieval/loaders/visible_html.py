"""What a reader sees of a web page, as paragraphs.

Left out are navigation, page footers, controls and what is hidden (style.py). Rows of tables are lines that name their
columns. A page is walked once, without recursion, so the time grows with its length alone.
Not covered: what scripts would show or hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.loaders.marks import superscript
from retrieval.loaders.rows import table_lines
from retrieval.loaders.style import StyleSheet, hides
from retrieval.loaders.text import LoadedText, decode, read_bytes

__all__ = ["load_html", "read_markup", "visible_text"]

# Elements that end the paragraph before them and are one themselves.
# fmt: off
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr",
    "legend", "li", "main", "nav", "ol", "p", "pre", "search", "section", "summary", "table", "tbody", "tfoot", "thead",
    "tr", "ul",
))
_NEVER_VISIBLE = frozenset((
    "annotation", "annotation-xml", "audio", "button", "canvas", "datalist", "embed", "head", "iframe", "input", "noscript",
    "object", "option", "script", "select", "style", "template", "textarea", "title", "video",
))
# fmt: on
_NAVIGATION_ROLES = frozenset(("contentinfo", "menu", "menubar", "navigation", "search", "tablist", "toolbar"))
_HIDDEN_CLASSES = frozenset(("screen-reader-text", "sr-only", "visually-hidden", "visuallyhidden"))
_CONTENT = frozenset(("article", "blockquote", "main", "section"))
_NOTE_NAME = re.compile(r"foot-?note|note-?ref|\breference\b|cite[_-]?ref|fnref", re.IGNORECASE)
# No table of a person has more columns than this, but an attribute of a page can claim them.
_MOST_COLUMNS = 200
_LONGEST_SUPERSCRIPT = 40
_DEEPEST_FOOTER = 64


def load_html(path: Path) -> list[LoadedText]:
    """Read a web page; its title is its `title` element, or else its first `h1`."""
    text, title = visible_text(read_markup(path), path)
    return [LoadedText(text, title)]


def read_markup(path: Path) -> str:
    """Read the source of a page in the encoding that it declares.

    Raises:
        UnreadableDocument: it cannot be read or is a binary file.
    """
    content = read_bytes(path)
    declared = re.search(rb"""<(?:meta|\?xml)\b[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w:-]+)""", content[:4096], re.I)
    return decode(content, path, declared=declared[1].decode("ascii", "replace") if declared else None)


def visible_text(markup: str, path: Path) -> tuple[str, str | None]:
    """Extract the visible text of HTML.

    Args:
        markup: the page, or a part of one.
        path: the file it is from, for messages.

    Returns:
        The text, and the title if the page has one.

    Raises:
        UnreadableDocument: the page cannot be parsed.
    """
    from lxml import etree, html

    # Characters that HTML cannot hold would end the parsing; half a character is replaced, as a browser does.
    markup = re.sub(r"&#(?:x0*d[89a-f][0-9a-f]{2}|0*5(?:529[6-9]|5[3-9]\d\d|6\d{3}|7[0-2]\d\d|73[0-3]\d|734[0-3]));",
                    "\ufffd", markup, flags=re.IGNORECASE)  # fmt: skip
    markup = re.sub("[\x00-\x08\x0b\x0e-\x1f]", "", markup)
    if not markup.strip():
        return "", None
    try:
        parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
        root = html.document_fromstring(markup.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, AssertionError) as error:
        if "empty" in str(error):
            return "", None
        raise UnreadableDocument(f"{path} cannot be read as HTML: {error}") from error
    # The parser drops what is nested more deeply than it allows.
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise UnreadableDocument(f"{path} is nested too deeply; leave it out")
    heading = next(root.iter("title"), None)
    if heading is None or not "".join(heading.itertext()).strip():
        heading = next(root.iter("h1"), None)
    title = " ".join(" ".join(heading.itertext()).split()) if heading is not None else None
    sheet = StyleSheet("\n".join(style.text or "" for style in root.iter("style")))
    text = _Page(sheet, navigation=False).text(root) or _Page(sheet, navigation=True).text(root)
    return text, title or None


class _Page:
    """One walk over a page."""

    def __init__(self, sheet: StyleSheet, *, navigation: bool) -> None:
        """Prepare a walk with the page's style sheet; `navigation` keeps menus and page footers."""
        self._sheet = sheet
        self._navigation = navigation

    def text(self, element: Any) -> str:
        """The text of an element: paragraphs, separated by blank lines, with single spaces inside them."""
        paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", "".join(self._pieces(element))))
        return "\n\n".join(part for part in paragraphs if part)

    def _pieces(self, root: Any) -> Iterator[str]:
        """Walk an element; blank lines stand between paragraphs."""
        last = ""
        # An element is entered once, and left once where it is a block.
        stack: list[tuple[Any, bool]] = [(root, True)]
        while stack:
            element, enters = stack.pop()
            if isinstance(element, str):
                pieces = [element]
            elif not enters:
                pieces = ["\n\n" if element.tag in _BLOCKS else " "]
            else:
                if element is not root and element.tail:
                    stack.append((re.sub(r"\s+", " ", element.tail), True))
                pieces = self._enter(element, stack, last)
            for piece in pieces:
                if piece:
                    last = piece
                    yield piece

    def _enter(self, element: Any, stack: list[tuple[Any, bool]], before: str) -> list[str]:
        """The text at the beginning of an element; unless that is all, its children are put on the stack."""
        if self._is_left_out(element):
            return [" "] if element.tag in _BLOCKS else []
        # A superscript in another one, or a long one, is read like any element.
        if element.tag == "sup" and next(element.iterdescendants("sup"), None) is None:
            content = "".join(element.itertext())
            if len(content) <= _LONGEST_SUPERSCRIPT:
                return [superscript(before.rstrip("\n"), content, element.tail or "", is_note=_is_note(element))]
        if element.tag == "table" and (lines := self._table(element)) is not None:
            return ["\n\n", "\n\n".join(lines), "\n\n"]
        is_block = element.tag in _BLOCKS
        if is_block or element.tag in ("td", "th", "br"):
            stack.append((element, False))
        stack.extend((child, True) for child in reversed(element))
        text = element.text or ""
        # Blank lines separate paragraphs in preformatted text only.
        keeps_lines = element.tag == "pre" or (element.tag == "code" and element.getparent().tag == "pre")
        return ["\n\n" if is_block else "", text if keeps_lines else re.sub(r"\s+", " ", text)]

    def _is_left_out(self, element: Any) -> bool:
        tag, attributes = element.tag, element.attrib
        # Comments and processing instructions have no name.
        if not isinstance(tag, str) or tag in _NEVER_VISIBLE:
            return True
        if tag in ("html", "body"):
            return False
        if "hidden" in attributes or attributes.get("aria-hidden", "").lower() == "true":
            return True
        if tag == "dialog" and "open" not in attributes:
            return True
        if not _HIDDEN_CLASSES.isdisjoint(attributes.get("class", "").split()):
            return True
        if hides(attributes.get("style", "")) or self._sheet.hides(tag, attributes):
            return True
        return not self._navigation and _is_navigation(element)

    def _table(self, table: Any) -> list[str] | None:
        """The rows of a table of data as lines; None for a table that only arranges parts of the page."""
        if next(table.iterdescendants("table"), None) is not None or self._is_left_out(table):
            return None
        rows: list[list[str]] = []
        kinds: list[set[str]] = []
        spanning: dict[int, tuple[int, str]] = {}
        for row in table.iter("tr"):
            if self._is_left_out(row) or (row.getparent() is not table and self._is_left_out(row.getparent())):
                continue
            cells: list[str] = []
            elements = [cell for cell in row if cell.tag in ("td", "th")]
            for cell in elements:
                text = "" if self._is_left_out(cell) else self.text(cell)
                # Several paragraphs of some length are parts of a page, not a cell.
                if "\n\n" in text and len(text) > 200:
                    return None
                _fill_from_above(cells, spanning)
                columns = _span(cell, "colspan")
                if (below := _span(cell, "rowspan")) > 1:
                    spanning.update((len(cells) + i, (below - 1, text)) for i in range(columns))
                cells += [text] * columns
            _fill_from_above(cells, spanning)
            if elements:
                rows.append(cells[:_MOST_COLUMNS])
                kinds.append({cell.tag for cell in elements})
        caption = next(table.iter("caption"), None)
        lines = [self.text(caption)] if caption is not None and not self._is_left_out(caption) else []
        return lines + _lines_of(rows, kinds)


def _lines_of(rows: list[list[str]], kinds: list[set[str]]) -> list[str]:
    if rows and kinds[0] == {"th"} and len(rows) > 1:
        return table_lines(rows[1:], rows[0])
    if rows and all(len(row) == 2 for row in rows) and all(kind == {"th", "td"} for kind in kinds):
        return [line for name, value in rows for line in table_lines([[value]], [name])]
    return table_lines([_without_repeats(row) for row in rows])


def _without_repeats(row: list[str]) -> list[str]:
    """A cell that spans columns once."""
    return [cell for i, cell in enumerate(row) if i == 0 or cell != row[i - 1]]


def _fill_from_above(cells: list[str], spanning: dict[int, tuple[int, str]]) -> None:
    """Add the cells of earlier rows that reach into this one."""
    while (place := len(cells)) in spanning:
        rows, text = spanning.pop(place)
        cells.append(text)
        if rows > 1:
            spanning[place] = (rows - 1, text)
            # It holds again from the next row on.
            if len(cells) > _MOST_COLUMNS:
                return


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    return min(max(int(value), 1), _MOST_COLUMNS) if value.isdecimal() and len(value) < 9 else 1


def _is_navigation(element: Any) -> bool:
    role = element.get("role", "").lower()
    if element.tag == "nav" or role in _NAVIGATION_ROLES:
        return True
    # The footer of an article or a quotation names its author or sources.
    return element.tag == "footer" and not any(
        parent.tag in _CONTENT for parent in islice(element.iterancestors(), _DEEPEST_FOOTER)
    )


def _is_note(element: Any) -> bool:
    """Whether a superscript is the number of a note: it is, is in, or has a link, or is named so."""
    parent = element.getparent()
    related = [element, *element, *([] if parent is None else [parent])]
    return any(
        (e.tag == "a" and e.get("href", "").startswith("#"))
        or _NOTE_NAME.search(f"{e.get('class', '')} {e.get('id', '')} {e.get('role', '')}")
        for e in related
        if isinstance(e.tag, str) and e.tag in ("a", "sup", "span")
    )
