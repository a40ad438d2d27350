"""Match an answer against reference answers, by the rule of open-domain question answering."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from halluc.errors import InvalidInput

__all__ = ["contains_answer", "normalize_answer"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# A space rather than the empty string of SQuAD's script: "12-7" must not contain "127".
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


def normalize_answer(text: str) -> str:
    """Normalize an answer: lower case, without punctuation, articles and extra space (SQuAD, arXiv 1606.05250, section 6.1).

    >>> normalize_answer("The Denver Broncos!")
    'denver broncos'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def contains_answer(answer: str, references: Iterable[str]) -> bool:
    """Whether an answer contains one of the references as whole words, after both are normalized.

    A reference that normalizes to nothing ("?") is never contained.

    Args:
        answer: what the model wrote.
        references: accepted answers.

    Raises:
        InvalidInput: references is one string in place of a list.

    >>> contains_answer("They gave up 308 points.", ["308"]), contains_answer("They gave up 3081 points.", ["308"])
    (True, False)
    """
    if isinstance(references, str):
        raise InvalidInput(f"references is one string, {references[:40]!r}; pass a list of strings")
    padded = f" {normalize_answer(answer)} "
    return any(f" {reference} " in padded for reference in map(normalize_answer, references) if reference)
