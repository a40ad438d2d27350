"""Which sentences of the retrieved passages a model gets to read.

A prompt holds whole sentences, best first, up to a token budget. A budget that takes in every passage gives the passages
whole; a small one leaves the sentences that share the most telling words with the question. Small models need the small
one: SmolLM2-135M answers more questions from the best sentence than from the passage around it (benchmarks/grounding.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval import Hit

__all__ = ["PackedPassage", "pack_passages", "terms"]


@dataclass(frozen=True)
class PackedPassage:
    """The sentences of one hit that are in the prompt, in the order of the passage."""

    hit: Hit
    text: str


def pack_passages(
    question: str, hits: Sequence[Hit], *, budget: int, room: int | None, count_tokens: Callable[[str], int]
) -> list[PackedPassage]:
    """Choose sentences of `hits` and regroup them by passage.

    A sentence's score is the share of the question's words it contains, stop words left out, weighted by their rarity among
    the candidate sentences, plus a small preference for better hits.

    Args:
        question: what is asked.
        hits: retrieved passages, best first.
        budget: tokens to spend; the best sentence is taken even if it alone costs more.
        room: tokens that may never be exceeded, None for no such limit; a longer sentence is passed over, not cut.
        count_tokens: tokens a sentence takes in the prompt.

    Returns:
        One `PackedPassage` per hit that has a sentence chosen, the one with the best sentence first.
    """
    from retrieval.sentences import sentence_spans

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
        own = sorted(i for i in chosen if candidates[i][0] == h)
        packed.append(PackedPassage(hits[h], " ".join(texts[i] for i in own)))
    return packed


def terms(text: str) -> set[str]:
    """Lower-cased words cut to five letters, a stemming that costs nothing ("discovered" meets "discovery")."""
    return {word[:5] for word in re.findall(r"\w+", text.lower())}


# A rank is worth this much of the score in [0, 1].
_RANK_PENALTY = 0.1


def _relevance(question: str, texts: Sequence[str]) -> list[float]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    asked = terms(" ".join(word for word in question.lower().split() if word.strip(".,?!") not in ENGLISH_STOP_WORDS))
    words = [terms(text) for text in texts]
    frequency = Counter(word for own in words for word in own)
    weight = {word: math.log(1 + len(texts) / (0.5 + frequency[word])) for word in asked}
    total = sum(weight.values()) or 1.0
    return [sum(weight[word] for word in asked & own) / total for own in words]
