"""The report of an RLAIF run: how often each principle was used, and how the labels agree with each other and with people.

Not covered: the page (page.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.grading.matching import normalize_answer
from retrieval.records import Record
from training.preferences.ai_labels import PrincipleVote
from training.preferences.constitution import Principle

if TYPE_CHECKING:
    from calibration import Estimate

__all__ = ["PrincipleUse", "RLAIFReport", "rlaif_report"]


@dataclass(frozen=True)
class PrincipleUse(Record):
    """What a principle was used for; shares are None if it was not used for that.

    Attributes:
        name: of the principle.
        critiques: answers that were criticized and revised by it.
        changed: share of them that the revision changed in more than case, punctuation and articles.
        votes: labels that it had a vote in.
        decided: share of its votes whose two probabilities differ by at least the run's `min_margin`.
        orders_agree: share of its votes that prefer the same answer in both orders.
        human_votes: votes on pairs that people labeled.
        human_agreement: share of those that prefer the answer that people chose, with a 95 % interval.
    """

    name: str
    critiques: int
    changed: float | None
    votes: int
    decided: float | None
    orders_agree: float | None
    human_votes: int
    human_agreement: Estimate | None


@dataclass(frozen=True)
class RLAIFReport(Record):
    """What an RLAIF run did with its prompts.

    Attributes:
        prompts: number of prompts.
        changed: share of the answers whose final revision differs from them.
        examples: revisions that were learned.
        labels: pairs of answers that were labeled.
        pairs: of those, learned as preferences.
        left_out: number of the others by reason.
        orders_agree: share of all votes, those on pairs of people included, that prefer the same answer in both orders.
        first_position: mean probability of the answer that is shown first; 0.5 without a preference for a position.
        human_pairs: number of pairs that people labeled.
        human_agreement: share of them whose label prefers the answer that people chose, with a 95 % interval; None without
            such pairs.
        principles: one for each principle, in their order.
    """

    prompts: int
    changed: float
    examples: int
    labels: int
    pairs: int
    left_out: Mapping[str, int]
    orders_agree: float
    first_position: float
    human_pairs: int
    human_agreement: Estimate | None
    principles: tuple[PrincipleUse, ...]


def rlaif_report(
    principles: Sequence[Principle],
    revisions: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    human_labels: Sequence[Mapping[str, Any]],
    *,
    examples: int,
    counts: Mapping[str, int],
    min_margin: float,
) -> RLAIFReport:
    """Count from the rows of the stages (data.py).

    Args:
        principles: of the run.
        revisions, labels, human_labels: rows of those stages.
        examples: number of examples of the fine-tuning.
        counts: number of pairs, and of labels left out by reason (`write_pairs`).
        min_margin: of the run.
    """
    votes = [vote for label in labels for vote in _votes(label)]
    human = [vote for label in human_labels for vote in _votes(label)]
    return RLAIFReport(
        prompts=len(revisions),
        changed=_share([_differ(row["response"], row["revision"]) for row in revisions]) or 0.0,
        examples=examples,
        labels=len(labels),
        pairs=counts["pairs"],
        left_out={name: count for name, count in counts.items() if name != "pairs"},
        orders_agree=_share([vote.orders_agree for vote in [*votes, *human]]) or 0.0,
        first_position=_mean([p for vote in [*votes, *human] for p in (vote.shown_first, 1 - vote.shown_second)]),
        human_pairs=len(human_labels),
        human_agreement=_agreement([label["probability"] for label in human_labels]),
        principles=tuple(_use(principle, revisions, votes, human, min_margin) for principle in principles),
    )


def _use(
    principle: Principle,
    revisions: Sequence[Mapping[str, Any]],
    votes: Sequence[PrincipleVote],
    human: Sequence[PrincipleVote],
    min_margin: float,
) -> PrincipleUse:
    changed = []
    for row in revisions:
        text = row["response"]
        for turn in row["rounds"]:
            if turn["principle"] == principle.name:
                changed.append(bool(turn["revision"]) and _differ(text, turn["revision"]))
            text = turn["revision"] or text
    own_votes = [vote for vote in votes if vote.principle == principle.name]
    on_human = [vote.probability for vote in human if vote.principle == principle.name]
    return PrincipleUse(
        name=principle.name,
        critiques=len(changed),
        changed=_share(changed),
        votes=len(own_votes),
        decided=_share([abs(2 * vote.probability - 1) >= min_margin for vote in own_votes]),
        orders_agree=_share([vote.orders_agree for vote in own_votes]),
        human_votes=len(on_human),
        human_agreement=_agreement(on_human),
    )


def _votes(label: Mapping[str, Any]) -> list[PrincipleVote]:
    return [PrincipleVote(**vote) for vote in label["votes"]]


def _differ(one: str, other: str) -> bool:
    return normalize_answer(one) != normalize_answer(other)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def _agreement(probabilities: Sequence[float]) -> Estimate | None:
    """Share of probabilities above 1/2, those of 1/2 counting half, with a 95 % interval; None if there are none."""
    from calibration import Estimate, binomial_interval

    if not probabilities:
        return None
    right = sum(1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0 for p in probabilities)
    low, high = binomial_interval(right, len(probabilities))
    return Estimate(right / len(probabilities), float(low), float(high), 0.95)
