"""A language model as the verifier: the probability of "Yes" against "No".

Not covered: how the two answers are scored (halluc.models.forced_choice).
"""

from __future__ import annotations

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
_NO_EVIDENCE = "N/A"
# Probability that Yes and No must have together. A reply that begins with another word decides nothing, although the odds of
# two unlikely words can be of any size.
_LEAST_MASS = 0.1


class LMVerifier:
    """`Verifier` that asks a language model whether a passage supports a claim (as P(True), arXiv 2207.05221).

    Small models answer "Yes" to nearly everything. The log-odds of their answer for the passage "N/A" are therefore
    subtracted, claim by claim (contextual calibration, arXiv 2102.09690, eq. 2 with a content-free input). The question is
    about support only, so every claim that is not supported counts as not enough information, never as refuted. So does a
    claim on which the model is undecided: whose answer is neither Yes nor No.

    Args:
        lm: any model whose `generate` reports `top_logprobs`.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.name = f"lm:{lm.name}"

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the probabilities that the evidence supports the claim.

        Args:
            pairs: (N,) pairs of evidence and claim; equal pairs are asked about once.

        Returns:
            (N,) probabilities in [0, 1]; 0 if the model is undecided.

        Raises:
            InvalidInput: a pair is not two texts that are not blank.
            ContextOverflow: a pair does not fit the model's context window.
            ModelResponseError: the model reports no log-probabilities.
        """
        import numpy as np
        from scipy.special import expit

        pairs = checked_pairs(pairs)
        baseline = [(_NO_EVIDENCE, claim) for _, claim in pairs]
        unique = list(dict.fromkeys([*pairs, *baseline]))
        odds = dict(zip(unique, self._log_odds(unique), strict=True))
        # Without a decision on the passage "N/A", there is nothing to subtract.
        nulls = np.nan_to_num([odds[null] for null in baseline], nan=0.0)
        support: NDArray[np.float64] = expit(np.array([odds[pair] for pair in pairs], dtype=np.float64) - nulls)
        return np.nan_to_num(support, nan=0.0)

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of `LABELS`, as `support`; the second column, refuted, is 0."""
        import numpy as np

        support = self.support(pairs)
        return np.stack([support, np.zeros_like(support), 1 - support], axis=1)

    def _log_odds(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        special = getattr(self.lm, "special_tokens", ())
        prompts = [
            f"{passage_block([evidence], special)}\n\n{_QUESTION}\n\nClaim: {escape(claim, special)}"
            for evidence, claim in pairs
        ]
        odds: list[float] = choice_log_odds(self.lm, prompts, "Yes", "No", least_mass=_LEAST_MASS).tolist()
        return odds
