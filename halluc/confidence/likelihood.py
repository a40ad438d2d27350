"""Confidence from the probabilities of the answer's own tokens: no further call to the model.

All functions take N generations and return (N,) values in [0, 1]. They measure how sure the model is of these words, which
is less than how sure it is of their meaning: other wordings of the same answer take probability away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.models.language_model import Generation

__all__ = ["length_normalized_likelihood", "mean_token_probability", "min_token_probability", "sequence_likelihood"]


def sequence_likelihood(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(N,) probability of the whole answer, the product over its tokens; it falls with length.

    Raises:
        InvalidInput: a generation has no token log-probabilities.
    """
    return _pooled(generations, lambda logprobs: np.exp(logprobs.sum()))


def length_normalized_likelihood(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(N,) geometric mean of the token probabilities, exp of the mean log-probability (arXiv 2002.07650, eq. 9).

    It is 1 / perplexity, and is `Answer.confidence` if there is no calibrator.

    Raises:
        InvalidInput: a generation has no token log-probabilities.
    """
    return _pooled(generations, lambda logprobs: np.exp(logprobs.mean()))


def mean_token_probability(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(N,) arithmetic mean of the token probabilities: one improbable token weighs less than in the geometric mean.

    Raises:
        InvalidInput: a generation has no token log-probabilities.
    """
    return _pooled(generations, lambda logprobs: np.exp(logprobs).mean())


def min_token_probability(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(N,) probability of the least likely token: an answer is as sure as its weakest word (arXiv 2307.03987, section 3).

    Raises:
        InvalidInput: a generation has no token log-probabilities.
    """
    return _pooled(generations, lambda logprobs: np.exp(logprobs.min()))


def _pooled(generations: Sequence[Generation], pool: Callable[[NDArray[np.float64]], np.float64]) -> NDArray[np.float64]:
    values = np.empty(len(generations))
    for i, generation in enumerate(generations):
        if not hasattr(generation, "token_logprobs"):
            raise InvalidInput(
                f"generations[{i}] is a {type(generation).__name__}; pass a list of Generation, e.g. "
                "[completions[0] for completions in lm.generate(prompts)]"
            )
        logprobs = np.asarray(generation.token_logprobs, dtype=np.float64)
        if logprobs.size == 0:
            raise InvalidInput(
                f"generation {i} ({generation.text[:40]!r}) has no token log-probabilities; use a model that reports them, "
                "or a confidence that needs none (verbalized, self-consistency, verifier support)"
            )
        # A NaN fails the comparison too.
        if not (logprobs <= 1e-3).all():
            raise InvalidInput(f"generation {i} has the log-probabilities {logprobs.tolist()}; they must be at most 0")
        values[i] = pool(np.minimum(logprobs, 0.0))
    return values
