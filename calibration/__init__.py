"""Calibration of confidence: errors, recalibration and abstention with a guarantee, on arrays alone.

    from calibration import expected_calibration_error, TemperatureScaling, ConformalAbstention

Names are loaded when first used; scipy and scikit-learn only by what needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

# For type checkers, which do not look behind __getattr__; "as" says that the name is public.
if TYPE_CHECKING:
    from calibration.abstention import ConformalAbstention as ConformalAbstention
    from calibration.abstention import default_thresholds as default_thresholds
    from calibration.bounds import binomial_interval as binomial_interval
    from calibration.bounds import binomial_p_value as binomial_p_value
    from calibration.bounds import hoeffding_bentkus_p_value as hoeffding_bentkus_p_value
    from calibration.calibration_error import ReliabilityCurve as ReliabilityCurve
    from calibration.calibration_error import adaptive_calibration_error as adaptive_calibration_error
    from calibration.calibration_error import debiased_calibration_error as debiased_calibration_error
    from calibration.calibration_error import expected_calibration_error as expected_calibration_error
    from calibration.calibration_error import maximum_calibration_error as maximum_calibration_error
    from calibration.calibration_error import reliability_curve as reliability_curve
    from calibration.calibration_error import sweep_calibration_error as sweep_calibration_error
    from calibration.calibrator import Calibrator as Calibrator
    from calibration.calibrator import split_rows as split_rows
    from calibration.claims import ConformalFactuality as ConformalFactuality
    from calibration.errors import CalibrationFailure as CalibrationFailure
    from calibration.errors import InvalidInput as InvalidInput
    from calibration.errors import NotFitted as NotFitted
    from calibration.errors import NoThresholdWarning as NoThresholdWarning
    from calibration.errors import UnreadableFile as UnreadableFile
    from calibration.estimate import Bootstrap as Bootstrap
    from calibration.estimate import Estimate as Estimate
    from calibration.multiclass import adaptive_calibration_error_by_class as adaptive_calibration_error_by_class
    from calibration.multiclass import class_wise_calibration_error as class_wise_calibration_error
    from calibration.multiclass import confidence_of_top_label as confidence_of_top_label
    from calibration.multiclass import multiclass_brier_score as multiclass_brier_score
    from calibration.multiclass import multiclass_negative_log_likelihood as multiclass_negative_log_likelihood
    from calibration.multiclass import top_label_calibration_error as top_label_calibration_error
    from calibration.persistence import load as load
    from calibration.recalibrators import BayesianBinning as BayesianBinning
    from calibration.recalibrators import BetaCalibration as BetaCalibration
    from calibration.recalibrators import DirichletCalibration as DirichletCalibration
    from calibration.recalibrators import GroupedRecalibrator as GroupedRecalibrator
    from calibration.recalibrators import HistogramBinning as HistogramBinning
    from calibration.recalibrators import Identity as Identity
    from calibration.recalibrators import IsotonicCalibration as IsotonicCalibration
    from calibration.recalibrators import MatrixScaling as MatrixScaling
    from calibration.recalibrators import MulticlassRecalibrator as MulticlassRecalibrator
    from calibration.recalibrators import MulticlassTemperatureScaling as MulticlassTemperatureScaling
    from calibration.recalibrators import PlattScaling as PlattScaling
    from calibration.recalibrators import Recalibrator as Recalibrator
    from calibration.recalibrators import ScalingBinning as ScalingBinning
    from calibration.recalibrators import SplineCalibration as SplineCalibration
    from calibration.recalibrators import TemperatureScaling as TemperatureScaling
    from calibration.recalibrators import VectorScaling as VectorScaling
    from calibration.recalibrators import VennAbers as VennAbers
    from calibration.report.page import render_report as render_report
    from calibration.report.page import write_report as write_report
    from calibration.report.plots import reliability_diagram as reliability_diagram
    from calibration.report.plots import risk_coverage_diagram as risk_coverage_diagram
    from calibration.report.report import CalibrationReport as CalibrationReport
    from calibration.report.report import GroupMetrics as GroupMetrics
    from calibration.report.report import Metrics as Metrics
    from calibration.report.report import Operation as Operation
    from calibration.report.report import calibration_report as calibration_report
    from calibration.report.report import measure as measure
    from calibration.scores import BrierDecomposition as BrierDecomposition
    from calibration.scores import SpiegelhalterTest as SpiegelhalterTest
    from calibration.scores import auprc as auprc
    from calibration.scores import auroc as auroc
    from calibration.scores import brier_decomposition as brier_decomposition
    from calibration.scores import brier_score as brier_score
    from calibration.scores import negative_log_likelihood as negative_log_likelihood
    from calibration.scores import spiegelhalter_test as spiegelhalter_test
    from calibration.selection import RECALIBRATORS as RECALIBRATORS
    from calibration.selection import Selection as Selection
    from calibration.selection import make_recalibrator as make_recalibrator
    from calibration.selection import select_recalibrator as select_recalibrator
    from calibration.selective import OperatingPoint as OperatingPoint
    from calibration.selective import RiskCoverageCurve as RiskCoverageCurve
    from calibration.selective import accuracy_at_coverage as accuracy_at_coverage
    from calibration.selective import augrc as augrc
    from calibration.selective import aurc as aurc
    from calibration.selective import coverage_at_risk as coverage_at_risk
    from calibration.selective import excess_aurc as excess_aurc
    from calibration.selective import operating_point as operating_point
    from calibration.selective import prediction_rejection_ratio as prediction_rejection_ratio
    from calibration.selective import risk_coverage_curve as risk_coverage_curve
    from calibration.streaming import BinnedAccumulator as BinnedAccumulator
    from calibration.streaming import BinnedSummary as BinnedSummary
    from calibration.streaming import TableAccumulator as TableAccumulator
    from calibration.unbinned import kolmogorov_smirnov_error as kolmogorov_smirnov_error
    from calibration.unbinned import smooth_calibration_error as smooth_calibration_error

# Where each public name lives. A new metric or recalibrator is one new file and one line here.
_HOMES = {
    "abstention": ("ConformalAbstention", "default_thresholds"),
    "bounds": ("binomial_interval", "binomial_p_value", "hoeffding_bentkus_p_value"),
    "calibration_error": (
        "ReliabilityCurve",
        "adaptive_calibration_error",
        "debiased_calibration_error",
        "expected_calibration_error",
        "maximum_calibration_error",
        "reliability_curve",
        "sweep_calibration_error",
    ),
    "calibrator": ("Calibrator", "split_rows"),
    "claims": ("ConformalFactuality",),
    "errors": ("CalibrationFailure", "InvalidInput", "NoThresholdWarning", "NotFitted", "UnreadableFile"),
    "estimate": ("Bootstrap", "Estimate"),
    "multiclass": (
        "adaptive_calibration_error_by_class",
        "class_wise_calibration_error",
        "confidence_of_top_label",
        "multiclass_brier_score",
        "multiclass_negative_log_likelihood",
        "top_label_calibration_error",
    ),
    "report.page": ("render_report", "write_report"),
    "persistence": ("load",),
    "report.plots": ("reliability_diagram", "risk_coverage_diagram"),
    "recalibrators": (
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
    ),
    "report.report": ("CalibrationReport", "GroupMetrics", "Metrics", "Operation", "calibration_report", "measure"),
    "scores": (
        "BrierDecomposition",
        "SpiegelhalterTest",
        "auprc",
        "auroc",
        "brier_decomposition",
        "brier_score",
        "negative_log_likelihood",
        "spiegelhalter_test",
    ),
    "selection": ("RECALIBRATORS", "Selection", "make_recalibrator", "select_recalibrator"),
    "selective": (
        "OperatingPoint",
        "RiskCoverageCurve",
        "accuracy_at_coverage",
        "augrc",
        "aurc",
        "coverage_at_risk",
        "excess_aurc",
        "operating_point",
        "prediction_rejection_ratio",
        "risk_coverage_curve",
    ),
    "streaming": ("BinnedAccumulator", "BinnedSummary", "TableAccumulator"),
    "unbinned": ("kolmogorov_smirnov_error", "smooth_calibration_error"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'calibration' has no attribute {name!r}")
    value = getattr(import_module(f"calibration.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
