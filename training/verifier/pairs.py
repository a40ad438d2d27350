"""Pairs of evidence and claim to train and evaluate a verifier on.

Pairs are split by document, so that no text of the training part is in another part, whichever data set it comes from. Not
covered: the data sets (data_sets.py, common_form.py, annotated_answers.py) and made claims (synthetic.py, corruption.py).
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from halluc.answers import SpanKind

__all__ = [
    "ClaimSpan",
    "Pair",
    "PairLabel",
    "Part",
    "Reader",
    "Row",
    "changed_spans",
    "label_of",
    "part_of",
    "single_spaced",
]

PairLabel = Literal["supported", "refuted", "not_enough_info", "not_supported", "unlabeled"]
"""A `Label`; "not_supported" if the data set does not distinguish refuted from not enough information, and "unlabeled" for
pairs that only a teacher judges."""

Part = Literal["train", "calibration", "validation"]


class ClaimSpan(NamedTuple):
    """Characters [start, end) of a claim that its evidence does not support; kind is None if the data set does not say."""

    start: int
    end: int
    kind: SpanKind | None = None


class Row(NamedTuple):
    """What a reader yields: a `Pair` before it is assigned to a part.

    `document` decides the part; None for the evidence. Rows of one document must name it alike.
    """

    evidence: str
    claim: str
    label: PairLabel
    document: str | None = None
    spans: tuple[ClaimSpan, ...] | None = None


Reader: TypeAlias = Callable[[Path, random.Random], Iterator[Row]]
"""Reads one data set from the data folder; the generator is for made claims and samples."""


@dataclass(frozen=True)
class Pair:
    """A claim with its evidence.

    Attributes:
        evidence: the text to judge it against.
        claim: the claim, with single spaces.
        label: the label in the data set.
        source: name of the data set.
        part: the part of the split that its document is in.
        spans: what exactly is not supported, in order; None if that is not known.
    """

    evidence: str
    claim: str
    label: PairLabel
    source: str
    part: Part
    spans: tuple[ClaimSpan, ...] | None = None


def label_of(spans: Sequence[ClaimSpan]) -> PairLabel:
    """The label of a claim with these unsupported spans, by their kinds."""
    kinds = {span.kind for span in spans}
    if not kinds:
        return "supported"
    return "refuted" if kinds == {"conflict"} else "not_enough_info" if kinds == {"baseless"} else "not_supported"


def part_of(document: str) -> Part:
    """The part of the split that a document is in: 80 % are for training, 8 % for calibration, 12 % for validation.

    A hash of its first 12 words, in lower case, decides: several data sets have the same passages, tokenized and cut
    differently.
    """
    import xxhash

    words = re.findall(r"\w+", document.lower())[:12]
    bucket = xxhash.xxh3_64_intdigest(" ".join(words).encode()) % 100
    return "train" if bucket < 80 else "calibration" if bucket < 88 else "validation"


def single_spaced(text: str, spans: Sequence[ClaimSpan] | None = None) -> tuple[str, tuple[ClaimSpan, ...] | None]:
    """Write a text with single spaces between its words, and move its spans along; empty spans are dropped."""
    words = list(re.finditer(r"\S+", text))
    shortened = " ".join(word[0] for word in words)
    if spans is None:
        return shortened, None
    moved = []
    for span in spans:
        # A word that begins at character s of the text begins at character n of the shortened one.
        inside, n = [], 0
        for word in words:
            start, end = max(word.start(), span.start), min(word.end(), span.end)
            if start < end:
                inside += [n + start - word.start(), n + end - word.start()]
            n += len(word[0]) + 1
        if inside:
            moved.append(span._replace(start=inside[0], end=inside[-1]))
    return shortened, tuple(moved)


def changed_spans(original: str, edited: str, kind: SpanKind | None = None) -> tuple[ClaimSpan, ...]:
    """Find the words of an edited text that differ from the original; where words were only dropped, the word after them."""
    before = original.split()
    after = list(re.finditer(r"\S+", edited))
    matcher = difflib.SequenceMatcher(None, before, [word[0] for word in after], autojunk=False)
    spans = []
    for operation, _, _, first, last in matcher.get_opcodes():
        if operation == "equal" or not after:
            continue
        if first == last:
            first = min(first, len(after) - 1)
            last = first + 1
        spans.append(ClaimSpan(after[first].start(), after[last - 1].end(), kind))
    return tuple(spans)
