"""Detectors that hold the answer against a source: a context given, or passages of an index."""

from __future__ import annotations

import numpy as np

from halluc.detectors.detector import Detector, Family, Need
from halluc.detectors.statistics import FloatArray, Statistics

__all__ = ["CONTEXT_ATTRIBUTION", "LEAST_SUPPORT", "SUPPORT"]


def _support(statistics: Statistics) -> FloatArray:
    """1 - mean probability that the source supports a claim of the answer."""
    return np.array([1 - own.mean() for own in statistics.claim_support])


def _least_support(statistics: Statistics) -> FloatArray:
    """1 - probability that the source supports the answer's least supported claim (as in SummaC, arXiv 2111.09525)."""
    return np.array([1 - own.min() for own in statistics.claim_support])


def _context_attribution_tokens(statistics: Statistics) -> list[FloatArray]:
    pairs = zip(statistics.token_logprobs, statistics.context_free_logprobs, strict=True)
    return [without - within for within, without in pairs]


def _context_attribution(statistics: Statistics) -> FloatArray:
    """Mean log-probability of a token without the context less that with it (pointwise information, arXiv 2210.13210)."""
    return np.array([own.mean() if own.size else np.nan for own in _context_attribution_tokens(statistics)])


SUPPORT = Detector("support", Family.grounded, frozenset({Need.support}), _support)
LEAST_SUPPORT = Detector("least_support", Family.grounded, frozenset({Need.support}), _least_support)
CONTEXT_ATTRIBUTION = Detector(
    "context_attribution",
    Family.grounded,
    frozenset({Need.logprobs, Need.context_free}),
    _context_attribution,
    _context_attribution_tokens,
)
