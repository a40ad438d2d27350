"""Confidence of answers from several sources; each returns (N,) values in [0, 1], and raises if its inputs are missing.

None of them is calibrated; `halluc.calibrate` measures and corrects their error. `SOURCES` names them all, and
`estimate_confidence` takes any of them by name.
"""

from halluc.confidence.consistency import self_consistency
from halluc.confidence.likelihood import (
    length_normalized_likelihood,
    mean_token_probability,
    min_token_probability,
    sequence_likelihood,
)
from halluc.confidence.self_evaluation import confidence_replies, p_true, verbalized_confidence
from halluc.confidence.sources import SOURCES, Source, estimate_confidence
from halluc.confidence.verbalized_parsing import parse_confidence
from halluc.verification.judge import verdict_support, verifier_support

__all__ = [
    "SOURCES",
    "Source",
    "confidence_replies",
    "estimate_confidence",
    "length_normalized_likelihood",
    "mean_token_probability",
    "min_token_probability",
    "p_true",
    "parse_confidence",
    "self_consistency",
    "sequence_likelihood",
    "verbalized_confidence",
    "verdict_support",
    "verifier_support",
]
