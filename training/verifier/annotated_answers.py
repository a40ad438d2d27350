"""Answers in which people marked what the evidence does not support: RAGTruth and WiCE.

Nine of ten sentences of RAGTruth are supported, so more wrong ones are made of these. Not covered: spans that follow from
edits (common_form.py) and from corruption of passages (synthetic.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from halluc.files import read_rows
from retrieval.split import sentence_spans
from training.verifier.corruption import corrupt, names
from training.verifier.pairs import ClaimSpan, PairLabel, Row, changed_spans, label_of, single_spaced

__all__ = ["ragtruth", "ragtruth_edits", "wice_tokens"]

_SHORTEST_SENTENCE = 4  # words


def ragtruth(folder: Path, _generator: random.Random) -> Iterator[Row]:
    """Sentences of answers with the hallucinated spans that annotators marked (RAGTruth, arXiv 2401.00396)."""
    for _, row in read_rows(folder / "ragtruth" / "responses.jsonl"):
        response = row["response"]
        marked = [
            ClaimSpan(span["start"], span["end"], "conflict" if "Conflict" in span["label_type"] else "baseless")
            for span in row["spans"]
        ]
        for start, end in sentence_spans(response):
            inside = tuple(
                span._replace(start=max(span.start, start) - start, end=min(span.end, end) - start)
                for span in marked
                if span.start < end and start < span.end
            )
            if len(response[start:end].split()) >= _SHORTEST_SENTENCE:
                yield Row(row["context"], response[start:end], label_of(inside), row["context"], inside)


def ragtruth_edits(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Supported sentences of RAGTruth's answers with one changed fact."""
    for row in ragtruth(folder, generator):
        claim, _ = single_spaced(row.claim)
        if not row.spans and (changed := corrupt(claim, names(row.evidence), generator)):
            spans = changed_spans(claim, changed.text, "conflict" if changed.label else None)
            yield Row(row.evidence, changed.text, changed.label or "not_supported", row.evidence, spans)


def wice_tokens(folder: Path, _generator: random.Random) -> Iterator[Row]:
    """Claims of Wikipedia with the tokens that the cited page does not support (WiCE, arXiv 2303.01432, section 3)."""
    for _, row in read_rows(folder / "wice" / "non_supported_tokens.jsonl"):
        claim, position = row["claim"], 0
        spans: list[ClaimSpan] = []
        for token, unsupported in zip(row["claim_tokens"], row["non_supported_tokens"], strict=True):
            position = max(claim.find(token, position), position)
            if unsupported:
                end = position + len(token)
                if spans and not claim[spans[-1].end : position].strip():
                    spans[-1] = spans[-1]._replace(end=end)
                else:
                    spans.append(ClaimSpan(position, end))
            position += len(token)
        label: PairLabel = "not_supported" if spans else "supported"
        yield Row(row["evidence"], claim, label, row["evidence"], tuple(spans))
