"""Numbers, amounts, dates and times in texts.

`normalize_quantities` writes them in one way; `quantity_conflicts` finds those of a claim that its evidence does not state.

Not covered: arithmetic in worked solutions (`halluc.reasoning`).
"""

from halluc.quantities.conflict import QuantityConflict, quantity_conflicts
from halluc.quantities.find import Quantity, find_quantities
from halluc.quantities.normalize import normalize_quantities

__all__ = ["Quantity", "QuantityConflict", "find_quantities", "normalize_quantities", "quantity_conflicts"]
