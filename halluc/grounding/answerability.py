"""Whether retrieved passages answer a question: a calibrated probability, the same in every mode of search.

It combines how near the passages are (cosine similarity) with how many words of the question they have, all of them and in
one sentence, weighted by rarity. The weights are in answerability.json; benchmarks/answerability.py fits and measures them.
Near misses, passages on the subject that lack the answer, are the hard case. Not covered: whether an answer is right
(judging.py).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from halluc.grounding.context import question_terms
from halluc.verification.evidence import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration.combination_map import CombinationMap
    from retrieval import Hit

__all__ = ["DEFAULT_THRESHOLD", "answerability", "answerability_features"]

DEFAULT_THRESHOLD = 0.4
"""Least probability at which a question is answered. On held-out rows of CLAPNQ in hybrid search, 21 % of the questions that
their passage does not answer are answered then, and 83 % of the others."""


def answerability(questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[float]:
    """Estimate the probability that passages answer a question.

    Args:
        questions: (N,) questions that stand alone.
        hits: (N,) their hits, each with its similarity; there may be none.

    Returns:
        (N,) probabilities in [0, 1]; 0 where there are no hits.
    """
    asked = [i for i, hits_of_question in enumerate(hits) if hits_of_question]
    probabilities = [0.0] * len(questions)
    if asked:
        features = answerability_features([questions[i] for i in asked], [hits[i] for i in asked])
        for i, probability in zip(asked, _combination().predict(features).tolist(), strict=True):
            probabilities[i] = probability
    return probabilities


def answerability_features(questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> NDArray[np.float64]:
    """Compute what the probability is made of.

    Returns:
        (N, 3) in [0, 1]: the largest cosine similarity, the largest share of the question's words that one passage has, and
        that one sentence has.
    """
    import numpy as np

    rows = [(_similarity(of_question), *_coverage(q, of_question)) for q, of_question in zip(questions, hits, strict=True)]
    return np.clip(np.array(rows, dtype=np.float64), 0.0, 1.0)


def _similarity(hits: Sequence[Hit]) -> float:
    return max((hit.similarity for hit in hits if hit.similarity is not None), default=0.0)


def _coverage(question: str, hits: Sequence[Hit]) -> tuple[float, float]:
    """The largest shares of the question's words, by rarity among the passages, in one passage and in one sentence."""
    from retrieval.split import sentence_spans

    query = question_terms(question)
    titles = [terms(hit.passage.title or "") for hit in hits]
    texts = [terms(hit.passage.text) | title for hit, title in zip(hits, titles, strict=True)]
    frequency = Counter(term for text in texts for term in text & query)
    weight = {term: math.log(1 + len(texts) / (0.5 + frequency[term])) for term in query}
    total = sum(weight.values()) or 1.0

    def share(text: set[str]) -> float:
        return sum(weight[term] for term in query & text) / total

    sentences = [
        terms(hit.passage.text[start:end]) | title
        for hit, title in zip(hits, titles, strict=True)
        for start, end in sentence_spans(hit.passage.text)
    ]
    return max(map(share, texts), default=0.0), max(map(share, sentences), default=0.0)


@cache
def _combination() -> CombinationMap:
    from calibration.combination_map import CombinationMap

    packaged = json.loads(files("halluc.grounding").joinpath("answerability.json").read_text("utf-8"))
    return CombinationMap.from_dict(packaged["combination"])
