"""Calibration of confidence: errors, recalibration and abstention with a guarantee, on arrays alone.

    from calibration import expected_calibration_error, TemperatureScaling, ConformalAbstention

The public names are listed once, in `__init__.pyi`, and are loaded on first use: `import calibration` does not load numpy,
and scipy and scikit-learn are loaded by what needs them.
"""

from __future__ import annotations

import lazy_loader

__distribution__ = "halluc"  # checked when halluc is imported, since the name of this package is a common one
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
