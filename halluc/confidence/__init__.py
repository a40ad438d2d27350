"""Confidence of answers, from several sources: each gives (N,) in [0, 1], and raises where it has nothing to go by.

None of them is calibrated; `halluc.calibrate` measures how far one is off and mends it. `SOURCES` names them all, and
`estimate_confidence` takes any of them by name.
"""

# Loaded at once: `p_true` is a function and the module it is in, and a later import of the module must find the name taken.
from halluc.confidence.consistency import self_consistency
from halluc.confidence.likelihood import (
    length_normalised_likelihood,
    mean_token_probability,
    min_token_probability,
    sequence_likelihood,
)
from halluc.confidence.self_evaluation import p_true
from halluc.confidence.sources import SOURCES, Source, estimate_confidence
from halluc.confidence.verbalised import confidence_replies, verbalised_confidence
from halluc.confidence.verbalized_parsing import parse_confidence
from halluc.verification.judge import verdict_support, verifier_support

__all__ = [
    "SOURCES",
    "Source",
    "confidence_replies",
    "estimate_confidence",
    "length_normalised_likelihood",
    "mean_token_probability",
    "min_token_probability",
    "p_true",
    "parse_confidence",
    "self_consistency",
    "sequence_likelihood",
    "verbalised_confidence",
    "verdict_support",
    "verifier_support",
]
