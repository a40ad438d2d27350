"""Detectors that ask the model about its own answer; how it is asked stands in the confidence modules."""

from __future__ import annotations

import numpy as np

from halluc.detectors.detector import Detector, Family, Need
from halluc.detectors.statistics import FloatArray, Statistics

__all__ = ["P_TRUE", "VERBALISED_CONFIDENCE"]


def _p_true(statistics: Statistics) -> FloatArray:
    """1 - P(True), the probability the model gives to its answer being false (Kadavath et al. 2022, arXiv 2207.05221)."""
    return np.asarray(1 - statistics.p_true)


def _verbalised_confidence(statistics: Statistics) -> FloatArray:
    """1 - the confidence that the model states in words (Tian et al. 2023, arXiv 2305.14975); NaN where it states none."""
    return np.asarray(1 - statistics.verbalised)


P_TRUE = Detector("p_true", Family.reflexive, frozenset({Need.p_true}), _p_true)
VERBALISED_CONFIDENCE = Detector(
    "verbalised_confidence", Family.reflexive, frozenset({Need.verbalised}), _verbalised_confidence
)
