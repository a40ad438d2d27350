"""Detectors that read the probabilities of the answer's own tokens, from one pass of the model.

Each formula is a function of one answer's arrays; the detectors below apply it to every answer. An answer without tokens
(an empty reply of an endpoint) scores NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import FloatArray, IntArray, Statistic, Statistics

__all__ = [
    "CLAIM_CONDITIONED_PROBABILITY",
    "MAX_SEQUENCE_PROBABILITY",
    "MAX_TOKEN_ENTROPY",
    "MEAN_TOKEN_ENTROPY",
    "PERPLEXITY",
    "RAUQ",
    "SELF_CERTAINTY",
    "TOKEN_SAR",
    "claim_conditioned_logprobs",
    "rauq",
    "token_sar",
]

Pooling = Callable[[FloatArray], float]


def claim_conditioned_logprobs(logprobs: Sequence[FloatArray], relation: Sequence[IntArray]) -> FloatArray:
    """Logarithm of the CCP of each token (Fadeeva et al. 2024, arXiv 2403.04696, eq. 6), (T,) in nats, at most 0.

    The probability of all alternatives with the same meaning, divided by that of those with the same or the opposite
    meaning. Alternatives that change what the answer is about (relation 2) are left out.

    Args:
        logprobs: T arrays (A,), the chosen token's first.
        relation: T arrays (A,): 0 same, 1 opposite, 2 neither.
    """
    ratio = np.zeros(len(logprobs))
    for t, (values, kind) in enumerate(zip(logprobs, relation, strict=True)):
        same = np.logaddexp.reduce(values[kind == 0])
        ratio[t] = same - np.logaddexp.reduce(values[kind != 2])
    return ratio


def token_sar(logprobs: FloatArray, relevance: FloatArray) -> FloatArray:
    """Negative log-probabilities weighted by the tokens' share of relevance, (T,) (arXiv 2307.01379, eq. 6 and 7).

    Their sum is TokenSAR. Where no token is relevant, all have equal weight.
    """
    total = relevance.sum()
    weight = relevance / total if total > 0 else np.full(relevance.size, 1 / max(relevance.size, 1))
    return np.asarray(-logprobs * weight)


def rauq(logprobs: FloatArray, previous_attention: FloatArray, *, alpha: float = 0.2) -> float:
    """RAUQ (Vazhentsev et al. 2025, arXiv 2505.20045, eq. 3 to 6), at least 0.

    In each layer of the middle third, the head that attends most to the preceding token propagates confidence:
    c_t = alpha P(y_t) + (1 - alpha) a_t c_{t-1}, c_1 = P(y_1). The score is the largest over layers of -mean log c_t.

    Args:
        logprobs: (T,) in nats.
        previous_attention: (L, H, T) weight on the preceding token; that of the first token is not read.
        alpha: weight of the token's own probability; the paper's 0.2 for log-probabilities.
    """
    layers = previous_attention.shape[0]
    middle = previous_attention[layers // 3 : int(np.ceil(layers / 3 * 2)) + 1]
    if logprobs.size == 0:
        return float("nan")
    heads = middle[:, :, 1:].mean(-1).argmax(-1) if logprobs.size > 1 else np.zeros(len(middle), int)
    weight = middle[np.arange(len(middle)), heads]
    probability = np.exp(logprobs)
    confidence = np.empty((len(middle), logprobs.size))
    confidence[:, 0] = probability[0]
    for t in range(1, logprobs.size):
        confidence[:, t] = alpha * probability[t] + (1 - alpha) * weight[:, t] * confidence[:, t - 1]
    return float((-np.log(confidence).mean(-1)).max())


def _pooled(values: Sequence[FloatArray], pool: Pooling) -> FloatArray:
    return np.array([pool(of_tokens) if of_tokens.size else np.nan for of_tokens in values])


def _negative_logprobs(statistics: Statistics) -> list[FloatArray]:
    return [-logprobs for logprobs in statistics.token_logprobs]


def _max_sequence_probability(statistics: Statistics) -> FloatArray:
    """Negative log-probability of the whole answer (maximum sequence probability), in nats."""
    return _pooled(_negative_logprobs(statistics), np.sum)


def _perplexity(statistics: Statistics) -> FloatArray:
    """Mean negative log-probability of a token: the logarithm of the perplexity, in nats."""
    return _pooled(_negative_logprobs(statistics), np.mean)


def _token_entropy(statistics: Statistics) -> Sequence[FloatArray]:
    return statistics.token_entropy


def _mean_token_entropy(statistics: Statistics) -> FloatArray:
    """Mean entropy of the distributions the tokens were chosen from, in nats (arXiv 2002.07650)."""
    return _pooled(statistics.token_entropy, np.mean)


def _max_token_entropy(statistics: Statistics) -> FloatArray:
    """Largest entropy of a distribution a token was chosen from, in nats (arXiv 2303.08896, Max(H))."""
    return _pooled(statistics.token_entropy, np.max)


def _token_uncertainty(statistics: Statistics) -> list[FloatArray]:
    return [-certainty for certainty in statistics.token_self_certainty]


def _self_certainty(statistics: Statistics) -> FloatArray:
    """Negative mean KL divergence from uniform to the token distributions (Kang et al. 2025, arXiv 2502.18581)."""
    return _pooled(_token_uncertainty(statistics), np.mean)


def _claim_conditioned_tokens(statistics: Statistics) -> list[FloatArray]:
    pairs = zip(statistics.alternative_logprobs, statistics.alternative_relation, strict=True)
    return [-claim_conditioned_logprobs(logprobs, relation) for logprobs, relation in pairs]


def _claim_conditioned_probability(statistics: Statistics) -> FloatArray:
    """Negative logarithm of the claim-conditioned probability of the answer (arXiv 2403.04696, eq. 7), in nats."""
    return _pooled(_claim_conditioned_tokens(statistics), np.sum)


def _token_sar_tokens(statistics: Statistics) -> list[FloatArray]:
    pairs = zip(statistics.token_logprobs, statistics.token_relevance, strict=True)
    return [token_sar(logprobs, relevance) for logprobs, relevance in pairs]


def _token_sar(statistics: Statistics) -> FloatArray:
    """TokenSAR: negative log-probability of the tokens that matter (Duan et al. 2023, arXiv 2307.01379, eq. 7)."""
    return _pooled(_token_sar_tokens(statistics), np.sum)


def _rauq(statistics: Statistics) -> FloatArray:
    """RAUQ: token probabilities propagated by the attention to the preceding token (arXiv 2505.20045)."""
    pairs = zip(statistics.token_logprobs, statistics.previous_attention, strict=True)
    return np.array([rauq(logprobs, attention) for logprobs, attention in pairs])


def _detector(
    name: str,
    score: Callable[[Statistics], FloatArray],
    *needs: Statistic,
    tokens: Callable[[Statistics], Sequence[FloatArray]] | None = None,
) -> Detector:
    return Detector(name, Family.token_probability, frozenset(needs), score, tokens)


MAX_SEQUENCE_PROBABILITY = _detector(
    "max_sequence_probability", _max_sequence_probability, Statistic.logprobs, tokens=_negative_logprobs
)
PERPLEXITY = _detector("perplexity", _perplexity, Statistic.logprobs, tokens=_negative_logprobs)
MEAN_TOKEN_ENTROPY = _detector("mean_token_entropy", _mean_token_entropy, Statistic.distribution, tokens=_token_entropy)
MAX_TOKEN_ENTROPY = _detector("max_token_entropy", _max_token_entropy, Statistic.distribution, tokens=_token_entropy)
SELF_CERTAINTY = _detector("self_certainty", _self_certainty, Statistic.distribution, tokens=_token_uncertainty)
CLAIM_CONDITIONED_PROBABILITY = _detector(
    "claim_conditioned_probability", _claim_conditioned_probability, Statistic.alternatives, tokens=_claim_conditioned_tokens
)
TOKEN_SAR = _detector("token_sar", _token_sar, Statistic.logprobs, Statistic.relevance, tokens=_token_sar_tokens)
RAUQ = _detector("rauq", _rauq, Statistic.logprobs, Statistic.attention)
