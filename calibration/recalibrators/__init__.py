"""Recalibrators: scikit-learn estimators from confidence to calibrated confidence, one family a file."""

from calibration.recalibrators.binned import BayesianBinning, HistogramBinning, ScalingBinning
from calibration.recalibrators.grouped import GroupedRecalibrator
from calibration.recalibrators.isotonic import IsotonicCalibration
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.recalibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling

__all__ = [
    "BayesianBinning",
    "BetaCalibration",
    "GroupedRecalibrator",
    "HistogramBinning",
    "IsotonicCalibration",
    "PlattScaling",
    "Recalibrator",
    "ScalingBinning",
    "TemperatureScaling",
]
