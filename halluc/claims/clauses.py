"""A statement in the making: the tokens it is read from, and how they become a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from spacy.tokens import Token

__all__ = ["Clause", "Item", "render"]

Item: TypeAlias = "Token | str"
"""A token of the sentence, or a word that is not in it."""


@dataclass(frozen=True)
class Clause:
    """A statement in the making: the items it is read from, its verb, and the tokens [first, last] it alone stands for."""

    items: tuple[Item, ...]
    verb: Token
    first: int
    last: int

    @property
    def indices(self) -> list[int]:
        """Where in the sentence the items stand that come from it."""
        return [item.i for item in self.items if not isinstance(item, str)]


def render(items: Iterable[Item], replaced: Mapping[int, str]) -> str:
    """The items as one sentence, with its first letter capital and a full stop."""
    text = ""
    for item in items:
        if isinstance(item, str):
            text += item + " "
        else:
            text += replaced.get(item.i, item.text) + item.whitespace_
            # A word that ended its line or stood before a comma that is gone now.
            text += "" if item.whitespace_ or _joins(item) else " "
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([,.;:!?%)\]])", r"\1", text)
    text = re.sub(r"[,;:]+(?=\s*[,;:.])", "", text)
    text = re.sub(r"([(\[])\s+", r"\1", text)
    text = text.strip(" ,;:-–—").rstrip(".!? ,;:")
    text = re.sub(r'[.,](["”])$', r"\1", text)
    if text.count('"') % 2 or text.count("“") != text.count("”"):
        text = re.sub('["“”]', "", text).strip()
    if text.count("(") != text.count(")"):
        text = re.sub("[()]", "", text).strip()
    # Abbreviations keep their only stop.
    return f"{text[:1].upper()}{text[1:]}."


def _joins(token: Token) -> bool:
    """Whether the next token of the sentence is written right after this one and belongs to it ("Obama" + "'s")."""
    if token.i + 1 >= len(token.doc):
        return True
    following = token.nbor()
    return not (following.is_punct and following.text in (",", ".", ";", ":", "!", "?"))
