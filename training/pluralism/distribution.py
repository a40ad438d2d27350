"""Distributional pluralism: whether a model's distribution over answers is that of the people who disagree.

Source: a roadmap to pluralistic alignment (Sorensen et al., arXiv 2402.05070). Not covered: the votes of data sets and the
model's distributions, which the caller has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from halluc.errors import InvalidInput
from retrieval.records import Record

if TYPE_CHECKING:
    from calibration import Estimate

__all__ = ["DistributionalReport", "distributional_report"]

# Models may give a probability of 0, where the divergence from a vote for it is infinite.
_LEAST = 1e-6
_RESAMPLES = 1000


@dataclass(frozen=True)
class DistributionalReport(Record):
    """Distributions of a model compared with those of votes; means over the rows with 95 % intervals, in nats.

    Attributes:
        n: number of rows.
        divergence: Jensen-Shannon divergence of the two, in [0, log 2].
        cross_entropy: of the model relative to the votes.
        kl: KL(votes ‖ model), the cross-entropy less the entropy of the votes.
        entropy_of_votes: mean entropy of the votes.
        entropy_of_model: mean entropy of the model.
        entropy_correlation: Spearman correlation of the two entropies; 1 if the model is unsure exactly where people
            disagree, NaN if one of them is the same in all rows.
        majority_divergence: Jensen-Shannon divergence of one answer, the most frequent one of each row (of ties the
            first), from the votes: what a model that is always sure and right would have.
        average_divergence: the same of one distribution for all rows, the mean of the votes.
    """

    n: int
    divergence: Estimate
    cross_entropy: Estimate
    kl: Estimate
    entropy_of_votes: float
    entropy_of_model: float
    entropy_correlation: Estimate
    majority_divergence: Estimate
    average_divergence: Estimate


def distributional_report(model: ArrayLike, votes: ArrayLike) -> DistributionalReport:
    """Compare distributions over K answers.

    Args:
        model: (N, K) probabilities of the model.
        votes: (N, K) numbers or shares of votes for each answer.

    Raises:
        InvalidInput: the shapes differ, a value is negative or not finite, or a row has no votes or no probability.
    """
    from calibration.estimate import Bootstrap, Estimate, estimate, estimates

    p, q = _distributions("model", model), _distributions("votes", votes)
    if p.shape != q.shape:
        raise InvalidInput(f"the model has the shape {p.shape} and the votes {q.shape}; pass (rows, answers) for both")
    majority = np.eye(q.shape[1])[q.argmax(axis=1)]
    average = np.broadcast_to(q.mean(axis=0), q.shape)
    cross = -(q * np.log(np.maximum(p, _LEAST))).sum(axis=1)
    entropies = _entropy(q), _entropy(p)
    columns = (_divergence(p, q), cross, cross - entropies[0], _divergence(majority, q), _divergence(average, q))

    def kernel(weights: np.ndarray) -> tuple[float, ...]:
        shares = weights / weights.sum()
        return tuple(float(shares @ column) for column in columns)

    plan = Bootstrap(n_resamples=_RESAMPLES)
    results = estimates(kernel, np.ones(len(p)), plan)
    constant = any(np.ptp(entropy) == 0 for entropy in entropies)
    return DistributionalReport(
        n=len(p),
        divergence=results[0],
        cross_entropy=results[1],
        kl=results[2],
        entropy_of_votes=float(entropies[0].mean()),
        entropy_of_model=float(entropies[1].mean()),
        entropy_correlation=Estimate(float("nan"))
        if constant
        else estimate(lambda weights: _rank_correlation(*entropies, weights), np.ones(len(p)), plan),
        majority_divergence=results[3],
        average_divergence=results[4],
    )


def _distributions(name: str, values: ArrayLike) -> np.ndarray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise InvalidInput(f"{name} has the shape {table.shape}; pass (rows, answers)")
    if not np.isfinite(table).all() or (table < 0).any():
        raise InvalidInput(f"{name} has a value that is negative or not finite; pass probabilities or numbers of votes")
    totals = table.sum(axis=1, keepdims=True)
    if not (totals > 0).all():
        raise InvalidInput(f"row {int(np.argmin(totals))} of {name} adds up to 0; drop the row")
    shares: np.ndarray = table / totals
    return shares


def _entropy(p: np.ndarray) -> np.ndarray:
    logs = np.log(np.where(p > 0, p, 1.0))
    entropy: np.ndarray = 0.0 - (p * logs).sum(axis=1)
    return entropy


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(N,) Jensen-Shannon divergences in nats."""
    divergence: np.ndarray = np.maximum(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, 0.0)
    return divergence


def _rank_correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    """Spearman correlation of the rows, each as often as its weight says; NaN if one of them is constant."""
    from scipy.stats import rankdata

    rows = np.repeat(np.arange(len(one)), np.rint(weights).astype(int))
    ranks = rankdata(one[rows]), rankdata(other[rows])
    if np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
