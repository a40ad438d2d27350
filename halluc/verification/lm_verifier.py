"""A language model as the verifier: the probability it gives to "Yes" against "No"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from halluc.models.forced_choice import choice_log_odds
from halluc.prompts import escape, passage_block
from halluc.verification.verifier import checked_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.models.language_model import LanguageModel

__all__ = ["LMVerifier"]

_QUESTION = "Does the passage say that the claim below is true? Reply with Yes or No."


class LMVerifier:
    """`Verifier` that asks a language model whether a passage supports a claim (as P(True), arXiv 2207.05221).

    Small models answer "Yes" to nearly everything. What they answer about an empty passage is therefore subtracted in
    log-odds, claim by claim (contextual calibration, arXiv 2102.09690, eq. 2 with a content-free input). The question tells
    support from the lack of it; refutation is not asked about, so what is not supported counts as not enough information.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.name = f"lm:{lm.name}"

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1]; equal pairs are asked once.

        Raises:
            InvalidInput: an evidence or a claim is empty or not a string.
            ContextOverflow: an evidence does not fit the model's window.
            ModelResponseError: the model reports no log-probabilities.
        """
        import numpy as np

        pairs = checked_pairs(pairs)
        baseline = [("N/A", claim) for _, claim in pairs]
        unique = list(dict.fromkeys([*pairs, *baseline]))
        odds = dict(zip(unique, self._log_odds(unique), strict=True))
        return np.array([_sigmoid(odds[pair] - odds[null]) for pair, null in zip(pairs, baseline, strict=True)])

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N, 3) probabilities of `LABELS`; the second column, refuted, is 0."""
        import numpy as np

        support = self.support(pairs)
        return np.stack([support, np.zeros_like(support), 1 - support], axis=1)

    def _log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        special = getattr(self.lm, "special_tokens", ())
        prompts = [
            f"{passage_block([evidence], special)}\n\n{_QUESTION}\n\nClaim: {escape(claim, special)}"
            for evidence, claim in pairs
        ]
        odds: list[float] = choice_log_odds(self.lm, prompts, "Yes", "No").tolist()
        return odds


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, x))))
