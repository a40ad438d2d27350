"""Calibration of confidence: errors, recalibration and abstention with a guarantee, on arrays alone.

    from calibration import expected_calibration_error, TemperatureScaling, ConformalAbstention

Names are loaded when first used; scipy and scikit-learn only by what needs them.
"""

from importlib import import_module

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
    "page": ("render_report", "write_report"),
    "persistence": ("load",),
    "plots": ("reliability_diagram", "risk_coverage_diagram"),
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
    "report": ("CalibrationReport", "GroupMetrics", "Metrics", "Operation", "calibration_report", "measure"),
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
