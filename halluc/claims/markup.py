"""The parts of an answer that state nothing: thoughts, citation marks, emphasis, links, headings, source lists and code.

Sentences are segmented, parsed and judged without them; a citation mark at the end of a sentence or a bold word otherwise
changes what a verifier says about it. The characters that remain keep their places in the answer. Tables and objects are
taken out too; their cells are claims of their own (table_claims.py). Not covered: list marks (sentences.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from halluc.answers import Claim
from halluc.claims.table_claims import claims_of_block, stating_blocks

__all__ = ["PlainText", "final_answer", "plain_text"]

# What a reasoning model thinks before it answers. Of an answer cut off in its thoughts nothing is left.
_OPEN, _CLOSED = (
    rf"(?:<{slash}(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|scratchpad)>|\[{slash}THINK\]|{channel})"
    for slash, channel in (("", r"<\|channel\|>analysis<\|message\|>"), ("/", r"<\|channel\|>final<\|message\|>"))
)
_THOUGHTS = re.compile(rf"\A.*{_CLOSED}\s*|{_OPEN}.*", re.IGNORECASE | re.DOTALL)
_CODE_BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
# Languages of fences whose content is read as a table or an object.
_DATA_FORMATS = ("csv", "json", "jsonl", "markdown", "md", "table", "tsv")
# A heading "Sources" that is followed by nothing but lines that begin with a mark, a number or an address.
_SOURCES = re.compile(
    r"^[#*_ \t]{0,10}(?:sources?|references?|citations?|bibliography)[*_ \t]{0,4}:?[*_ \t]{0,4}"
    r"(?:\n+[ \t]{0,8}(?:[-*•\[(]|\d+[.)]|\^|https?://)[^\n]*)+\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERS = r"[1-9]\d{0,2}(?:[ \t]?[-–,;][ \t]?[1-9]\d{0,2}){0,20}"
_CITATION = re.compile(
    rf"(?:(?<![ \t])[ \t]+)?(?:\[\^?{_NUMBERS}\]|\[\^\w{{1,20}}\]|<sup>[ \t]?\[?{_NUMBERS}\]?[ \t]?</sup>"
    r"|【[^】\n]{1,60}】|\((?:sources?|refs?|references?|citations?):[^()\n]{1,200}\)|\[citation needed\])",
    re.IGNORECASE,
)
# A superscript is a power after the usual bases, with a sign, before an operator and after a unit; after another number
# ("in 1350<sup>1</sup>.") it is a citation mark.
_POWER = re.compile(
    r"(?:(?<=10)(?<![\d.,]10)|(?<=2)(?<![\d.,]2)|(?<=\d)(?=<sup>[ \t]?(?:[-−]|\d{1,3}[ \t]?</sup>[ \t]*[=+*/×·^])))"
    r"<sup>[ \t]?([-−]?\d{1,3})[ \t]?</sup>",
    re.IGNORECASE,
)
_POWER_OF_UNIT = re.compile(
    r"(?:(?<=\d[ \u00a0][kcdmµ]m)|(?<=\d[ \u00a0](?:mi|ft|yd|in))|(?<=\d[ \u00a0]m)|(?<=/s))<sup>[ \t]?([23])[ \t]?</sup>"
)
_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\([^()\s]{1,500}\)")
_LINK = re.compile(
    r"\[((?:[^\]\[\n]|\[[^\]\[\n]{0,100}\]){1,2000})\]\((?:[^()\s]|\([^()\s]*\)){1,500}(?:[ \t]+\"[^\"\n]*\")?\)"
)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(?=\S)", re.MULTILINE)
_TAG = re.compile(
    r"</?(?:a|b|i|u|s|p|em|strong|small|sup|sub|br|hr|ul|ol|li|div|span|code|pre|blockquote|h[1-6])(?:\s[^<>\n]{0,300})?\s?/?>",
    re.IGNORECASE,
)
_EMPHASIS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\*\*(?=[^\s*])([^*\n]{1,1000}?)(?<=[^\s*])\*\*",
        r"(?<!\w)__(?=[^\s_])((?:[^_\n]|_(?!_)){1,1000}?)(?<=[^\s_])__(?!\w)",
        r"~~(?=[^\s~])([^~\n]{1,1000}?)(?<=[^\s~])~~",
        r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,1000}?)(?<=[^\s*])\*(?![\w*])",
        r"(?<![\w_])_(?=[^\s_])([^_\n]{1,1000}?)(?<=[^\s_])_(?![\w_])",
        r"(?<!`)`([^`\n]{1,300})`(?!`)",
    )
)


@dataclass(frozen=True)
class PlainText:
    """An answer without its markup.

    Attributes:
        original: the answer.
        text: the characters that remain.
        positions: for each of them, its index in `original`.
        code: the characters [start, end) of code blocks in `original`.
        tables: the claims of its tables and objects, with their spans in `original`.
    """

    original: str
    text: str
    positions: tuple[int, ...]
    code: tuple[tuple[int, int], ...] = ()
    tables: tuple[Claim, ...] = ()

    def in_original(self, claims: Sequence[Claim]) -> list[Claim]:
        """Give claims of `text` their spans in `original`; add those of tables, and code blocks as not check-worthy."""
        moved = [
            replace(claim, start=self.positions[claim.start], end=self.positions[claim.end - 1] + 1) for claim in claims
        ]
        blocks = [Claim(self.original[start:end], start, end, check_worthy=False) for start, end in self.code]
        return sorted([*moved, *blocks, *self.tables], key=lambda claim: claim.start) if blocks or self.tables else moved


def final_answer(text: str) -> str:
    """Get the part of a reply after the model's thoughts; the reply itself if it has none.

    Thoughts are marked by `<think>…</think>` or similar tags, `[THINK]…[/THINK]`, or channels of gpt-oss.
    """
    return _THOUGHTS.sub("", text)


def plain_text(text: str) -> PlainText:
    """Remove from an answer what is no part of its statements.

    Removed are thoughts, code blocks, tables and objects, a closing list of sources, citation marks ([1], [2, 3], 【1】,
    [^1], (Source: …), superscript numbers), images, addresses of links, heading marks, HTML tags and marks of emphasis.
    Superscripts that are powers stay: "10<sup>6</sup>" becomes "10^6", and "3 km<sup>2</sup>" becomes "3 km2".
    """
    plain, positions = _replace(text, range(len(text)), _THOUGHTS)
    fences = list(_CODE_BLOCK.finditer(plain))
    code: list[tuple[int, int]] = []
    tables: list[Claim] = []
    for match in fences:
        claims = _fenced_claims(match)
        tables += [_moved(claim, match.start(), positions) for claim in claims]
        if not claims:
            code.append((positions[match.start()], positions[match.end() - 1] + 1))
    plain, positions = _without(plain, positions, [match.span() for match in fences])
    blocks = stating_blocks(plain)
    tables += [_moved(claim, 0, positions) for block in blocks for claim in claims_of_block(block)]
    plain, positions = _without(plain, positions, [(block.start, block.end) for block in blocks])
    plain, positions = _without_marks(plain, positions)
    return PlainText(text, plain, tuple(positions), tuple(code), tuple(tables))


def _without_marks(plain: str, positions: Sequence[int]) -> tuple[str, Sequence[int]]:
    for pattern in (_SOURCES, _IMAGE):
        plain, positions = _replace(plain, positions, pattern)
    plain, positions = _replace(plain, positions, _LINK, group=1)
    plain, positions = _replace(plain, positions, _POWER, group=1, before="^")
    plain, positions = _replace(plain, positions, _POWER_OF_UNIT, group=1)
    for pattern in (_CITATION, _HEADING, _TAG):
        plain, positions = _replace(plain, positions, pattern)
    for pattern in _EMPHASIS:
        plain, positions = _replace(plain, positions, pattern, group=1)
    return plain, positions


def _fenced_claims(match: re.Match[str]) -> list[Claim]:
    """The claims of a fence that says that it holds data; what a fence of code or of no language holds is code."""
    language = match[0].split("\n", 1)[0].strip(" \t`~").lower()
    return [c for block in stating_blocks(match[0]) for c in claims_of_block(block)] if language in _DATA_FORMATS else []


def _moved(claim: Claim, offset: int, positions: Sequence[int]) -> Claim:
    """A claim of a table, without marks, with its span in the answer."""
    text, _ = _without_marks(claim.text, range(len(claim.text)))
    return replace(claim, text=text, start=positions[offset + claim.start], end=positions[offset + claim.end - 1] + 1)


def _without(text: str, positions: Sequence[int], spans: Sequence[tuple[int, int]]) -> tuple[str, Sequence[int]]:
    """Leave out the characters of spans that are in order; return the text and the positions of its characters."""
    pieces: list[str] = []
    kept: list[int] = []
    last = 0
    for start, end in spans:
        pieces.append(text[last:start])
        kept += positions[last:start]
        last = end
    return ("".join([*pieces, text[last:]]), [*kept, *positions[last:]]) if spans else (text, positions)


def _replace(
    text: str, positions: Sequence[int], pattern: re.Pattern[str], *, group: int | None = None, before: str = ""
) -> tuple[str, Sequence[int]]:
    """Replace each match by `before` and its group, or by nothing; return the text and the positions of its characters."""
    pieces: list[str] = []
    kept: list[int] = []
    last = 0
    for match in pattern.finditer(text):
        pieces += [text[last : match.start()], before]
        kept += [*positions[last : match.start()], *[positions[match.start()]] * len(before)]
        if group is not None:
            start, end = match.span(group)
            pieces.append(text[start:end])
            kept += positions[start:end]
        last = match.end()
    if not last:
        return text, positions
    return "".join([*pieces, text[last:]]), [*kept, *positions[last:]]
