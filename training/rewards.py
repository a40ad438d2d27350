"""A factuality reward with TRL's reward-function signature, for `GRPOTrainer(reward_funcs=...)` and `RLOOTrainer`.

The claims of a completion are judged against evidence, retrieved or given, and the reward is the mean support. Not here:
the trainers, which are TRL's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from halluc.claims import extract_claims
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.verifiers.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["FactualityReward"]


class FactualityReward:
    """Mean support of a completion's claims, in [0, 1] (claim precision as in FActScore, arXiv 2305.14251, eq. 1).

    A completion without a claim earns 0, so that saying nothing never pays. TRL names the reward by `__name__` in its logs.

    Args:
        verifier: gives the probability that a piece of evidence supports a claim.
        index: where evidence is looked up; None if every row of the data set brings its own `context` column.
        k: passages retrieved per claim; the claim's support is the highest that any of them gives it.

    Raises:
        InvalidInput: k is below 1; on a call: neither an index nor a `context` column, or columns of unequal length.
    """

    __name__ = "factuality"

    def __init__(self, verifier: Verifier, index: PassageIndex | None = None, *, k: int = 3) -> None:
        if k < 1:
            raise InvalidInput(f"k is {k}; retrieve at least 1 passage per claim")
        self.verifier = verifier
        self.index = index
        self.k = k

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        context: Sequence[str] | None = None,
        **_columns: Any,
    ) -> list[float]:
        """One reward in [0, 1] per completion; verification is one batch.

        Args:
            prompts: (N,) prompts, unused but part of TRL's signature.
            completions: (N,) strings or conversations (lists of messages), as TRL passes them.
            context: (N,) evidence that replaces retrieval, a column of the data set.
        """
        texts = [_text(completion) for completion in completions]
        if len(prompts) != len(texts) or (context is not None and len(context) != len(texts)):
            raise InvalidInput(
                f"{len(prompts)} prompts and {len(context) if context is not None else 'no'} contexts for "
                f"{len(texts)} completions; pass one of each a completion"
            )
        claims = [(row, claim.text) for row, text in enumerate(texts) for claim in extract_claims(text)]
        if not claims:
            return [0.0] * len(texts)
        evidence = self._evidence(claims, context)
        pairs = [(passage, claim) for (_, claim), own in zip(claims, evidence, strict=True) for passage in own]
        support = iter(self.verifier.support(pairs).tolist())
        scores: list[list[float]] = [[] for _ in texts]
        for (row, _), own in zip(claims, evidence, strict=True):
            scores[row].append(max((next(support) for _ in own), default=0.0))
        return [sum(own) / len(own) if own else 0.0 for own in scores]

    def _evidence(self, claims: Sequence[tuple[int, str]], context: Sequence[str] | None) -> list[list[str]]:
        if context is not None:
            return [[context[row]] for row, _ in claims]
        if self.index is None:
            raise InvalidInput("there is no evidence: give FactualityReward an index, or the data set a 'context' column")
        found = self.index.search([claim for _, claim in claims], k=self.k)
        return [[hit.passage.text for hit in hits] for hits in found]


def _text(completion: Any) -> str:
    """TRL passes strings for plain prompts and lists of messages for conversations."""
    return completion if isinstance(completion, str) else "\n".join(message["content"] for message in completion)
