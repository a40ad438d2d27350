"""Is an answer right? The rule of open-domain question answering, against a list of accepted answers."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

__all__ = ["contains_answer", "normalise_answer"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# A space rather than nothing, which is what SQuAD's script puts: "12-7" must not contain "127".
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


def normalise_answer(text: str) -> str:
    """Lower case without punctuation, articles and extra space, as in SQuAD (arXiv 1606.05250, section 6.1).

    >>> normalise_answer("The Denver Broncos!")
    'denver broncos'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def contains_answer(text: str, accepted: Iterable[str]) -> bool:
    """Whether one of the accepted answers stands in the text as whole words, both normalised.

    An accepted answer of which nothing is left ("?") is never found.

    >>> contains_answer("They gave up 308 points.", ["308"]), contains_answer("They gave up 3081 points.", ["308"])
    (True, False)
    """
    padded = f" {normalise_answer(text)} "
    return any(f" {wanted} " in padded for wanted in map(normalise_answer, accepted) if wanted)
