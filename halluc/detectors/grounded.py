"""Detectors that judge an answer against a source (a context, or passages of an index) or by asking the model about it.

Not covered: the prompts with which the model is asked (`halluc.confidence`), and searching for evidence (text_relations.py).
"""

from __future__ import annotations

import numpy as np

from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import FloatArray, Statistic, Statistics

__all__ = ["CONTEXT_ATTRIBUTION", "LEAST_SUPPORT", "P_TRUE", "SUPPORT", "VERBALIZED_CONFIDENCE"]


def _support(statistics: Statistics) -> FloatArray:
    """1 - mean probability that the source supports a claim of the answer; NaN without a source."""
    return np.array([1 - support.mean() for support in statistics.claim_support])


def _least_support(statistics: Statistics) -> FloatArray:
    """1 - probability that the source supports the answer's least supported claim (as in SummaC, arXiv 2111.09525)."""
    return np.array([1 - support.min() for support in statistics.claim_support])


def _context_attribution_tokens(statistics: Statistics) -> list[FloatArray]:
    logprobs = zip(statistics.token_logprobs, statistics.context_free_logprobs, strict=True)
    return [without_context - with_context for with_context, without_context in logprobs]


def _context_attribution(statistics: Statistics) -> FloatArray:
    """Mean log-probability of a token without the context minus that with it (pointwise information, arXiv 2210.13210)."""
    return np.array([scores.mean() if scores.size else np.nan for scores in _context_attribution_tokens(statistics)])


def _p_true(statistics: Statistics) -> FloatArray:
    """1 - P(True), the probability the model gives to its answer being false (Kadavath et al. 2022, arXiv 2207.05221)."""
    return np.asarray(1 - statistics.p_true)


def _verbalized_confidence(statistics: Statistics) -> FloatArray:
    """1 - the confidence that the model states in words (Tian et al. 2023, arXiv 2305.14975); NaN where it states none."""
    return np.asarray(1 - statistics.verbalized)


SUPPORT = Detector("support", Family.grounded, frozenset({Statistic.support}), _support)
LEAST_SUPPORT = Detector("least_support", Family.grounded, frozenset({Statistic.support}), _least_support)
CONTEXT_ATTRIBUTION = Detector(
    "context_attribution",
    Family.grounded,
    frozenset({Statistic.logprobs, Statistic.context_free}),
    _context_attribution,
    _context_attribution_tokens,
)
P_TRUE = Detector("p_true", Family.reflexive, frozenset({Statistic.p_true}), _p_true)
VERBALIZED_CONFIDENCE = Detector(
    "verbalized_confidence", Family.reflexive, frozenset({Statistic.verbalized}), _verbalized_confidence
)
