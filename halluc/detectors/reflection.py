"""What a model says when it is asked about its own answers and samples, one batch a kind of question.

Each function returns the values and the tokens that the model read and wrote. Not here: the scores made of them
(reflexive.py, sampling.py), and how P(True) and verbalised confidence are asked for (halluc/confidence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from halluc.detectors.sampling import sentences_of
from halluc.detectors.statistics import FloatArray, Statistics
from halluc.models.forced_choice import choice_log_odds
from halluc.prompts import escape

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["p_true", "sentence_no", "verbalised"]


# What a question about an answer adds to the two texts: the instruction and the chat template.
_INSTRUCTION_TOKENS = 60


def p_true(lm: LanguageModel, statistics: Statistics) -> tuple[FloatArray, int]:
    """(N,) probability the model gives to its answer being true.

    Raises:
        ModelResponseError: the model reports no log-probabilities.
    """
    from halluc.confidence.self_evaluation import p_true as ask

    return ask(lm, statistics.questions, statistics.answers), _tokens(lm, statistics)


def verbalised(lm: LanguageModel, statistics: Statistics) -> tuple[FloatArray, int]:
    """(N,) confidence the model states in words; NaN where it states none."""
    from halluc.confidence.verbalised import confidence_replies
    from halluc.confidence.verbalized_parsing import parse_confidence

    replies = confidence_replies(lm, statistics.questions, statistics.answers)
    stated = [parse_confidence(reply) for reply in replies]
    written = sum(lm.count_tokens(reply) for reply in replies if reply)
    return np.array([np.nan if value is None else value for value in stated]), _tokens(lm, statistics) + written


def sentence_no(lm: LanguageModel, statistics: Statistics) -> tuple[tuple[FloatArray, ...], int]:
    """N arrays (S, k): P(No) against P(Yes) that sample i supports the sentence (arXiv 2303.08896, section 4.5).

    The paper counts the words of the reply; their probabilities say the same without sampling noise.

    Raises:
        ModelResponseError: the model reports no log-probabilities.
    """
    special = getattr(lm, "special_tokens", ())
    prompts, shapes = [], []
    for answer, samples in zip(statistics.answers, statistics.samples, strict=True):
        sentences = sentences_of(answer)
        shapes.append((len(sentences), len(samples)))
        prompts += [
            f"Context: {escape(sample, special)}\nSentence: {escape(sentence, special)}\n"
            "Is the sentence supported by the context above? Answer Yes or No:"
            for sentence in sentences
            for sample in samples
        ]
    unique = list(dict.fromkeys(prompts))
    odds = dict(zip(unique, choice_log_odds(lm, unique, "No", "Yes"), strict=True))
    no = 1 / (1 + np.exp(-np.array([odds[prompt] for prompt in prompts])))
    parts = np.split(no, np.cumsum([s * k for s, k in shapes])[:-1])
    tokens = sum(lm.count_tokens(prompt) + 1 for prompt in unique)
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)), tokens


def _tokens(lm: LanguageModel, statistics: Statistics) -> int:
    texts = zip(statistics.questions, statistics.answers, strict=True)
    return sum(lm.count_tokens(f"{question}\n{answer}") + _INSTRUCTION_TOKENS for question, answer in texts)
