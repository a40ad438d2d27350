"""Every error and warning calibration raises on purpose.

CalibrationFailure
├── InvalidInput       an array or an argument cannot be used: which one, its value, and what to pass in its place
├── NotFitted          a recalibrator or an abstention rule was asked before it saw data
└── UnreadableFile     a saved recalibrator or rule cannot be read back

NoThresholdWarning     an abstention rule found no threshold that keeps its promise, and will abstain always
"""

__all__ = ["CalibrationFailure", "InvalidInput", "NoThresholdWarning", "NotFitted", "UnreadableFile"]


class CalibrationFailure(Exception):
    """Root of calibration's errors; its message is one sentence fit to be shown to a user."""


class InvalidInput(CalibrationFailure, ValueError):
    """An array or an argument is unusable."""


class NotFitted(CalibrationFailure, RuntimeError):
    """`fit` has not been called."""


class UnreadableFile(CalibrationFailure, ValueError):
    """A file does not hold what `save` writes."""


class NoThresholdWarning(UserWarning):
    """No threshold can promise the risk that was asked for."""
