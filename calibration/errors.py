"""Every error and warning that calibration raises on purpose.

CalibrationError
├── InvalidInput       an array, an argument or an output path cannot be used: which one, its value, and what to pass instead
├── MissingExtra       a library of an extra is not installed: which extra to install
├── NotFitted          a recalibrator or an abstention rule was used before `fit`; in persistence.py, since it is also
│                      scikit-learn's error, which the metrics do not load
└── UnreadableFile     a saved recalibrator or rule cannot be read back

FewItemsWarning        a recalibrator has more numbers to learn than items
NoThresholdWarning     an abstention rule found no threshold that meets its guarantee, and will always abstain
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "CalibrationError",
    "FewItemsWarning",
    "InvalidInput",
    "MissingExtra",
    "NoThresholdWarning",
    "UnreadableFile",
    "needs_extra",
]


class CalibrationError(Exception):
    """Root of calibration's errors; its message is one sentence to show to a user."""


class InvalidInput(CalibrationError, ValueError):
    """An array, an argument or an output path is unusable."""


class MissingExtra(CalibrationError, ImportError):
    """A library that comes with an extra of halluc is not installed."""


class UnreadableFile(CalibrationError, ValueError):
    """A file does not hold what `save` writes."""


class FewItemsWarning(UserWarning):
    """There are more numbers to learn than items."""


class NoThresholdWarning(UserWarning):
    """No threshold guarantees the requested risk."""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Run imports of libraries that come with an extra of halluc.

    Args:
        extra: the name of the extra ("plots").

    Raises:
        MissingExtra: one of the libraries is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("halluc", "retrieval", "calibration", "training"):
            raise
        raise MissingExtra(f"{library} is not installed; install it with pip install 'halluc[{extra}]'") from error
