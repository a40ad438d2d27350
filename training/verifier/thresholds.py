"""What turns the outputs of a trained network into decisions: calibration of support, and the threshold of spans.

Both are fitted on documents held out from the training. Not covered: the training (train.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.verifier.pairs import Pair

if TYPE_CHECKING:
    from calibration import PlattScaling
    from halluc.verification.pair_verifier import PairVerifier

__all__ = ["best_span_threshold", "calibrate", "calibrate_answers", "calibration_pairs", "even_weights", "span_f1"]

# Data sets in which people marked what is not supported, in answers of language models and of Wikipedia.
_MARKED = ("ragtruth", "wice_tokens")
_THRESHOLDS = tuple(i / 20 for i in range(4, 20))


# Most pairs of a data set, of each class, that calibration reads: more of one set would not make up for too few sets.
_PAIRS_OF_CLASS = 50
# Longer claims do not fit beside an excerpt.
_LONGEST_CLAIM = 110  # words


def calibration_pairs(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Choose pairs of the calibration part: all in which people marked spans, and some of each other data set and class."""
    shuffled = [pair for pair in pairs if pair.part == "calibration"]
    random.Random(seed).shuffle(shuffled)
    taken: Counter[tuple[str, bool]] = Counter()
    chosen = []
    for pair in shuffled:
        if len(pair.claim.split()) > _LONGEST_CLAIM:
            continue
        key = pair.source, pair.label == "supported"
        taken[key] += 1
        if taken[key] <= _PAIRS_OF_CLASS or pair.source in _MARKED:
            chosen.append(pair)
    return chosen


def calibrate(verifier: PairVerifier, pairs: Sequence[Pair]) -> PlattScaling:
    """Fit Platt scaling on held-out documents."""
    from calibration import PlattScaling

    support = verifier.network_probabilities([(pair.evidence, pair.claim) for pair in pairs])[:, 0]
    return PlattScaling().fit(support, [pair.label == "supported" for pair in pairs], even_weights(pairs))


def calibrate_answers(verifier: PairVerifier, pairs: Sequence[Pair]) -> PlattScaling | None:
    """Fit Platt scaling on the pairs whose claim is a question with its answer; None if they are not of both classes."""
    from halluc.verification.wording import answers_question

    answers = [pair for pair in pairs if answers_question(pair.claim)]
    return calibrate(verifier, answers) if len({pair.label == "supported" for pair in answers}) == 2 else None


def best_span_threshold(verifier: PairVerifier, pairs: Sequence[Pair]) -> float:
    """The threshold with the best F1 of characters (RAGTruth, arXiv 2401.00396, section 5.3) on held-out documents."""
    marked = [pair for pair in pairs if pair.source in _MARKED and pair.spans is not None]
    if not any(pair.spans for pair in marked):
        return verifier.span_threshold
    scores = {}
    for threshold in _THRESHOLDS:
        verifier.span_threshold = threshold
        scores[threshold] = span_f1(
            [pair.spans or () for pair in marked],
            verifier.unsupported_spans([(pair.evidence, pair.claim) for pair in marked]),
        )
    return max(scores, key=lambda threshold: scores[threshold])


def span_f1(references: Sequence[Sequence[Any]], predictions: Sequence[Sequence[Any]]) -> float:
    """F1 of the characters in spans, over all texts together.

    Args:
        references: (N,) the right spans of each text, with `start` and `end`.
        predictions: (N,) the spans that were found.

    Returns:
        In [0, 1]; 0 if no character is in both.
    """
    shared = n_references = n_predictions = 0
    for right, found in zip(references, predictions, strict=True):
        expected = {i for span in right for i in range(span.start, span.end)}
        predicted = {i for span in found for i in range(span.start, span.end)}
        shared += len(expected & predicted)
        n_references += len(expected)
        n_predictions += len(predicted)
    return 2 * shared / (n_references + n_predictions) if shared else 0.0


def even_weights(pairs: Sequence[Pair]) -> list[float]:
    """Weights that give all data sets equal shares, and within each, supported and other pairs equal shares.

    Users' texts are from none of the data sets, and the share of supported claims in them is unknown: even odds are assumed.

    Returns:
        (N,) weights with mean 1.
    """
    counts = Counter((pair.source, pair.label == "supported") for pair in pairs)
    return [len(pairs) / len(counts) / counts[pair.source, pair.label == "supported"] for pair in pairs]
