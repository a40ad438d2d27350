"""The choice of sentences of the retrieved passages that go into a prompt.

A prompt holds whole sentences, best first, up to a token budget. A budget large enough for every passage keeps the passages
whole; a small one keeps the sentences that share the rarest words with the question. The smallest models need a small one:
SmolLM2-135M answers more questions from the best sentence than from the passage around it (benchmarks/models.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.verification.evidence import terms

if TYPE_CHECKING:
    from retrieval import Hit

__all__ = ["PackedPassage", "pack_passages", "question_terms"]


@dataclass(frozen=True)
class PackedPassage:
    """The sentences of one hit that are in the prompt, in the order of the passage."""

    hit: Hit
    text: str


def pack_passages(
    question: str, hits: Sequence[Hit], *, budget: int, room: int | None, count_tokens: Callable[[str], int]
) -> list[PackedPassage]:
    """Choose sentences of `hits` and regroup them by passage.

    A sentence's score is the share of the question's words that it contains, without stop words and weighted by their rarity
    among the candidate sentences, minus a small penalty for the rank of its hit.

    Args:
        question: the question.
        hits: retrieved passages, best first.
        budget: tokens to use; the best sentence is kept even if it alone costs more.
        room: tokens that are never exceeded, None for no such limit; a longer sentence is skipped, not cut.
        count_tokens: tokens that a sentence takes in the prompt.

    Returns:
        One `PackedPassage` per hit with a chosen sentence, the one with the best sentence first.
    """
    from retrieval.split import sentence_spans

    candidates = [(h, start, end) for h, hit in enumerate(hits) for start, end in sentence_spans(hit.passage.text)]
    if not candidates:
        return []
    texts = [hits[h].passage.text[start:end] for h, start, end in candidates]
    scores = _relevance(question, texts)
    order = sorted(range(len(texts)), key=lambda i: (-scores[i] + _RANK_PENALTY * candidates[i][0], i))
    chosen: list[int] = []
    spent = 0
    for i in order:
        if chosen and spent >= budget:
            break
        cost = count_tokens(texts[i])
        if (chosen and spent + cost > budget) or (room is not None and spent + cost > room):
            continue
        chosen.append(i)
        spent += cost
    packed = []
    for h in dict.fromkeys(candidates[i][0] for i in chosen):
        sentences = sorted(i for i in chosen if candidates[i][0] == h)
        packed.append(PackedPassage(hits[h], " ".join(texts[i] for i in sentences)))
    return packed


# A rank is worth this much of the score in [0, 1].
_RANK_PENALTY = 0.1

# Words of a question that say nothing about its subject.
# fmt: off
_FUNCTION_WORDS = frozenset((
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "became", "because", "been",
    "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "during", "each",
    "either", "else", "ever", "every", "for", "from", "get", "give", "given", "had", "has", "have", "he", "her",
    "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "many", "may", "me", "might", "more",
    "most", "much", "must", "my", "name", "no", "nor", "not", "of", "off", "on", "once", "one", "only", "or", "other",
    "our", "out", "over", "own", "per", "please", "same", "say", "she", "should", "since", "so", "some", "such",
    "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through",
    "to", "too", "under", "until", "up", "upon", "us", "very", "was", "we", "were", "what", "when", "where",
    "whether", "which", "while", "who", "whom", "whose", "why", "will", "with", "within", "without", "would", "you",
    "your",
))
# fmt: on


def question_terms(question: str) -> set[str]:
    """Get the stems of a question's words that say something about its subject."""
    words = (word.strip(".,?!\"'()") for word in question.lower().split())
    return terms(" ".join(word for word in words if word not in _FUNCTION_WORDS))


def _relevance(question: str, texts: Sequence[str]) -> list[float]:
    query = question_terms(question)
    terms_of = [terms(text) for text in texts]
    frequency = Counter(term for text_terms in terms_of for term in text_terms)
    weight = {term: math.log(1 + len(texts) / (0.5 + frequency[term])) for term in query}
    total = sum(weight.values()) or 1.0
    return [sum(weight[term] for term in query & text_terms) / total for text_terms in terms_of]
