"""Recalibrators: scikit-learn estimators from confidence to calibrated confidence, one family a file."""

from calibration.recalibrators.binned import BayesianBinning, HistogramBinning, ScalingBinning
from calibration.recalibrators.grouped import GroupedRecalibrator
from calibration.recalibrators.identity import Identity
from calibration.recalibrators.isotonic import IsotonicCalibration
from calibration.recalibrators.multiclass import (
    DirichletCalibration,
    MatrixScaling,
    MulticlassRecalibrator,
    MulticlassTemperatureScaling,
    VectorScaling,
)
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.recalibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling
from calibration.recalibrators.spline import SplineCalibration
from calibration.recalibrators.venn_abers import VennAbers

__all__ = [
    "BayesianBinning",
    "BetaCalibration",
    "DirichletCalibration",
    "GroupedRecalibrator",
    "HistogramBinning",
    "Identity",
    "IsotonicCalibration",
    "MatrixScaling",
    "MulticlassRecalibrator",
    "MulticlassTemperatureScaling",
    "PlattScaling",
    "Recalibrator",
    "ScalingBinning",
    "SplineCalibration",
    "TemperatureScaling",
    "VectorScaling",
    "VennAbers",
]
