"""Which elements of a web page its styles hide.

Covered are inline styles, and rules in the page whose selectors are one element: `p`, `.note`, `#intro`, `p.note.old`.
Not covered: rules for some media only, and combined selectors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["StyleSheet", "hides"]

_HIDING = re.compile(
    r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse)|content-visibility:hidden|color:transparent"
    r"|opacity:0*(?:\.0+)?%?(?=;|$)|font-size:0*[01]?(?:\.\d*)?(?:px)?(?=;|$)|font-size:0*(?:\.0+)?[a-z%]+(?=;|$)"
    r"|(?:text-indent|left|right|top|bottom|margin-left|margin-top):-\d{3,}(?:\.\d+)?(?:px|em|rem|pt|%|vw|vh)"
    r"|clip:rect\(0|clip:rect\(1px|clip-path:inset\((?:50|100)%|transform:scale\(0(?:\.0+)?[,)])"
)
_EMPTY_BOX = re.compile(r"(?:^|;)(?:max-)?(?:height|width):[01]?(?:px|em|rem|%)?(?=;|$)")
_CLIPPED = re.compile(r"(?:^|;)overflow(?:-[xy])?:(?:hidden|clip)")
_SHOWING = re.compile(r"(?:^|;)(?:display:(?!none)|visibility:visible)")
_COLOR = re.compile(r"(?:^|;)color:([^;]+)")
_BACKGROUND = re.compile(r"(?:^|;)background(?:-color)?:([^;]+)")
_SIMPLE = re.compile(r"([a-z][\w-]*)?((?:[.#][\w-]+)*)", re.IGNORECASE)


def hides(declarations: str) -> bool:
    """Whether style declarations such as "display: none; color: red" make text invisible."""
    return _hides(_compact(declarations))


class StyleSheet:
    """The rules of a page that hide or show elements."""

    def __init__(self, css: str) -> None:
        self._rules: dict[str, list[_Rule]] = {}
        for order, (selectors, declarations) in enumerate(_rules(css)):
            compact = _compact(declarations)
            hidden = _hides(compact)
            if not hidden and not _SHOWING.search(compact):
                continue
            for selector in selectors.split(","):
                match = _SIMPLE.fullmatch(selector.strip())
                if match is None or not match[0]:
                    continue
                parts = frozenset(re.findall(r"[.#][\w-]+", match[2]))
                key = min(parts) if parts else match[1].lower()
                ids = sum(part[0] == "#" for part in parts)
                rank = (ids, len(parts) - ids, int(bool(match[1])), order)
                self._rules.setdefault(key, []).append(_Rule(rank, (match[1] or "").lower(), parts, hidden))

    def hides(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Whether the rules make an element invisible; of several rules the most specific one decides, then the last."""
        if not self._rules:
            return False
        names = {f".{name}" for name in (attributes.get("class") or "").split()}
        if element_id := attributes.get("id"):
            names.add(f"#{element_id}")
        matching = [
            rule
            for key in (tag, *names)
            for rule in self._rules.get(key, ())
            if rule.tag in ("", tag) and rule.parts <= names
        ]
        return bool(matching) and max(matching).hidden


class _Rule(NamedTuple):
    rank: tuple[int, int, int, int]
    tag: str
    parts: frozenset[str]
    hidden: bool


def _compact(declarations: str) -> str:
    """Lower case, without comments, white space and !important."""
    text = re.sub(r"/\*.*?(?:\*/|$)", "", declarations, flags=re.DOTALL)
    return re.sub(r"\s+|!important", "", text).lower()


def _hides(compact: str) -> bool:
    if _HIDING.search(compact) or (_EMPTY_BOX.search(compact) and _CLIPPED.search(compact)):
        return True
    color, background = _COLOR.search(compact), _BACKGROUND.search(compact)
    return color is not None and background is not None and color[1] == background[1]


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """Find (selectors, declarations) of the rules that hold for all media."""
    css = re.sub(r"/\*.*?(?:\*/|$)|<!--|-->", "", css, flags=re.DOTALL)
    depth, start, selectors, opened = 0, 0, "", 0
    for match in re.finditer(r"[{};]", css):
        if match[0] == "{":
            if depth == 0:
                selectors, opened = css[start : match.start()].strip(), match.end()
            depth += 1
        elif match[0] == "}":
            depth = max(0, depth - 1)
            if depth == 0:
                if not selectors.startswith("@"):
                    yield selectors, css[opened : match.start()]
                start = match.end()
        elif depth == 0:
            start = match.end()
