"""Citations of grounded answers: which passages support each sentence.

With verdicts, a sentence cites the passages that support its claims, or nearly do; if one of its claims has none, it cites
nothing. Without a verifier, a sentence cites the passages that the model names, or those that share most words with it. Not
covered: the verdicts (judging.py), and how good citations are (citation_scores.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halluc.answers import Answer, Citation
from halluc.grounding.context import PackedPassage
from halluc.verification.evidence import terms

__all__ = ["MAX_PER_SENTENCE", "cite_by_verdicts", "cite_by_words"]

MAX_PER_SENTENCE = 3
"""More passages that say the same are of no use to a reader."""

# A passage is cited for words if it has this share of those of a sentence that the question does not have.
_LEAST_SHARE = 0.5


def cite_by_verdicts(answer: Answer, packed: Sequence[PackedPassage]) -> tuple[Citation, ...]:
    """Cite for each sentence the passages that its claims are from (`Verdict.sources`), at most three.

    Args:
        answer: an answer that was judged.
        packed: the passages that the model read, in the order of their numbers in the prompt.
    """
    from retrieval.split import sentence_spans

    sentences: dict[str, list[tuple[int, int]]] = {}
    quotes: dict[str, str] = {}
    for start, end in sentence_spans(answer.text):
        verdicts = [verdict for verdict in answer.verdicts if start <= verdict.claim.start < end]
        if not all(verdict.sources for verdict in verdicts):
            continue
        # The best passage of each claim comes before the second best of any.
        ranks = [(rank, name) for verdict in verdicts for rank, name in enumerate(verdict.sources)]
        names = list(dict.fromkeys(name for _, name in sorted(ranks, key=lambda pair: pair[0])))
        for name in names[: max(MAX_PER_SENTENCE, len(verdicts))]:
            sentences.setdefault(name, []).append((start, end))
        for verdict in verdicts:
            for evidence in verdict.evidence:
                quotes.setdefault(evidence.passage.id, evidence.text)
    read = {passage.hit.passage.id: passage.text for passage in packed}
    unread = [hit for hit in answer.hits if hit.passage.id not in read]
    passages = [*(passage.hit.passage for passage in packed), *(hit.passage for hit in unread)]
    return tuple(
        Citation(
            number,
            passage.id,
            passage.title,
            passage.source,
            quotes.get(passage.id) or read.get(passage.id, passage.text),
            tuple(sentences[passage.id]),
        )
        for number, passage in enumerate(passages, 1)
        if passage.id in sentences
    )


def cite_by_words(question: str, text: str, packed: Sequence[PackedPassage]) -> tuple[Citation, ...]:
    """Cite for each sentence the passages that it names as [number], or those that have most of its words.

    A small model seldom cites by itself. Words of the question do not count: they do not show where an answer came from.
    """
    from retrieval.split import sentence_spans

    sentences: dict[int, list[tuple[int, int]]] = {}
    of_question = terms(question)
    words_of = [terms(passage.text) for passage in packed]
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        marked = {int(number) for number in re.findall(r"\[(\d{1,3})\]", sentence)}
        used = [number for number in range(1, len(packed) + 1) if number in marked]
        if not used:
            words = {word for word in terms(sentence) - of_question if len(word) > 3 or word.isdigit()}
            shares = [len(words & passage_words) / max(1, len(words)) for passage_words in words_of]
            best = max(shares, default=0.0)
            used = [number for number, share in enumerate(shares, 1) if share == best >= _LEAST_SHARE]
        for number in used:
            sentences.setdefault(number, []).append((start, end))
    return tuple(
        Citation(number, p.hit.passage.id, p.hit.passage.title, p.hit.passage.source, p.text, tuple(sentences[number]))
        for number, p in enumerate(packed, 1)
        if number in sentences
    )
