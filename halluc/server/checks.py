"""Checks of answers that clients send: limits, and the work itself in the worker's thread.

Not covered: the rule of a verdict (halluc.verification).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from halluc.claims import RuleClaimExtractor
from halluc.errors import InvalidInput, check_text, leaf_errors_as_ours
from halluc.server.requests import CheckBody
from halluc.verification.check import CheckReport, check_many
from halluc.verification.contexts import Context, context_passages
from halluc.verification.verifier import SpanVerifier

if TYPE_CHECKING:
    from halluc.answers import Claim
    from halluc.server.options import ServerOptions
    from halluc.server.worker import Worker
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["CheckService"]


@dataclass(frozen=True)
class CheckService:
    """Checks answers.

    Attributes:
        verifier: judges the claims; None refuses every check.
        index: what an answer without a context is checked against; None refuses it.
        worker: does the work for all requests.
        options: limits.
    """

    verifier: Verifier | None
    index: PassageStore | None
    worker: Worker
    options: ServerOptions

    async def check(self, body: CheckBody) -> CheckReport:
        """Check an answer.

        Raises:
            InvalidInput: there is nothing to check, to check against or to check with, or too much of it.
        """
        verifier, index = self.verifier, self.index
        if verifier is None:
            raise InvalidInput("this server was started without a verifier; start it with --verifier to check answers")
        with_context = body.context is not None
        check_text("answer", body.answer)
        if with_context:
            context_passages(body.context)
            index = None
        elif index is None:
            raise InvalidInput("context is missing, and this server has no index; send the text to check the answer against")
        texts = [body.answer, *([body.context] if isinstance(body.context, str) else body.context or [])]
        if (length := sum(map(len, texts))) > self.options.max_characters:
            raise InvalidInput(
                f"answer and context have {length} characters; this server checks up to {self.options.max_characters}"
            )
        extractor = _LimitedExtractor(self.options.max_claims)

        def work(items: list[tuple[str, Context, str | None, threading.Event]]) -> list[CheckReport]:
            answers, contexts, questions, left = zip(*items, strict=True)
            if index is not None:
                with leaf_errors_as_ours():
                    index.refresh()
            return check_many(
                answers,
                contexts=contexts if with_context else None,
                index=index,
                # A verifier that also marks words is used as it is: its calls cannot be cut.
                verifier=verifier if isinstance(verifier, SpanVerifier) else _Interruptible(verifier, left),
                extractor=extractor,
                questions=questions,
            )

        gone = threading.Event()
        try:
            return await self.worker.run(("check", with_context), work, (body.answer, body.context, body.question, gone))
        finally:
            gone.set()


class _Interruptible:
    """A verifier that stops between batches once no request of the work is left.

    Args:
        verifier: computes the probabilities.
        left: for each request, whether its client is gone.
    """

    def __init__(self, verifier: Verifier, left: Sequence[threading.Event]) -> None:
        self.name = verifier.name
        self._verifier, self._left = verifier, left

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the probabilities; see `Verifier`."""
        if len(pairs) <= _PAIRS:
            return self._verifier.probabilities(pairs)
        parts = []
        for start in range(0, len(pairs), _PAIRS):
            if all(gone.is_set() for gone in self._left):
                raise InvalidInput("the check was cancelled")
            parts.append(self._verifier.probabilities(pairs[start : start + _PAIRS]))
        return np.concatenate(parts)

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the support; see `Verifier`."""
        return self.probabilities(pairs)[:, 0]


# Pairs per call of the verifier: a second or so of work.
_PAIRS = 64


class _LimitedExtractor(RuleClaimExtractor):
    """Refuses answers with more claims than are checked."""

    def __init__(self, max_claims: int) -> None:
        self._max_claims = max_claims

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """Extract the claims; see `RuleClaimExtractor`."""
        claims = super().extract(texts, questions=questions)
        for claims_of_answer in claims:
            count = sum(claim.check_worthy for claim in claims_of_answer)
            if count > self._max_claims:
                raise InvalidInput(f"the answer has {count} claims; this server checks up to {self._max_claims}")
        return claims
