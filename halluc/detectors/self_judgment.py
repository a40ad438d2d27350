"""Statistics from asking the model about its own answers.

Each function returns values and the number of tokens that the model read and wrote. Not covered: the prompts
(`halluc.confidence.self_evaluation`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from halluc.detectors.sampling import sentences_of
from halluc.detectors.statistics import FloatArray, Statistics

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["p_true", "sentence_no", "stated_confidence"]

# Tokens that a question about an answer adds to the two texts: the instruction and the chat template.
_INSTRUCTION_TOKENS = 60


def p_true(lm: LanguageModel, statistics: Statistics) -> tuple[FloatArray, int]:
    """(N,) the probability the model gives to its answer being true.

    Raises:
        ModelResponseError: the model reports no log-probabilities.
    """
    from halluc.confidence import self_evaluation

    return self_evaluation.p_true(lm, statistics.questions, statistics.answers), _question_tokens(lm, statistics)


def stated_confidence(lm: LanguageModel, statistics: Statistics) -> tuple[FloatArray, int]:
    """(N,) the confidence the model states in words; NaN where it states none."""
    from halluc.confidence.self_evaluation import confidence_replies
    from halluc.confidence.verbalized_parsing import parse_confidence

    replies = confidence_replies(lm, statistics.questions, statistics.answers)
    stated = [parse_confidence(reply) for reply in replies]
    values = np.array([np.nan if value is None else value for value in stated])
    reply_tokens = sum(lm.count_tokens(reply) for reply in replies if reply)
    return values, _question_tokens(lm, statistics) + reply_tokens


def sentence_no(lm: LanguageModel, statistics: Statistics) -> tuple[tuple[FloatArray, ...], int]:
    """N arrays (S, k), the probability of "No" when asked whether sample i supports the sentence.

    Raises:
        ModelResponseError: the model reports no log-probabilities.
    """
    from halluc.confidence.self_evaluation import p_not_supported

    sentences = [sentences_of(answer) for answer in statistics.answers]
    pairs = [
        (sample, sentence)
        for of_answer, samples in zip(sentences, statistics.samples, strict=True)
        for sentence in of_answer
        for sample in samples
    ]
    shapes = [(len(of_answer), len(samples)) for of_answer, samples in zip(sentences, statistics.samples, strict=True)]
    parts = np.split(p_not_supported(lm, pairs), np.cumsum([s * k for s, k in shapes])[:-1])
    values = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return values, _tokens_of(lm, dict.fromkeys(pairs))


def _question_tokens(lm: LanguageModel, statistics: Statistics) -> int:
    return _tokens_of(lm, zip(statistics.questions, statistics.answers, strict=True))


def _tokens_of(lm: LanguageModel, pairs: Iterable[tuple[str, str]]) -> int:
    """Estimate the tokens of prompts with two texts each, without making the prompts."""
    return sum(lm.count_tokens("\n".join(pair)) + _INSTRUCTION_TOKENS for pair in pairs)
