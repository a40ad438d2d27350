"""The judge of truth: its features by hand, its packaged weights, and what it refuses."""

import json

import numpy as np
import pytest

from halluc.errors import InvalidInput
from halluc.evaluation.truth_judge import FEATURES, fit_truth_judge, load_truth_judge, truth_features

TRUE = ["The Earth is round", "It is a sphere"]
FALSE = ["The Earth is flat"]


def test_features_are_cosines_of_word_sets_and_letter_sequences():
    features = dict(zip(FEATURES, truth_features("Earth is not round", TRUE, FALSE), strict=True))
    # Words {earth, is, not, round} share three with {the, earth, is, round}, one with {it, is, sphere}.
    assert features["nearest true reference, words"] == pytest.approx(3 / 4)
    assert features["mean of true references, words"] == pytest.approx((3 / 4 + 1 / np.sqrt(4 * 3)) / 2)
    assert features["nearest false reference, words"] == pytest.approx(2 / 4)
    # " is " and "not" with its spaces: " not", "not "; "earth" and "round" have four sequences each.
    assert features["nearest false reference, letters"] == pytest.approx(5 / np.sqrt(11 * 10))
    assert (features["negates"], features["declines"]) == (1, 0)
    assert dict(zip(FEATURES, truth_features("That depends.", TRUE, FALSE), strict=True))["declines"] == 1
    assert features["log of words"] == pytest.approx(np.log(5))


def test_the_packaged_judge_prefers_what_true_references_say():
    judge = load_truth_judge()
    true, false = judge.probability(["The Earth is round.", "The Earth is flat."], [TRUE] * 2, [FALSE] * 2)
    assert true > 0.5 > false
    assert judge.agreement["balanced accuracy"] >= 0.8
    assert judge.probability([], [], []).shape == (0,)


def test_a_fitted_judge_is_saved_and_read(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, len(FEATURES)))
    judge = fit_truth_judge(features, features[:, 0] > 0, {"accuracy": 0.9})
    assert np.mean((judge.probability_of(features) > 0.5) == (features[:, 0] > 0)) > 0.9
    judge.save(tmp_path / "judge.json")
    assert load_truth_judge(tmp_path / "judge.json") == judge


def test_a_judge_of_another_version_or_size_is_refused(tmp_path):
    path = tmp_path / "judge.json"
    path.write_text(json.dumps({"kind": "truth-judge", "format": 2}))
    with pytest.raises(InvalidInput, match="format 2; this version reads format 1"):
        load_truth_judge(path)
    path.write_text(json.dumps({"kind": "truth-judge", "format": 1, "center": [1], "scale": [1], "weights": [1]}))
    with pytest.raises(InvalidInput, match="damaged"):
        load_truth_judge(path)


def test_an_answer_without_references_is_refused():
    with pytest.raises(InvalidInput, match="at least one of each"):
        load_truth_judge().probability(["a"], [["b"]], [[]])
    with pytest.raises(InvalidInput, match="pass one of each"):
        load_truth_judge().probability(["a"], [["b"]], [])
