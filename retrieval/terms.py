"""From texts to the terms that BM25 counts.

A term is a word in lower case, a number with its decimals, or, in scripts that put no spaces between words, a pair of
neighboring characters, as in Lucene's CJKAnalyzer. English function words are left out; other words of one character stay:
"Article 5", "Vitamin C". Not covered: stems; forms of a word are different terms.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

__all__ = ["TERMS_VERSION", "terms"]

TERMS_VERSION = 2
"""Changes with the terms of any text, so that an index of other terms is built again."""

# Han, kana and Hangul, Thai, Lao, Myanmar and Khmer; marks on their letters belong to them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TERM = re.compile(rf"[{_UNSPACED}]+|\d+(?:[.,]\d+)+|[^\W{_UNSPACED}]+")
_ASCII_TERM = re.compile(r"\d+(?:[.,]\d+)+|\w+", re.ASCII)
_ENDING = re.compile(r"(?<=\w)['’](?:s|t|re|ve|ll|d|m)\b", re.IGNORECASE)
# Raised and lowered characters are not what they are raised from: 10⁶ is not 106.
_SUPERSCRIPT = re.compile(r"([²³¹⁰-₟]+)")
# Capital letters that name something: "Vitamin A", "Plan A". "I" is a pronoun more often.
_NAMED_A = re.compile(r"(?<=[^\W\d_] )A\b")
# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "i", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
))
# fmt: on


def terms(text: str) -> list[str]:
    """List the terms of a text, in their order.

    >>> terms("Article 5 of the U.N.: Vitamin C, 3.5 m")
    ['article', '5', 'u', 'n', 'vitamin', 'c', '3.5', 'm']
    >>> terms("东京塔 is in 東京")
    ['东京', '京塔', '東京']
    """
    is_ascii = text.isascii()
    if not is_ascii:
        text = "".join(
            part if i % 2 else unicodedata.normalize("NFKC", part) for i, part in enumerate(_SUPERSCRIPT.split(text))
        )
    named = {match.start() for match in _NAMED_A.finditer(text)} if " A" in text else ()
    if "'" in text or "’" in text:
        text = _ENDING.sub(lambda ending: " " * len(ending[0]), text)
    if is_ascii and not named:
        # The same rule, several times faster.
        return [word for word in _ASCII_TERM.findall(text.lower()) if word not in _STOP_WORDS]
    listed: list[str] = []
    for match in _TERM.finditer(text):
        word = match[0].lower()
        if ord(word[0]) >= 0x0E00 and re.match(f"[{_UNSPACED}]", word):
            listed += [a + b for a, b in pairwise(word)] or [word]
        elif word not in _STOP_WORDS or match.start() in named:
            listed.append(word)
    return listed
