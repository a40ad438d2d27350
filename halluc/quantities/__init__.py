"""Numbers, amounts, dates and times in texts: one way of writing them (`normalize_quantities`).

Not covered: arithmetic in worked solutions (`halluc.reasoning`).
"""

from halluc.quantities.find import Quantity, find_quantities
from halluc.quantities.normalize import normalize_quantities

__all__ = ["Quantity", "find_quantities", "normalize_quantities"]
