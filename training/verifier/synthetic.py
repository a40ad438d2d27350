"""Made claims about real passages, by kinds of error that data sets have too few of.

`synthetic` makes copies, restated numbers, claims that join two sentences, partly supported claims, corrupted sentences and
sentences removed from their passage; `made_facts` puts small facts and tables into a passage, with minimal variations;
`unrelated_claims` pairs passages with claims on other subjects. The labels follow from how a claim was made. Not covered:
how single sentences are changed (corruption.py), and which facts and tables are made (made_facts.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from halluc.files import read_rows
from retrieval.split import sentence_spans
from training.verifier.corruption import corrupt, names, restate, simplify
from training.verifier.made_facts import facts, table_rows
from training.verifier.pairs import ClaimSpan, Row, changed_spans, part_of

__all__ = ["made_facts", "synthetic", "unrelated_claims"]

_WORDS_OF_SENTENCE = range(5, 46)
_LONGEST_PASSAGE = 400  # words


def synthetic(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Make claims from the sentences of passages of several data sets."""
    texts = _passages(folder)
    for i, text in enumerate(texts):
        yield from _about_sentences(text, texts[i - 1], generator)


def made_facts(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Put small facts and tables into passages of several data sets, and make claims about them."""
    for text in _passages(folder):
        yield from facts(text, generator)
        if generator.random() < 0.4:
            yield from table_rows(text, generator)


def unrelated_claims(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Pair a few sentences of one passage with a statement from another: never refuted."""
    texts = _passages(folder)
    statements = _short_statements(folder)
    for i, text in enumerate(texts):
        spans = sentence_spans(text)
        first = generator.randrange(len(spans))
        context = text[spans[first][0] : spans[min(len(spans) - 1, first + generator.randint(0, 3))][1]]
        claim = generator.choice(statements)
        yield Row(context, claim, "not_enough_info", text, (ClaimSpan(0, len(claim), "baseless"),))
        others = [texts[i - 1][start:end] for start, end in sentence_spans(texts[i - 1])]
        sentence = generator.choice(others)
        if len(sentence.split()) in _WORDS_OF_SENTENCE and generator.random() < 0.5:
            claim = sentence
            if generator.random() < 0.5 and (changed := corrupt(sentence, names(text), generator)):
                claim = changed.text
            yield Row(text, claim, "not_enough_info", text, (ClaimSpan(0, len(claim), "baseless"),))


def _short_statements(folder: Path) -> list[str]:
    """Claims of training documents on every subject, most of them of one short sentence."""
    claims: list[str] = []
    for file, evidence, claim in (
        ("nli/snli", "premise", "hypothesis"),
        ("fever_nli/dev", "evidence", "claim"),
        ("fool_me_twice/dev", "evidence", "claim"),
    ):
        rows = [row for _, row in read_rows(folder / f"{file}.jsonl")]
        claims += [row[claim] for row in rows if row[claim].strip() and part_of(row[evidence]) == "train"][:2000]
    return list(dict.fromkeys(claims))


def _passages(folder: Path) -> list[str]:
    sources = [
        ("halueval", "qa_one_turn", "knowledge"),
        ("halueval", "qa_data_train", "knowledge"),
        ("begin", "cmu_dev", "knowledge"),
        ("qags", "cnndm", "article"),
        ("qags", "xsum", "article"),
        ("healthver", "dev", "evidence"),
        ("lfqa", "sentences", "evidence"),
        ("expertqa", "val", "evidence"),
        ("attribution_bench", "dev", "evidence"),
        ("wice", "dev", "evidence"),
        ("cg2c", "doc", "evidence"),
        ("citation_integrity", "train", "evidence"),
        ("summedits", "qmsumm", "evidence"),
        ("summedits", "ectsum", "evidence"),
    ]
    texts = []
    for data_set, file, field in sources:
        rows = [row[field] for _, row in read_rows(folder / data_set / f"{file}.jsonl")]
        # Passages of "halueval" would be most of all.
        texts += [text for text in dict.fromkeys(rows) if text.strip()][:1200]
    return [_beginning(text) for text in dict.fromkeys(" ".join(text.split()) for text in texts)]


def _beginning(text: str) -> str:
    """Whole sentences from the beginning of a text."""
    if len(text.split()) <= _LONGEST_PASSAGE:
        return text
    end = 0
    for _, sentence_end in sentence_spans(text):
        if len(text[:sentence_end].split()) > _LONGEST_PASSAGE:
            break
        end = sentence_end
    return text[:end] or text


def _about_sentences(text: str, other_text: str, generator: random.Random) -> Iterator[Row]:
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    chosen = [sentence for sentence in sentences if len(sentence.split()) in _WORDS_OF_SENTENCE]
    generator.shuffle(chosen)
    other_names = names(text) if generator.random() < 0.7 else names(other_text)
    for sentence in chosen[:2]:
        claim = _reworded(sentence, generator)
        kind = generator.random()
        if kind < 0.45:
            yield Row(text, claim, "supported", text, ())
        if changed := corrupt(claim, other_names, generator):
            spans = changed_spans(claim, changed.text, "conflict" if changed.label else None)
            yield Row(text, changed.text, changed.label or "not_supported", text, spans)
        if kind > 0.8 and len(sentences) > 2:
            yield Row(text.replace(sentence, " "), claim, "not_enough_info", text, None)
    if len(chosen) > 3 and generator.random() < 0.5:
        yield from _joined(text, chosen[2], chosen[3], other_names, generator)


def _reworded(sentence: str, generator: random.Random) -> str:
    kind = generator.random()
    if kind < 0.3:
        return sentence
    return simplify(sentence, generator) if kind < 0.6 else restate(simplify(sentence, generator), generator)


def _joined(text: str, first: str, second: str, other_names: Sequence[str], generator: random.Random) -> Iterator[Row]:
    """Two sentences in one claim: both as the passage has them, or one of them corrupted."""
    before, after = (first.rstrip(".!? "), second) if generator.random() < 0.7 else (second.rstrip(".!? "), first)
    joint = generator.choice([", and ", "; ", ". ", ", while "])
    yield Row(text, before + joint + after, "supported", text, ())
    changed = corrupt(after, other_names, generator) if generator.random() < 0.5 else None
    if changed is not None:
        offset = len(before + joint)
        spans = changed_spans(after, changed.text, "conflict" if changed.label else None)
        claim = before + joint + changed.text
        moved = tuple(span._replace(start=span.start + offset, end=span.end + offset) for span in spans)
        yield Row(text, claim, changed.label or "not_supported", text, moved)
    elif changed := corrupt(before, other_names, generator):
        spans = changed_spans(before, changed.text, "conflict" if changed.label else None)
        yield Row(text, changed.text + joint + after, changed.label or "not_supported", text, spans)
