"""Overlap of an answer with reference texts, word by word: ROUGE-1 and BLEU of one sentence.

Words are those of `normalize_answer`. Not covered: whether an answer contains a reference (matching.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from halluc.grading.matching import normalize_answer

__all__ = ["answer_f1", "bleu", "rouge_1"]

_LONGEST_NGRAM = 4


def rouge_1(answer: str, reference: str) -> float:
    """F1 of the words that both texts share, counted with repetition, in [0, 1] (ROUGE-1, Lin 2004).

    >>> rouge_1("The cat sat.", "A cat sat down")
    0.8
    """
    words, expected = normalize_answer(answer).split(), normalize_answer(reference).split()
    shared = sum((Counter(words) & Counter(expected)).values())
    return 2 * shared / (len(words) + len(expected)) if shared else 0.0


def answer_f1(answer: str, references: Iterable[str]) -> float:
    """SQuAD's F1 of an answer: the largest F1 of words with one of the references (arXiv 1606.05250, section 6.1).

    >>> answer_f1("a billion years ago", ["around a billion years ago", "1 Ga"])
    0.8571428571428571
    """
    return max((rouge_1(answer, reference) for reference in references), default=0.0)


def bleu(answer: str, reference: str) -> float:
    """BLEU of one sentence up to four-grams, in [0, 1] (Papineni et al. 2002).

    Precisions of two words and more are smoothed by adding one to both counts (Lin and Och 2004), since short answers often
    share no four-gram with their reference.

    >>> bleu("cat sat on mat", "cat sat on mat"), bleu("dog", "cat sat on mat")
    (1.0, 0.0)
    """
    words, expected = normalize_answer(answer).split(), normalize_answer(reference).split()
    if not words:
        return 0.0
    logs = []
    for n in range(1, _LONGEST_NGRAM + 1):
        candidates, allowed = _ngrams(words, n), _ngrams(expected, n)
        matches, total = sum((candidates & allowed).values()), sum(candidates.values())
        if n > 1:
            matches, total = matches + 1, total + 1
        if matches == 0:
            return 0.0
        logs.append(math.log(matches / total))
    brevity = min(0.0, 1 - len(expected) / len(words))
    return math.exp(brevity + sum(logs) / len(logs))


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
