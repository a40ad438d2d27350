"""Kinds of factuality reward: claim precision, binary, ternary, and proper scoring rules for stated confidence.

Each kind is a pure function from a `JudgedCompletion` to a number, for `FactualityReward(kind=...)`; set its parameters with
`functools.partial`. A hedged claim is worth half of a plain one, so that hedging everything does not pay. Not covered: how
claims are judged (factuality.py), and penalties for reward hacking (guards.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from halluc.errors import InvalidInput

__all__ = [
    "JudgedClaim",
    "JudgedCompletion",
    "RewardKind",
    "binary_factuality",
    "brier_confidence",
    "claim_precision",
    "log_confidence",
    "reward_kind",
    "ternary_truth",
]

_HEDGED = 0.5
# The highest confidence that an answer with hedged claims only can state.
_MAX_HEDGED_CONFIDENCE = 0.5


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and its verdict.

    Attributes:
        text: the claim.
        support: the highest probability in [0, 1] that a passage supports it.
        refuted: whether the passages contradict it.
        hedged: whether the completion says that it may be true rather than that it is.
    """

    text: str
    support: float
    refuted: bool = False
    hedged: bool = False

    @property
    def credit(self) -> float:
        """Support in [0, 1], halved if the claim is hedged."""
        return self.support * (_HEDGED if self.hedged else 1.0)


@dataclass(frozen=True)
class JudgedCompletion:
    """A completion as the kinds of reward see it.

    Attributes:
        text: the completion without the confidence it states.
        claims: its check-worthy claims, without duplicates; an abstention (`halluc.claims.abstention`) has none.
        matches: whether the text gives a reference as its answer; None if the row has no references.
        confidence: the probability in [0, 1] of being right that the completion states; None if it states none.
    """

    text: str
    claims: tuple[JudgedClaim, ...] = ()
    matches: bool | None = None
    confidence: float | None = None

    @property
    def abstains(self) -> bool:
        """Whether it gives no answer: it has no claim."""
        return not self.claims

    @property
    def hedged(self) -> bool:
        """Whether it answers, but only with hedged claims."""
        return bool(self.claims) and all(claim.hedged for claim in self.claims)

    @property
    def correct(self) -> bool:
        """Whether it gives a reference as its answer; without references, whether all claims are supported."""
        if self.abstains:
            return False
        return self.supported if self.matches is None else self.matches

    @property
    def supported(self) -> bool:
        """Whether it has claims, and all of them are supported."""
        return bool(self.claims) and all(claim.support >= 0.5 for claim in self.claims)


RewardKind = Callable[[JudgedCompletion], float]


def claim_precision(judged: JudgedCompletion, *, expected_claims: int = 1) -> float:
    """Mean credit of the claims, in [0, 1]; a completion without a claim earns 0.

    FActScore (arXiv 2305.14251, eq. 1) with the length penalty of its published code: if there are n claims and γ > n are
    expected, the mean is multiplied by exp(1 − γ/n), so that one safe claim does not beat a complete answer.

    Args:
        judged: the completion.
        expected_claims: γ, the number of claims in a complete answer, at least 1.

    Raises:
        InvalidInput: expected_claims is below 1.
    """
    if expected_claims < 1:
        raise InvalidInput(f"expected_claims is {expected_claims}; a complete answer has at least 1 claim")
    count = len(judged.claims)
    if not count:
        return 0.0
    return sum(claim.credit for claim in judged.claims) / count * min(1.0, math.exp(1 - expected_claims / count))


def binary_factuality(judged: JudgedCompletion, *, least_supported: float = 1.0) -> float:
    """1 if no claim is contradicted and enough of them, by default all, are supported, else 0.

    Without the second condition (`least_supported=0`) this is the binary retrieval-augmented reward of arXiv 2510.17733,
    which asks a large model for contradictions. Small verifiers leave wrong short answers undecided rather than
    contradicted, so that it pays most of them. Unlike in the paper, a completion without a claim earns 0, and hedged claims
    lower the reward to as little as 0.5.

    Args:
        judged: the completion.
        least_supported: share of claims in [0, 1] that must be supported.

    Raises:
        InvalidInput: the share is not in [0, 1].
    """
    if not 0 <= least_supported <= 1:
        raise InvalidInput(f"least_supported is {least_supported}; pass a share from 0 to 1")
    if not judged.claims or any(claim.refuted for claim in judged.claims):
        return 0.0
    supported = sum(claim.support >= 0.5 for claim in judged.claims)
    if supported < least_supported * len(judged.claims):
        return 0.0
    return sum(_HEDGED if claim.hedged else 1.0 for claim in judged.claims) / len(judged.claims)


def ternary_truth(judged: JudgedCompletion, *, abstain: float = 0.0, wrong: float = -1.0) -> float:
    """1 for a correct completion, `abstain` for one that gives no answer, `wrong` for all others (arXiv 2509.25760).

    A hedged answer is an answer: a correct one earns half of the way from `abstain` to 1, a wrong one as much as any.

    Args:
        judged: the completion.
        abstain: reward of an abstention.
        wrong: reward of a wrong completion.

    Raises:
        InvalidInput: unless 1 > abstain > wrong.
    """
    if not 1 > abstain > wrong:
        raise InvalidInput(f"abstain is {abstain} and wrong is {wrong}; the order must be 1 > abstain > wrong")
    if judged.abstains:
        return abstain
    if not judged.correct:
        return wrong
    return abstain + (1 - abstain) * _HEDGED if judged.hedged else 1.0


def brier_confidence(judged: JudgedCompletion, *, reference_weight: float = 1.0) -> float:
    """Compute y − (c − y)² in [−1, 1] for correctness y and stated confidence c (RLCR, arXiv 2507.16806).

    Correct answers earn more, and for a given expectation of y the honest confidence earns most. A completion without a
    stated confidence, or without text, earns the minimum, −1. A hedged one states at most 0.5.

    Args:
        judged: the completion.
        reference_weight: w in [0, 1]; for rows with references, y = w·(it gives one of them) + (1 − w)·(all of its claims
            are supported). With 1 references decide alone; a lower w also pays right answers in other words.

    Raises:
        InvalidInput: the weight is not in [0, 1].
    """
    if not 0 <= reference_weight <= 1:
        raise InvalidInput(f"reference_weight is {reference_weight}; pass a number from 0 to 1")
    confidence = _stated(judged)
    if confidence is None:
        return -1.0
    correct = float(judged.correct)
    if judged.matches is not None:
        correct = reference_weight * correct + (1 - reference_weight) * float(judged.supported)
    return correct - (confidence - correct) ** 2


def log_confidence(judged: JudgedCompletion, *, floor: float = 0.001) -> float:
    """Compute y − log p / log(floor) in [−1, 1] for correctness y and the stated probability p of the actual outcome.

    This is the logarithmic score of Rewarding Doubt (arXiv 2503.02623), scaled to [−1, 0], plus the correctness y as in
    RLCR: without y, a model that is always wrong and says so would earn the most. A completion without a stated confidence,
    or without text, earns −1. A hedged one states at most 0.5.

    Args:
        judged: the completion.
        floor: p is clipped to at least this, in (0, 0.5).

    Raises:
        InvalidInput: `floor` is not in (0, 0.5).
    """
    if not 0 < floor < 0.5:
        raise InvalidInput(f"floor is {floor}; pass a probability above 0 and below 0.5")
    confidence = _stated(judged)
    if confidence is None:
        return -1.0
    correct = judged.correct
    probability = confidence if correct else 1 - confidence
    return float(correct) - math.log(max(probability, floor)) / math.log(floor)


def _stated(judged: JudgedCompletion) -> float | None:
    """The confidence that a completion states; a hedge contradicts a high one."""
    if judged.confidence is None or not judged.text.strip():
        return None
    return min(judged.confidence, _MAX_HEDGED_CONFIDENCE) if judged.hedged else judged.confidence


def reward_kind(name: str, settings: Mapping[str, Any] | None = None) -> RewardKind:
    """Make the kind that a configuration names.

    >>> reward_kind("ternary", {"wrong": -2.0})(JudgedCompletion("Paris", (JudgedClaim("Paris", 0.1),)))
    -2.0

    Args:
        name: "precision", "binary", "ternary", "brier" or "log".
        settings: values of the parameters of its function.

    Raises:
        InvalidInput: there is no such kind, or it refuses a parameter or its value.
    """
    kinds: dict[str, RewardKind] = {
        "precision": claim_precision,
        "binary": binary_factuality,
        "ternary": ternary_truth,
        "brier": brier_confidence,
        "log": log_confidence,
    }
    if name not in kinds:
        raise InvalidInput(f"kind is {name!r}; choose from {', '.join(kinds)}")
    parameters = list(signature(kinds[name]).parameters)[1:]
    for key in settings or {}:
        if key not in parameters:
            choice = ", ".join(parameters)
            raise InvalidInput(f"{key!r} is not a parameter of the kind {name!r}; choose from {choice}")
    kind: RewardKind = partial(kinds[name], **(settings or {}))
    # Values that the kind refuses are errors now, not during a run.
    kind(JudgedCompletion(""))
    return kind
