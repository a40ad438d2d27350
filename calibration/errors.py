"""Every error and warning that calibration raises on purpose.

CalibrationError
├── InvalidInput       an array, an argument or an output path cannot be used: which one, its value, and what to pass instead
├── NotFitted          a recalibrator or an abstention rule was used before `fit`; in persistence.py, since it is also
│                      scikit-learn's error, which the metrics do not load
└── UnreadableFile     a saved recalibrator or rule cannot be read back

FewItemsWarning        a recalibrator has more numbers to learn than items
NoThresholdWarning     an abstention rule found no threshold that meets its guarantee, and will always abstain
"""

from __future__ import annotations

__all__ = ["CalibrationError", "FewItemsWarning", "InvalidInput", "NoThresholdWarning", "UnreadableFile"]


class CalibrationError(Exception):
    """Root of calibration's errors; its message is one sentence to show to a user."""


class InvalidInput(CalibrationError, ValueError):
    """An array, an argument or an output path is unusable."""


class UnreadableFile(CalibrationError, ValueError):
    """A file does not hold what `save` writes."""


class FewItemsWarning(UserWarning):
    """There are more numbers to learn than items."""


class NoThresholdWarning(UserWarning):
    """No threshold guarantees the requested risk."""
