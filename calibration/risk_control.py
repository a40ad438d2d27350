"""Thresholds that control the mean of a graded loss, such as the share of false claims among those that are kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, as_array, check_confidence, check_number, check_pair
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.factuality import check_answers
from calibration.persistence import JsonEstimator

__all__ = ["ConformalRiskControl", "false_claim_shares"]


class ConformalRiskControl(JsonEstimator):
    """The lowest threshold whose expected loss is at most `risk` (Angelopoulos et al. 2022, arXiv 2208.02814).

    The expectation is over the calibration items and the new one together. A loss must not grow with the threshold; where
    one does, it is raised to the largest loss at this threshold or a higher one, as in the paper.

    Args:
        risk: above 0, below `largest_loss`.
        largest_loss: bound of the loss, above 0.

    Attributes:
        threshold_: infinity, with a NoThresholdWarning, if no threshold of the grid controls the risk.
        mean_loss_: of the calibration items at the threshold; NaN without one.
        count_: number of calibration items.
    """

    threshold_: float
    mean_loss_: float
    count_: int

    def __init__(self, risk: float = 0.1, *, largest_loss: float = 1.0) -> None:
        self.risk = risk
        self.largest_loss = largest_loss

    def fit(self, losses: ArrayLike, thresholds: ArrayLike) -> Self:
        """Choose the threshold on calibration items.

        Args:
            losses: (N, T) loss of each item at each threshold, in [0, largest_loss].
            thresholds: (T,) ascending.

        Returns:
            This rule.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        check_number(self.largest_loss, "largest_loss", least=0)
        if check_number(self.risk, "risk", least=0, most=self.largest_loss) in (0, self.largest_loss):
            raise InvalidInput(f"risk is {self.risk!r}; pass a number strictly between 0 and {self.largest_loss:g}")
        grid = as_array(thresholds, "thresholds", dtype=float)
        table = as_array(losses, "losses", dtype=float)
        if grid.ndim != 1 or grid.size == 0 or not (np.diff(grid) > 0).all():
            raise InvalidInput(f"thresholds has shape {grid.shape}; pass numbers in ascending order, without repetition")
        if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] != grid.size:
            raise InvalidInput(f"losses has shape {table.shape}; pass one row per item and {grid.size} columns")
        if not ((table >= 0) & (table <= self.largest_loss)).all():
            extremes = f"from {table.min()} to {table.max()}"
            raise InvalidInput(f"losses go {extremes}; pass numbers from 0 to {self.largest_loss:g}")
        falling = np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
        self.count_ = int(table.shape[0])
        bound = (falling.sum(axis=0) + self.largest_loss) / (self.count_ + 1)
        allowed = np.flatnonzero(bound <= self.risk * (1 + 1e-12))
        if allowed.size:
            self.threshold_ = float(grid[allowed[0]])
            self.mean_loss_ = float(falling[:, allowed[0]].mean())
            return self
        self.threshold_, self.mean_loss_ = math.inf, math.nan
        least = math.ceil(self.largest_loss / self.risk - 1e-9) - 1
        warnings.warn(
            f"no threshold controls a risk of {self.risk:g} on {self.count_} items; use at least {least} items and higher "
            "thresholds",
            NoThresholdWarning,
            stacklevel=2,
        )
        return self

    @property
    def threshold(self) -> float:
        """Apply it to new items; infinity if none controls the risk."""
        self.check_fitted()
        return self.threshold_


def false_claim_shares(support: Sequence[ArrayLike], correct: Sequence[ArrayLike], thresholds: ArrayLike) -> Float64Array:
    """Losses (N, T) for `ConformalRiskControl`: the share of false claims among those with support above each threshold.

    An answer of which no claim is kept has no loss.

    Args:
        support: for each of N answers (C_i,), the support of its claims in [0, 1]; an answer may have no claims.
        correct: for each answer (C_i,), which of them are true.
        thresholds: (T,) in [0, 1].

    Raises:
        InvalidInput: an array is unusable, or the lengths differ.
    """
    grid = check_confidence(thresholds, name="thresholds").astype(np.float64)
    check_answers(support, correct)
    shares = np.zeros((len(support), grid.size))
    for row, (values, truth) in enumerate(zip(support, correct, strict=True)):
        if np.size(as_array(values, "support")) == 0:
            continue
        probabilities, true = check_pair(values, truth)
        kept = probabilities[:, None] > grid
        shares[row] = (kept & ~true[:, None]).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    return shares
