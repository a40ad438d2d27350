"""What a judged completion earns: claim precision, binary, ternary, and proper scores of its stated confidence.

Each kind is a pure function from a `JudgedCompletion` to a number, to be given to `FactualityReward(kind=...)`; parameters
are set with `functools.partial`. A hedged claim is worth half of a plain one, so that hedging everything does not pay.
Not here: how claims are judged (rewards.py), and penalties for gaming a reward (reward_guards.py).
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


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and what the evidence says of it.

    Attributes:
        text: the claim.
        support: the highest probability in [0, 1] that a passage supports it.
        refuted: whether the passages contradict it.
        hedged: whether it says that something may be so rather than that it is.
    """

    text: str
    support: float
    refuted: bool = False
    hedged: bool = False

    @property
    def credit(self) -> float:
        """Support, halved where the claim is hedged."""
        return self.support * (_HEDGED if self.hedged else 1.0)


@dataclass(frozen=True)
class JudgedCompletion:
    """A completion as the reward kinds see it.

    Attributes:
        text: the completion without the confidence it states.
        claims: its check-worthy claims, equal ones once.
        answered: whether an accepted answer stands in the text; None if the data set gives none.
        confidence: the probability in [0, 1] that the completion states of being right; None if it states none.
    """

    text: str
    claims: tuple[JudgedClaim, ...] = ()
    answered: bool | None = None
    confidence: float | None = None

    @property
    def abstains(self) -> bool:
        """Whether it commits to nothing: no claim, or none without a hedge."""
        return all(claim.hedged for claim in self.claims)

    @property
    def correct(self) -> bool:
        """Whether it commits to something and is right: an accepted answer is in it, or every claim is supported."""
        if self.abstains:
            return False
        return all(claim.support >= 0.5 for claim in self.claims) if self.answered is None else self.answered


RewardKind = Callable[[JudgedCompletion], float]


def claim_precision(judged: JudgedCompletion, *, expected_claims: int = 1) -> float:
    """Mean credit of the claims, in [0, 1]; a completion without a claim earns 0.

    FActScore (arXiv 2305.14251, eq. 1) with the length penalty of its published code: with n claims, fewer than the γ
    expected, the mean is multiplied by exp(1 − γ/n), so that one sure claim does not beat a complete answer.

    Args:
        judged: the completion.
        expected_claims: γ, the claims of a complete answer; 1 asks for no more than one.
    """
    if expected_claims < 1:
        raise InvalidInput(f"expected_claims is {expected_claims}; a complete answer has at least 1 claim")
    count = len(judged.claims)
    if not count:
        return 0.0
    return sum(claim.credit for claim in judged.claims) / count * min(1.0, math.exp(1 - expected_claims / count))


def binary_factuality(judged: JudgedCompletion) -> float:
    """1 unless a claim is contradicted, then 0 (binary retrieval-augmented reward, arXiv 2510.17733).

    What the passages leave open costs nothing, unlike in `claim_precision`: it takes a verifier that tells contradiction
    from silence, which small ones do poorly for short answers. Beyond the paper, a completion without a claim earns 0, and
    hedged claims pull the 1 down to one half.
    """
    if not judged.claims or any(claim.refuted for claim in judged.claims):
        return 0.0
    return sum(_HEDGED if claim.hedged else 1.0 for claim in judged.claims) / len(judged.claims)


def ternary_truth(judged: JudgedCompletion, *, abstain: float = 0.0, wrong: float = -1.0) -> float:
    """1 for a correct completion, `abstain` for one that commits to nothing, `wrong` for the rest (arXiv 2509.25760).

    A completion of hedged claims alone commits to nothing.

    Raises:
        InvalidInput: unless 1 > abstain > wrong.
    """
    if not 1 > abstain > wrong:
        raise InvalidInput(f"abstain is {abstain} and wrong is {wrong}; the order must be 1 > abstain > wrong")
    if judged.abstains:
        return abstain
    return 1.0 if judged.correct else wrong


def brier_confidence(judged: JudgedCompletion) -> float:
    """y − (c − y)² in [−1, 1] for correctness y and stated confidence c (RLCR, arXiv 2507.16806).

    Being right pays, and among answers equally right the honest confidence pays best. A completion that states no
    confidence, or says nothing, earns the least, −1.
    """
    if judged.confidence is None or not judged.text.strip():
        return -1.0
    correct = float(judged.correct)
    return correct - (judged.confidence - correct) ** 2


def log_confidence(judged: JudgedCompletion, *, floor: float = 0.001) -> float:
    """y + log p / −log `floor` in [−1, 1], p being the stated probability of what came true, at least `floor`.

    The logarithmic score of Rewarding Doubt (arXiv 2503.02623) brought to [−1, 0], plus the correctness y as in RLCR:
    without it a model that is always wrong and says so would earn the most. Without a confidence, or text, −1.

    Raises:
        InvalidInput: `floor` is not in (0, 0.5).
    """
    if not 0 < floor < 0.5:
        raise InvalidInput(f"floor is {floor}; pass a probability above 0 and below 0.5")
    if judged.confidence is None or not judged.text.strip():
        return -1.0
    correct = judged.correct
    probability = judged.confidence if correct else 1 - judged.confidence
    return float(correct) - math.log(max(probability, floor)) / math.log(floor)


def reward_kind(name: str, settings: Mapping[str, Any] | None = None) -> RewardKind:
    """The kind of a configuration: "precision", "binary", "ternary", "brier" or "log", with parameters of its function.

    >>> reward_kind("ternary", {"wrong": -2.0})(JudgedCompletion("Paris", (JudgedClaim("Paris", 0.1),)))
    -2.0

    Raises:
        InvalidInput: there is no such kind, or the kind does not take a parameter or its value.
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
    taken = list(signature(kinds[name]).parameters)[1:]
    for key in settings or {}:
        if key not in taken:
            choice = f"choose from {', '.join(taken)}" if taken else "it takes none"
            raise InvalidInput(f"{key!r} is not a parameter of the kind {name!r}; {choice}")
    kind: RewardKind = partial(kinds[name], **(settings or {}))
    # What the parameters refuse is refused before a run has begun.
    kind(JudgedCompletion(""))
    return kind
