"""Guards against gaming a factuality reward: repetition, copying and restated questions, found in the text.

Not covered: hedging (`halluc.claims.abstention`), disagreement of verifiers (factuality.py), and held-out verifiers
(hacking.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["copied_share", "repeated_share", "restates"]

# Words of a copied piece, and most other words between two pieces of one copy.
_PIECE, _GAP = 4, 2
_ASKS = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.IGNORECASE)
# Words with which a reply speaks of its question in place of answering it.
_SAID_OF_QUESTIONS = frozenset(
    re.findall(
        r"\w+",
        "a about an and answer answered answers ask asked asking asks can context do does document explained for found given"
        " here i in information is it its know may mentioned of on passage question says stated states tells text that the"
        " there this to want was were will would you your",
    )
)


def repeated_share(text: str, *, n: int = 8) -> float:
    """Share in [0, 1) of a text's word n-grams that repeat an earlier one (seq-rep-n, arXiv 1908.04319).

    With n = 8, ordinary text scores near 0, and a sentence repeated ten times scores about 0.9.

    Args:
        text: the text.
        n: words per n-gram.
    """
    words = _words(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def copied_share(text: str, passages: Sequence[str], *, run: int = 20) -> float:
    """Share in [0, 1] of a text's words that are in stretches of at least `run` words copied from a passage.

    This is the coverage of extractive fragments (arXiv 1804.11283) without the short ones: any answer must quote names,
    numbers and phrases. A stretch may have up to two other words between pieces of four copied ones, which count as copied
    too, so that a word here and there neither hides a copy nor makes it worth more than an abstention.

    Args:
        text: the text.
        passages: texts it may be copied from.
        run: shortest stretch that counts, in words.
    """
    words = _words(text)
    if len(words) < run:
        return 0.0
    n = min(_PIECE, run)
    pieces = {piece for passage in dict.fromkeys(passages) for piece in _grams(_words(passage), n)}
    copied = [False] * len(words)
    for i, piece in enumerate(_grams(words, n)):
        if piece in pieces:
            copied[i : i + n] = [True] * n
    return sum(end - start for start, end in _stretches(copied) if end - start >= run) / len(words)


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _stretches(copied: Sequence[bool]) -> list[tuple[int, int]]:
    """[start, end) of copied words with at most `_GAP` others between them."""
    stretches: list[tuple[int, int]] = []
    for i in (i for i, is_copied in enumerate(copied) if is_copied):
        if stretches and i - stretches[-1][1] <= _GAP:
            stretches[-1] = (stretches[-1][0], i + 1)
        else:
            stretches.append((i, i + 1))
    return stretches


def restates(statement: str, question: str | None) -> bool:
    """Whether a statement says nothing that its question does not say: it asks for something, and that is missing.

    Questions that name their answers ("... or ...?") and those to answer with yes or no are never restated.

    >>> restates("You asked who built the bridge.", "Who built the bridge?"), restates("Ada Berg.", "Who built the bridge?")
    (True, False)
    """
    if question is None or not _ASKS.search(question) or re.search(r"\bor\b", question, re.IGNORECASE):
        return False
    words = _words(statement)
    return bool(words) and set(words) <= {*_words(question), *_SAID_OF_QUESTIONS}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
