"""The sentences of answers: segmented, cut to what they state, parsed, and marked check-worthy or not.

Both extractors start from these. Not covered: the rules for what states nothing (abstention.py, check_worthiness.py) and
what is no part of any sentence (markup.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.claims.abstention import ReplyKind, content_span, reply_kind
from halluc.claims.check_worthiness import guess_in_question, is_check_worthy, is_question, states_nothing_alone
from halluc.claims.markup import PlainText
from halluc.claims.parsing import parsed

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Sentence", "answer_sentences"]

# Longer runs without a full stop, in characters, are tables, code or noise; parsing them is expensive and yields nothing.
_MAX_SENTENCE = 1200

_LIST_MARK = re.compile(r"[ \t]*(?:(?:[-*•–+]|#{1,6}|\(?\d{1,3}[.)]|>)[ \t]+)+(?=\S)")
_SHORT_LINE = 60
_HEADING_MARK = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+[\W_]*")
_BOLD_LINE = re.compile(r"[ \t]*(?:\*\*[^*\n]+\*\*|__[^_\n]+__):?[ \t]*")


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer.

    Attributes:
        text: what the sentence states, without list marks, hedges ("I think") and abstaining clauses around it; it begins
            with a capital letter.
        start, end: its characters [start, end) of the text.
        parse: its parse; None where it is too long to parse, or states nothing.
        check_worthy: whether it states something that can be checked.
        hedged: whether there was a hedge around it; one that is left in the text does not count.
    """

    text: str
    start: int
    end: int
    parse: Doc | None
    check_worthy: bool = True
    hedged: bool = False


def answer_sentences(answers: Sequence[PlainText], questions: Sequence[str | None]) -> list[list[Sentence]]:
    """Find the sentences of N answers; all distinct sentences are parsed in one batch.

    Args:
        answers: N answers without markup.
        questions: N questions that they answer, or None for an answer to none.

    Returns:
        N lists of sentences, in the order of the text.
    """
    from retrieval.split import sentence_spans

    kinds = [reply_kind(answer.original) for answer in answers]
    spans = [
        [
            (begin + start, begin + end)
            for begin, stop in _blocks(answer.text)
            for start, end in sentence_spans(answer.text[begin:stop])
        ]
        for answer in answers
    ]
    contents: dict[str, _Content | None] = {}
    for answer, spans_of_answer in zip(answers, spans, strict=True):
        for start, end in spans_of_answer:
            sentence = answer.text[start:end]
            if sentence not in contents:
                contents[sentence] = _content(sentence)
    parses = parsed([c.text for c in contents.values() if c is not None and len(c.text) <= _MAX_SENTENCE])
    sentences: list[list[Sentence]] = []
    for answer, kind, question, spans_of_answer in zip(answers, kinds, questions, spans, strict=True):
        sentences.append([])
        for start, end in spans_of_answer:
            sentence = answer.text[start:end]
            content = contents[sentence]
            if content is None:
                sentences[-1].append(Sentence(sentence, start, end, None, check_worthy=False))
            else:
                alone = len(spans_of_answer) == 1
                sentences[-1].append(_judged(content, start, parses.get(content.text), answer, kind, question, alone))
    return sentences


@dataclass(frozen=True)
class _Content:
    """What a sentence states: the text, its characters [start, end) of the sentence, and whether a hedge was around it."""

    text: str
    start: int
    end: int
    hedged: bool


def _content(sentence: str) -> _Content | None:
    span = content_span(sentence)
    if span is None:
        return None
    start, end, hedged = span
    text = sentence[start:end].rstrip()
    if start and len(text[0].upper()) == 1:
        text = text[0].upper() + text[1:]
    return _Content(text, start, start + len(text), hedged)


def _judged(
    content: _Content,
    start: int,
    parse: Doc | None,
    answer: PlainText,
    kind: ReplyKind,
    question: str | None,
    alone: bool,
) -> Sentence:
    """The sentence with this content, which is the only one of its answer or not."""
    text, hedged = content.text, content.hedged
    worthy = kind != "abstention" and is_check_worthy(text, parse, answers_question=question is not None)
    if kind == "hedged" and question is not None and is_question(text):
        # "Josh Norman?" answers the question.
        guess = guess_in_question(text)
        text, worthy, parse, hedged = (text, False, parse, hedged) if guess is None else (guess, True, None, True)
    elif worthy and not alone and states_nothing_alone(text, parse):
        worthy = not _is_heading(answer, start)
    return Sentence(text, start + content.start, start + content.end, parse, worthy, hedged)


def _is_heading(answer: PlainText, start: int) -> bool:
    """Whether the sentence that starts here is a heading line of Markdown, or a line in bold."""
    position = answer.positions[start]
    begin = answer.original.rfind("\n", 0, position) + 1
    if _HEADING_MARK.fullmatch(answer.original, begin, position) is not None:
        return True
    end = answer.original.find("\n", position)
    return _BOLD_LINE.fullmatch(answer.original, begin, end if end >= 0 else len(answer.original)) is not None


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
