"""Detections of consecutive rows, joined into one."""

from dataclasses import replace

import numpy as np
import pytest

from halluc import detect
from halluc.detectors import detect_batches as module
from halluc.detectors.detect_batches import detect_batches, joined

QUESTIONS = [f"What is {n} plus {n}?" for n in range(5)]
DETECTORS = ["perplexity", "mean_token_entropy"]


def test_batches_score_as_one_call_where_nothing_is_sampled(lm, monkeypatch):
    answers = [str(2 * n) for n in range(5)]
    whole = detect(lm, QUESTIONS, detectors=DETECTORS, answers=answers)
    monkeypatch.setattr(module, "_BATCH_ROWS", 2)
    batched = detect_batches(QUESTIONS, {"lm": lm}, detectors=DETECTORS, answers=answers)
    assert batched.statistics.answers == whole.statistics.answers
    for name in DETECTORS:
        assert batched[name] == pytest.approx(whole[name], rel=1e-3)
    assert [len(claims) for claims in batched.claims()] == [len(claims) for claims in whole.claims()]
    assert [detector.name for detector in batched.detectors] == DETECTORS


def test_a_row_has_the_same_samples_whatever_comes_after_it(lm, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_ROWS", 2)
    options = {"detectors": ["eccentricity"], "n_samples": 2, "max_new_tokens": 4, "seed": 2**63 - 1}
    five = detect_batches(QUESTIONS, {"lm": lm}, **options)
    four = detect_batches(QUESTIONS[:4], {"lm": lm}, **options)
    assert four.statistics.samples == five.statistics.samples[:4]


def test_a_detector_that_ran_on_some_of_the_parts_has_no_score_on_the_others(lm):
    parts = [detect(lm, [question], detectors=DETECTORS, answers=["2"]) for question in QUESTIONS[:3]]
    parts[1] = replace(parts[1], scores={"perplexity": parts[1]["perplexity"]}, skipped={DETECTORS[1]: "a reply is damaged"})
    result = joined(parts, DETECTORS)
    assert np.isnan(result["mean_token_entropy"]).tolist() == [False, True, False]
    assert not result.skipped
    parts = [replace(part, scores={}, skipped=dict.fromkeys(DETECTORS, "no reply")) for part in parts]
    assert joined(parts, DETECTORS).skipped == dict.fromkeys(DETECTORS, "no reply")
