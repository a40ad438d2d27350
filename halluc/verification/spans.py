"""Which characters of an answer the evidence does not support.

A verifier that marks them word by word reads each sentence of the answer with an unsupported claim, against the passages of
its claims together. With any other verifier, and where an unsupported claim has no marked word, the span is the claim. A
supported claim has no span. Not covered: verdicts on claims (judge.py).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from halluc.answers import Label, SpanKind, Verdict
from halluc.verification.verifier import SpanVerifier
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import Passage

__all__ = ["Span", "labeled_spans", "unsupported_spans"]

_WORST: tuple[Label, ...] = ("refuted", "not_enough_info", "supported")
_LABEL_OF: dict[SpanKind | None, Label] = {"conflict": "refuted", "baseless": "not_enough_info", None: "not_enough_info"}
_KIND_OF: dict[Label, SpanKind] = {"refuted": "conflict", "not_enough_info": "baseless"}


@dataclass(frozen=True)
class Span(Record):
    """Characters [start, end) of an answer with one label.

    Attributes:
        start, end: in the answer.
        label: the label of these characters.
        verdicts: indices of the verdicts whose claims they belong to.
        kind: of unsupported characters, why they are not supported.
        probability: of unsupported characters, that they are not, in [0, 1].
    """

    start: int
    end: int
    label: Label
    verdicts: tuple[int, ...] = ()
    kind: SpanKind | None = None
    probability: float | None = None


def labeled_spans(verdicts: Sequence[Verdict]) -> list[Span]:
    """Cut an answer into spans of one label each, in order and without overlaps; text outside any claim is left out.

    Where the span of one claim lies within that of another ("Milan, *a city in the north*, is rich"), the inner one counts;
    of claims with the same span, the worst label counts.
    """
    edges = sorted({edge for verdict in verdicts for edge in (verdict.claim.start, verdict.claim.end)})
    spans: list[Span] = []
    for start, end in pairwise(edges):
        over = [i for i, v in enumerate(verdicts) if v.claim.start <= start and end <= v.claim.end]
        if not over:
            continue
        shortest = min(verdicts[i].claim.end - verdicts[i].claim.start for i in over)
        inner = tuple(i for i in over if verdicts[i].claim.end - verdicts[i].claim.start == shortest)
        label = min((verdicts[i].label for i in inner), key=_WORST.index)
        if spans and spans[-1].end == start and spans[-1].verdicts == inner:
            spans[-1] = replace(spans[-1], end=end)
        else:
            spans.append(Span(start, end, label, inner))
    return spans


def unsupported_spans(
    verifier: Verifier,
    answers: Sequence[str],
    verdicts: Sequence[Sequence[Verdict]],
    passages: Sequence[Sequence[Sequence[Passage]]],
) -> list[tuple[Span, ...]]:
    """Mark what is not supported in each answer.

    Args:
        verifier: marks words if it is a `SpanVerifier`.
        answers: (N,) answers.
        verdicts: (N,) the verdicts on the claims of each.
        passages: (N,) for each answer, the passages of each of its verdicts.

    Returns:
        (N,) spans in order, without overlaps.
    """
    if isinstance(verifier, SpanVerifier):
        return _marked_by_words(verifier, answers, verdicts, passages)
    return [_of_claims(answer, own, set(range(len(own)))) for answer, own in zip(answers, verdicts, strict=True)]


@dataclass(frozen=True)
class _Sentence:
    """A sentence of an answer without its markup: its text, and where each of its characters is in the answer."""

    answer: int
    text: str
    positions: Sequence[int]
    verdicts: tuple[int, ...]


def _marked_by_words(
    verifier: SpanVerifier,
    answers: Sequence[str],
    verdicts: Sequence[Sequence[Verdict]],
    passages: Sequence[Sequence[Sequence[Passage]]],
) -> list[tuple[Span, ...]]:
    from halluc.verification.judge import claim_pieces

    sentences = [s for i, answer in enumerate(answers) for s in _sentences(i, answer, verdicts[i])]
    pairs: list[tuple[str, str]] = []
    places: list[tuple[int, int]] = []
    unread: list[set[int]] = [set() for _ in answers]
    for number, sentence in enumerate(sentences):
        texts = dict.fromkeys(
            passage.text for i in sentence.verdicts for passage in passages[sentence.answer][i] if passage.text.strip()
        )
        pieces = claim_pieces(sentence.text) if texts else []
        if not pieces or " ".join(pieces) != sentence.text:
            # Nothing to read, or a word that is too long to be read whole.
            unread[sentence.answer] |= set(sentence.verdicts)
            continue
        offset = 0
        for piece in pieces:
            pairs.append(("\n\n".join(texts), piece))
            places.append((number, offset))
            offset += len(piece) + 1
    spans: list[list[Span]] = [[] for _ in answers]
    for (number, offset), marked in zip(places, verifier.unsupported_spans(pairs), strict=True):
        sentence = sentences[number]
        for span in marked:
            start, end = sentence.positions[span.start + offset], sentence.positions[span.end + offset - 1] + 1
            own = tuple(
                i
                for i in sentence.verdicts
                if verdicts[sentence.answer][i].claim.start < end and start < verdicts[sentence.answer][i].claim.end
            )
            # Marked words of a supported claim are false alarms more often than not.
            if all(verdicts[sentence.answer][i].label == "supported" for i in own):
                continue
            spans[sentence.answer].append(Span(start, end, _LABEL_OF[span.kind], own, span.kind, span.probability))
    for i, answer in enumerate(answers):
        with_words = {number for span in spans[i] for number in span.verdicts}
        # A claim may be unsupported though no word of it stands out; then all of it is marked.
        whole = {n for n, verdict in enumerate(verdicts[i]) if n in unread[i] or verdict.label != "supported"} - with_words
        spans[i] = sorted([*spans[i], *_of_claims(answer, verdicts[i], whole)], key=lambda span: span.start)
    return [tuple(own_spans) for own_spans in spans]


def _sentences(number: int, answer: str, verdicts: Sequence[Verdict]) -> list[_Sentence]:
    """The sentences of an answer that make a claim that is not supported, with single spaces."""
    from halluc.claims.markup import plain_text
    from retrieval.split import sentence_spans

    plain = plain_text(answer)
    sentences = []
    for start, end in sentence_spans(plain.text):
        kept = [
            i for i in range(start, end) if not plain.text[i].isspace() or (i > start and not plain.text[i - 1].isspace())
        ]
        positions = [plain.positions[i] for i in kept]
        own = tuple(
            i
            for i, verdict in enumerate(verdicts)
            if positions and verdict.claim.start <= positions[-1] and positions[0] < verdict.claim.end
        )
        if any(verdicts[i].label != "supported" for i in own):
            text = "".join(" " if plain.text[i].isspace() else plain.text[i] for i in kept)
            sentences.append(_Sentence(number, text, positions, own))
    return sentences


def _of_claims(answer: str, verdicts: Sequence[Verdict], chosen: Set[int]) -> tuple[Span, ...]:
    """The spans of the chosen claims that are not supported; neighbors with the same label are joined."""
    merged: list[Span] = []
    for span in labeled_spans(verdicts):
        if span.label == "supported" or not chosen & set(span.verdicts):
            continue
        probability = max(1 - verdicts[i].support for i in span.verdicts)
        span = replace(span, kind=_KIND_OF[span.label], probability=probability)
        last = merged[-1] if merged else None
        if last and last.label == span.label and not any(c.isalnum() for c in answer[last.end : span.start]):
            probability = max(last.probability or 0.0, probability)
            together = tuple(sorted({*last.verdicts, *span.verdicts}))
            merged[-1] = replace(last, end=span.end, verdicts=together, probability=probability)
        else:
            merged.append(span)
    return tuple(merged)
