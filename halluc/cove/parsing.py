"""Parse what a language model wrote as numbered questions, answers and judgments.

Models number items in many ways, put several on a line, add greetings, asterisks and echoes, or write nonsense; what cannot
be parsed is left out, never guessed. Not covered: the prompts (prompts.py).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

__all__ = ["Consistency", "parse_answers", "parse_consistency", "parse_question_answers", "parse_questions"]

Consistency: TypeAlias = Literal["consistent", "partially consistent", "inconsistent"]
"""How a check agrees with the draft, in the terms of arXiv 2309.11495, section 3.4."""

# "1.", "(1)", "Q1:", "Question 1:", "#1)", "1 -"; not "3.5" and not a year.
_NUMBER = r"\(?\[?\s*(?:(?:verification\s+)?(?:questions?|q)\s*)?#?(?P<number>\d{1,2})\s*(?:[.):\]]+(?!\d)|[-–]\s)"
_MARK = re.compile(rf"\s*(?:[-*•–>#]+\s*)?(?:{_NUMBER}|(?:questions?|q)\s*[:.)]|[-*•–]\s)\s*", re.I)
_LABEL = re.compile(r"\s*(?:questions?|q)\s*\d{0,2}\s*[:.)]\s*", re.I)
_ANSWER = re.compile(r"\s*(?:[-*•–>#]+\s*)?(?:answers?|ans|a)\s*\d{0,2}\s*[:.)]\s*", re.I)
# Another item on the same line.
_INLINE = re.compile(r"(?<=[?.!;])\s+(?=\(?(?:q(?:uestion)?\s*)?\d{1,2}[.):]\s)", re.I)
_ASKING = re.compile(
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|has|have|had|can|could|will|would|in what|"
    r"in which|on what|at what|verify|check|confirm|name|list|tell)\b",
    re.I,
)
_MAX_QUESTION = 300


def parse_questions(text: str, limit: int | None = None) -> list[str]:
    """Parse the questions in a text, at most `limit`, each once; see `parse_question_answers`."""
    return [question for question, _ in parse_question_answers(text, limit)]


def parse_question_answers(text: str, limit: int | None = None) -> list[tuple[str, str]]:
    """Parse questions, each with the text that follows it as its answer ("" where nothing follows).

    An item is a question if it has a question mark, or if it is numbered or bulleted and begins like a question or a request
    to check. Lines without a number or bullet count only if no marked line is a question. Repetitions, items of a single
    word and items of more than 300 characters are left out.

    Args:
        text: what the model wrote.
        limit: most questions to return; all if None.
    """
    lines = _lines(text)
    marked = [_question(line) if _MARK.match(line) and not _ANSWER.match(line) else None for line in lines]
    if not any(marked):
        marked = [None if _ANSWER.match(line) or "?" not in line else _question(line) for line in lines]
    items: dict[str, tuple[str, list[str]]] = {}
    answer: list[str] | None = None
    for line, item in zip(lines, marked, strict=True):
        if item is None:
            if answer is not None:
                answer.append(_ANSWER.sub("", line, count=1))
            continue
        question, remainder = item
        key = " ".join(re.findall(r"\w+", question.casefold()))
        if key in items:
            answer = None
            continue
        if limit is not None and len(items) == limit:
            break
        answer = [remainder]
        items[key] = (question, answer)
    return [(question, " ".join(" ".join(parts).split())) for question, parts in items.values()]


def parse_answers(text: str, count: int) -> list[str]:
    """Parse the answers to questions 1 to `count`; "" for each that is missing.

    Answers are matched by their numbers. If nothing is numbered, the lines are taken in order if there are as many lines as
    questions, and the whole text if there is one question. A question repeated before its answer is removed.
    """
    lines = _lines(text)
    answers: dict[int, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        mark = re.match(rf"\s*(?:[-*•–>#]+\s*)?(?:{_NUMBER}|(?:answers?|a)\s*(?P<other>\d{{1,2}})\s*[:.)])\s*", line, re.I)
        if mark is None:
            if current is not None:
                current.append(line)
            continue
        number = int(mark["number"] or mark["other"])
        current = answers.setdefault(number, [])
        if current:
            current = None  # numbered twice: the first counts
        else:
            current.append(line[mark.end() :])
    if not answers:
        plain = [" ".join(lines)] if count == 1 else lines
        answers = {i: [line] for i, line in enumerate(plain, 1)} if len(plain) == count else {}
    return [_without_question(" ".join(answers.get(number, []))) for number in range(1, count + 1)]


def parse_consistency(text: str) -> Consistency | None:
    """Parse the first judgment in a text; None if there is none, or if its line has several."""
    for line in _lines(text):
        judgments = {_judgment(match) for match in _JUDGMENT.finditer(line)}
        if judgments:
            return judgments.pop() if len(judgments) == 1 else None
    return None


_JUDGMENT = re.compile(
    r"(?P<partly>(?:partial|part)ly?[\s-]+consistent)|(?P<against>inconsistent|not\s+consistent|contradict\w*)|(?P<with>\bconsistent)",
    re.I,
)


def _judgment(match: re.Match[str]) -> Consistency:
    if match["partly"]:
        return "partially consistent"
    return "inconsistent" if match["against"] else "consistent"


def _lines(text: str) -> list[str]:
    # NFKC: full-width digits and question marks, circled numbers.
    text = re.sub(r"[①-⑳]", lambda match: f"{unicodedata.normalize('NFKC', match[0])}. ", text)
    text = re.sub(r"\*\*|__|`", "", unicodedata.normalize("NFKC", text))
    # Runs of white space are one space, which keeps the patterns above linear in the length of a line.
    return [" ".join(line.split()) for line in _INLINE.sub("\n", text).splitlines() if line.strip()]


def _question(line: str) -> tuple[str, str] | None:
    """Split a line, without its mark, into (question, remainder); None if it is not a question."""
    bare = _LABEL.sub("", _MARK.sub("", line, count=1), count=1).strip()
    question, mark, remainder = bare.partition("?")
    if not mark and not (_MARK.match(line) and _ASKING.match(bare)):
        return None
    question = " ".join(question.strip().strip("\"'“”*").split())
    if not re.search(r"\w\W+\w", question) or len(question) > _MAX_QUESTION:
        return None
    return question + mark, _ANSWER.sub("", remainder.strip().strip("\"'“”*"), count=1)


def _without_question(answer: str) -> str:
    answer = " ".join(answer.split())
    question, mark, remainder = answer.partition("?")
    if mark and remainder.strip() and _ASKING.match(question.strip()):
        answer = remainder.strip()
    return _ANSWER.sub("", answer, count=1).strip()
