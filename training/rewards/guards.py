"""Guards against gaming a factuality reward: repetition and copying, measured in the text.

Not covered: hedging (`halluc.claims.abstention`), disagreement of verifiers (factuality.py), and held-out verifiers
(hacking.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["copied_share", "repeated_share"]


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
    """Share in [0, 1] of a text's words that are in runs of at least `run` words copied from a passage.

    This is the coverage of extractive fragments (arXiv 1804.11283) without the short ones: any answer must quote names,
    numbers and phrases.

    Args:
        text: the text.
        passages: texts it may be copied from.
        run: shortest run that counts, in words.
    """
    words = _words(text)
    if len(words) < run:
        return 0.0
    runs: set[tuple[str, ...]] = set()
    for passage in dict.fromkeys(passages):
        passage_words = _words(passage)
        runs.update(tuple(passage_words[i : i + run]) for i in range(len(passage_words) - run + 1))
    copied = [False] * len(words)
    for i in range(len(words) - run + 1):
        if tuple(words[i : i + run]) in runs:
            copied[i : i + run] = [True] * run
    return sum(copied) / len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
