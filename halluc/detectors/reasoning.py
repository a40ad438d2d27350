"""Detectors of mistakes in worked solutions, from the checks of `halluc.reasoning`."""

from __future__ import annotations

import numpy as np

from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import FloatArray, Statistic, Statistics
from halluc.reasoning.steps import check_steps, split_steps, step_consistency

__all__ = ["ARITHMETIC_MISTAKES", "STEP_INCONSISTENCY"]


def _arithmetic_mistakes(statistics: Statistics) -> FloatArray:
    """Share of an answer's steps with equalities in which one does not hold; 0 where no equality can be checked."""
    scores = []
    for answer in statistics.answers:
        mistaken = [check.mistaken for check in check_steps(split_steps(answer)) if check.equations]
        scores.append(sum(mistaken) / len(mistaken) if mistaken else 0.0)
    return np.array(scores)


def _step_inconsistency(statistics: Statistics) -> FloatArray:
    """1 - mean share of samples that reach the results of an answer's steps (as in arXiv 2203.11171); 0.5 without any."""
    scores = []
    for answer, samples in zip(statistics.answers, statistics.samples, strict=True):
        shares = step_consistency(split_steps(answer), [split_steps(sample) for sample in samples])
        known = [share for share in shares if share is not None]
        scores.append(1 - sum(known) / len(known) if known else 0.5)
    return np.array(scores)


ARITHMETIC_MISTAKES = Detector("arithmetic_mistakes", Family.reasoning, frozenset(), _arithmetic_mistakes)
STEP_INCONSISTENCY = Detector("step_inconsistency", Family.reasoning, frozenset({Statistic.samples}), _step_inconsistency)
