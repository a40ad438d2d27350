"""How typography becomes plain text: superscripts, and words that a line break divided."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["joined_lines", "superscript"]

_ORDINAL = re.compile(r"(?:st|nd|rd|th|e|er|re|o|a)", re.IGNORECASE)
_SIGN = re.compile(r"(?:tm|sm|[®™©*†‡§°+−-]+)", re.IGNORECASE)
_NOTE = re.compile(r"[\[(]?\s*(?:note\s+)?(?:\d{1,3}|[a-z])(?:\s*[,;–-]\s*(?:\d{1,3}|[a-z]))*\s*[\])]?", re.IGNORECASE)
_SIMPLE_EXPONENT = re.compile(r"[+−-]?[\w.]+[+−-]?")
_YEAR = re.compile(r"(?<![\d.,])(?:1[0-9]|20)\d\d$")
_UNIT_OR_SYMBOL = re.compile(
    r"(?<![^\W\d_])(?:[^\W\d_]|[kcdmnµμ]m|ft|in|yd|mi|ha|kg|[mµμ]?s|min|Hz|mol|Pa|sin|cos|tan|log|ln|exp|[A-Z][a-z])$"
)
# A line ends within a word; U+00AD is a soft hyphen, U+2010 a typographic one.
_DIVIDED = re.compile(r"([^\W\d_]+)([-\u00ad\u2010])[ \t]*\n[ \t]*([^\W\d_]+)")


def superscript(before: str, content: str, after: str = "", *, is_note: bool = False) -> str:
    """Write a superscript in plain text.

    Args:
        before: the text before it.
        content: the raised text.
        after: the text after it.
        is_note: it is known to be the number of a note, for instance because it is a link.

    Returns:
        What to write between `before` and `after`.

    >>> "10" + superscript("10", "6"), "litres." + superscript("litres.", "2"), "21" + superscript("21", "st")
    ('10^6', 'litres. [2]', '21st')
    """
    content = " ".join(content.split())
    if not content:
        return ""
    if not is_note:
        if _SIGN.fullmatch(content) or (before[-1:].isdigit() and _ORDINAL.fullmatch(content)):
            return content
        # The mass number of an isotope comes before its symbol.
        if (not before or before[-1].isspace()) and after[:1].isalpha():
            return content
        if not _NOTE.fullmatch(content) or _takes_an_exponent(before):
            return f"^{content}" if _SIMPLE_EXPONENT.fullmatch(content) else f"^({content})"
    space = "" if not before or before[-1].isspace() else " "
    return f"{space}[{content.strip('[]() ')}]"


def _takes_an_exponent(before: str) -> bool:
    ending = before[-12:]
    if ending[-1:].isdigit():
        return _YEAR.search(ending) is None
    return ending[-1:] in (")", "]", "|") or _UNIT_OR_SYMBOL.search(ending) is not None


def joined_lines(text: str, hyphenated: Collection[str] = ()) -> str:
    r"""Join the words that line breaks divided; line breaks elsewhere stay.

    Args:
        text: lines.
        hyphenated: words in lower case that have a hyphen also within a line, and so keep it.

    >>> joined_lines("412 me-\ntres of well-\nknown steel", {"well-known"})
    '412 metres of well-known steel'
    """

    def join(match: re.Match[str]) -> str:
        first, hyphen, second = match.groups()
        # A name, or a compound such as "North-South".
        keeps = hyphen != "\u00ad" and (second[0].isupper() or f"{first}-{second}".lower() in hyphenated)
        return f"{first}-{second}" if keeps else first + second

    return _DIVIDED.sub(join, text)
