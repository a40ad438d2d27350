"""The options of generation, checked alike for every language model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from halluc.errors import InvalidInput

__all__ = ["check_options"]


def check_options(
    n: int, max_new_tokens: int, temperature: float, top_p: float, stop: Sequence[str], top_logprobs: int = 0
) -> None:
    """Refuse options of `LanguageModel.generate` that are out of range.

    Raises:
        InvalidInput: see above; the message names the option.
    """
    if n < 1:
        raise InvalidInput(f"n is {n}; ask for at least 1 completion")
    if max_new_tokens < 1:
        raise InvalidInput(f"max_new_tokens is {max_new_tokens}; ask for at least 1")
    if not 0 <= temperature < math.inf:
        raise InvalidInput(f"temperature is {temperature}; pass 0 (greedy) or a positive number")
    if not 0 < top_p <= 1:
        raise InvalidInput(f"top_p is {top_p}; pass a number in (0, 1]")
    if isinstance(stop, str) or not all(stop):
        raise InvalidInput(f"stop is {stop!r}; pass a list of non-empty strings")
    if top_logprobs < 0:
        raise InvalidInput(f"top_logprobs is {top_logprobs}; pass 0 or more")
