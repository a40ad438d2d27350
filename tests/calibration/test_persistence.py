"""Estimators in files: what is saved reads back, and everything else is refused."""

import json

import numpy as np
import pytest
from scipy.special import expit

import calibration
from calibration import (
    BayesianBinning,
    Calibrator,
    ConformalAbstention,
    GroupedRecalibrator,
    HistogramBinning,
    InvalidInput,
    PlattScaling,
    TemperatureScaling,
    UnreadableFile,
    VectorScaling,
)


def overconfident(n, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0.5, 1, n)
    return expit(2.5 * score), rng.random(n) < expit(score)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not JSON"),
        ("[]", "have no class"),
        ('{"format": 9, "class": "PlattScaling", "parameters": {}, "learned": {}}', "have format 9"),
        ('{"format": 1, "class": "os.system", "parameters": {}, "learned": {}}', "class 'os.system' is unknown"),
        ('{"format": 1, "class": "PlattScaling", "parameters": {"x": 1}, "learned": {}}', "parameters do not fit"),
        (
            '{"format": 1, "class": "PlattScaling", "parameters": {}, "learned": {"fit": 1}}',
            "has learned slope_, intercept_, but",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(text, message, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UnreadableFile, match=message):
        calibration.load(path)


def save_fitted(name, path):
    confidence, correct = overconfident(60)
    kinds = {
        "platt": lambda: PlattScaling().fit(confidence, correct),
        "histogram": lambda: HistogramBinning(n_bins=3).fit(confidence, correct),
        "bayesian": lambda: BayesianBinning().fit(confidence, correct),
        "grouped": lambda: GroupedRecalibrator().fit(confidence, correct, np.arange(60) % 2),
        "rule": lambda: ConformalAbstention(0.9).fit(confidence, correct),
        "calibrator": lambda: Calibrator(0.9, recalibrator="platt").fit(confidence, correct),
        "vector": lambda: VectorScaling().fit([[0.5, 0.5], [0.2, 0.8]], [0, 1]),
    }
    kinds[name]().save(path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("kind", "keys", "damage"),
    [
        ("platt", ["learned"], None),
        ("platt", ["learned"], []),
        ("platt", ["learned"], {}),
        ("platt", ["parameters"], []),
        ("platt", ["class"], ["PlattScaling"]),
        ("platt", ["class"], "load"),
        ("platt", ["format"], "1"),
        ("platt", ["learned", "slope_"], "abc"),
        ("platt", ["learned", "slope_"], None),
        ("platt", ["learned", "slope_"], True),
        ("platt", ["learned", "slope_"], {"float": "abc"}),
        ("platt", ["learned", "slope_"], {"float": "nan"}),
        ("platt", ["learned", "slope_"], {"float": []}),
        ("platt", ["learned", "slope_"], {"map": 1}),
        ("platt", ["learned", "slope_"], {"estimator": "x"}),
        ("platt", ["learned", "slope_"], {"unknown": 1}),
        ("platt", ["learned", "extra_"], 1.0),
        ("histogram", ["learned", "edges_"], {"array": [[0.0], [0.0, 1.0]]}),
        ("histogram", ["learned", "edges_"], {"array": ["a"]}),
        ("histogram", ["learned", "edges_"], {"array": [10**400]}),
        ("histogram", ["learned", "edges_"], {"array": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0]}),
        ("histogram", ["learned", "value_"], [0.5, 0.5, 0.5]),
        ("histogram", ["parameters", "n_bins"], "abc"),
        ("histogram", ["parameters", "strategy"], "quantile"),
        ("bayesian", ["learned", "score_"], {"array": [1.0]}),
        ("bayesian", ["learned", "edges_"], {"array": [1.0]}),
        ("grouped", ["learned", "pooled_"], 1.0),
        ("grouped", ["learned", "share_"], {"map": [[5, 0.5]]}),
        ("grouped", ["learned", "groups_"], {"map": [[0, 0.5], [1, 0.5]]}),
        ("grouped", ["parameters", "shrinkage"], "abc"),
        ("rule", ["learned", "threshold_"], "abc"),
        ("rule", ["learned", "count_"], 0.5),
        ("calibrator", ["learned", "rule_"], None),
        ("calibrator", ["learned", "recalibrator_"], {"estimator": {"format": 1, "class": "PlattScaling"}}),
        ("calibrator", ["learned", "scores_"], {"map": [[1, "a"]]}),
        ("calibrator", ["parameters", "risk"], "abc"),
        ("vector", ["learned", "weight_"], {"array": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}),
    ],
)
def test_a_damaged_file_is_refused_as_unreadable(kind, keys, damage, tmp_path):
    path = tmp_path / "saved.json"
    data = save_fitted(kind, path)
    calibration.load(path)
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = damage
    path.write_text(json.dumps(data))
    with pytest.raises(UnreadableFile, match=r"saved\.json cannot be used: "):
        calibration.load(path)


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"1" * 5000, b"", b'{"format": 1'])
def test_a_file_that_is_no_json_is_refused_as_unreadable(content, tmp_path):
    (tmp_path / "saved.json").write_bytes(content)
    with pytest.raises(UnreadableFile, match="is not JSON"):
        calibration.load(tmp_path / "saved.json")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    fitted = PlattScaling().fit([0.2, 0.8], [0, 1])
    with pytest.raises(InvalidInput, match=r"x\.json cannot be written: No such file or directory; name another file"):
        fitted.save(tmp_path / "missing" / "x.json")
    with pytest.raises(InvalidInput, match="cannot be written"):
        fitted.save(tmp_path)


def test_a_file_of_another_class_is_refused(tmp_path):
    PlattScaling().fit([0.2, 0.8], [0, 1]).save(tmp_path / "platt.json")
    with pytest.raises(UnreadableFile, match="is a PlattScaling, not a TemperatureScaling"):
        TemperatureScaling.load(tmp_path / "platt.json")
    json.loads((tmp_path / "platt.json").read_text())
