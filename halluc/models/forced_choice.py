"""Forced choice: compare the probabilities of two words as the model's reply.

Every comparison of next-token probabilities goes through `choice_log_odds`. Not covered: the prompts of P(True) and of
support (halluc/confidence/self_evaluation.py) and of the verifier (halluc/verification/lm_verifier.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from halluc.errors import ModelResponseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.models.language_model import Generation, LanguageModel, Prompt

__all__ = ["choice_log_odds"]

# Models spread a word over spellings ("Yes", " yes", "YES"); 20 is the most that hosted endpoints report.
_TOP = 20
# Probability of a word that is not reported.
_FLOOR = 1e-6


def choice_log_odds(
    lm: LanguageModel, prompts: Sequence[Prompt], first: str, second: str, *, least_mass: float = 0.0
) -> NDArray[np.float64]:
    """Compute log P(first) - log P(second) for the first token of the reply to each prompt.

    Probabilities are summed over spellings among the 20 most likely tokens. A word that is not among them counts as the
    least likely of them, or 1e-6 if that is less.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
        prompts: (N,) prompts that ask for one of the two words.
        first, second: the words; their first tokens must differ.
        least_mass: probability, in [0, 1], that the two words must have together for a reply to be one of them.

    Returns:
        (N,) log-odds in nats; NaN for a reply that is neither word.

    Raises:
        InvalidInput: a prompt is unusable.
        ModelResponseError: the model reports no log-probabilities.
        ContextOverflow: a prompt does not fit the model's window.
    """
    import numpy as np

    replies = lm.generate(prompts, max_new_tokens=1, top_logprobs=_TOP)
    words = (first.lower(), second.lower())
    return np.array([_log_odds(completions[0], words, lm.name, least_mass) for completions in replies])


def _log_odds(reply: Generation, words: tuple[str, str], model: str, least_mass: float) -> float:
    if not reply.top_logprobs:
        raise ModelResponseError(
            f"{model} reports no log-probabilities, which a choice between {words[0]!r} and {words[1]!r} needs; use a "
            "model or server that does"
        )
    mass = dict.fromkeys(words, 0.0)
    least = math.exp(reply.top_logprobs[0][-1][1])
    for token, logprob in reply.top_logprobs[0]:
        if (word := token.strip().lower()) in mass:
            mass[word] += math.exp(logprob)
    if sum(mass.values()) < least_mass:
        return math.nan
    first, second = (max(probability, min(least, _FLOOR)) for probability in mass.values())
    return math.log(first) - math.log(second)
