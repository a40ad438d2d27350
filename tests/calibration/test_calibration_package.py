"""The package itself: its names and what importing it loads."""

import subprocess
import sys

import pytest

import calibration


def test_every_public_name_loads_and_has_a_docstring():
    assert len(dir(calibration)) > 80
    for name in dir(calibration):
        assert getattr(calibration, name).__doc__, name
    assert "nonsense" not in dir(calibration)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = calibration.nonsense


def test_importing_loads_nothing_heavy_and_metrics_need_numpy_alone():
    code = """
import sys, calibration
assert not {"numpy", "scipy", "sklearn", "torch"} & set(sys.modules), "import calibration"
calibration.expected_calibration_error([0.5], [True])
calibration.auroc([0.5, 0.6], [True, False], interval=0.9)
assert not {"scipy", "sklearn", "torch"} & set(sys.modules), "metrics"
calibration.ConformalAbstention, calibration.TemperatureScaling
assert not {"torch", "transformers", "matplotlib"} & set(sys.modules), "everything"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
