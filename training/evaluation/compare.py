"""Compare two evaluations of the same rows, such as before and after training, by paired differences.

Not covered: the evaluations (evaluate.py) and their page (page.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput
from training.evaluation.results import FactualityEvaluation, Kernel, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

    from calibration import Estimate

__all__ = ["Comparison", "Difference", "compare", "comparison_table", "evaluation_table", "formatted"]

# Whether higher is better; None if it depends on the purpose.
_HIGHER_IS_BETTER: dict[str, bool | None] = {
    "right": True,
    "wrong": False,
    "abstained": None,
    "hallucination_rate": False,
    "coverage": None,
    "ece": False,
    "perplexity": False,
    "choice_accuracy": True,
}


@dataclass(frozen=True)
class Difference:
    """A metric before and after.

    Attributes:
        name: of the metric (`FactualityEvaluation.metrics`).
        before, after: its values; None if undefined.
        difference: after minus before, with the 95 % interval of the paired bootstrap over rows; None if one is undefined.
        p_value: exact McNemar test that rows change equally often in both directions; only for right, wrong, abstained and
            choice_accuracy, which have an outcome per row.
        improved: True if the whole interval is on the better side of 0, False if it is on the worse side; None otherwise,
            and if neither direction is better in itself (abstained, coverage).
    """

    name: str
    before: Estimate | None
    after: Estimate | None
    difference: Estimate | None
    p_value: float | None
    improved: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {"before": self.before, "after": self.after, "difference": self.difference}
        estimates = {name: value.to_dict() if value is not None else None for name, value in values.items()}
        return {"name": self.name, **estimates, "p_value": self.p_value, "improved": self.improved}


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same rows, and the differences of their metrics."""

    before: FactualityEvaluation
    after: FactualityEvaluation
    differences: tuple[Difference, ...]

    def summary(self) -> list[dict[str, Any]]:
        """The differences as plain values, without the rows."""
        return [difference.to_dict() for difference in self.differences]

    def to_dict(self) -> dict[str, Any]:
        """Both evaluations with their rows, and the differences, as plain values."""
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "differences": self.summary()}


def compare(before: FactualityEvaluation, after: FactualityEvaluation) -> Comparison:
    """Compare two evaluations by the paired differences of their metrics.

    Raises:
        InvalidInput: the evaluations are of different rows, or used different prompts.
    """
    for part in ("questions", "texts", "choices"):
        if before.inputs.get(part) != after.inputs.get(part):
            raise InvalidInput(
                f"the two evaluations have different {part} or prompts; evaluate both models on the same files"
            )
    metrics = zip(before.metrics().items(), after.metrics().values(), strict=True)
    kernels = zip(before.kernels().values(), after.kernels().values(), strict=True)
    differences = {}
    for ((name, old), new), ((rows, old_kernel), (_, new_kernel)) in zip(metrics, kernels, strict=True):
        difference = _difference(old_kernel, new_kernel, len(rows)) if old is not None and new is not None else None
        differences[name] = Difference(
            name, old, new, difference, _mcnemar(name, before, after), _improved(_HIGHER_IS_BETTER[name], difference)
        )
    return Comparison(before, after, tuple(differences[name] for name in _HIGHER_IS_BETTER))


def _difference(before: Kernel, after: Kernel, rows: int) -> Estimate:
    from calibration.estimate import estimate

    # Both are resampled with the same rows, so that the difficulty of a row cancels.
    return estimate(lambda weights: after(weights) - before(weights), np.ones(rows), 0.95)


def _mcnemar(name: str, before: FactualityEvaluation, after: FactualityEvaluation) -> float | None:
    from scipy.stats import binomtest

    old, new = _indicators(name, before), _indicators(name, after)
    if old is None or new is None or not old.size:
        return None
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _indicators(name: str, evaluation: FactualityEvaluation) -> NDArray[np.bool_] | None:
    outcomes: tuple[Outcome, ...] = ("right", "wrong", "abstained")
    if name in outcomes:
        return np.array([row.outcome == name for row in evaluation.questions], dtype=bool)
    return np.array([row.correct for row in evaluation.choices], dtype=bool) if name == "choice_accuracy" else None


def _improved(higher: bool | None, difference: Estimate | None) -> bool | None:
    if higher is None or difference is None or difference.low is None or difference.high is None:
        return None
    if difference.low > 0:
        return higher
    return not higher if difference.high < 0 else None


def comparison_table(comparison: Comparison) -> Table:
    """The metrics side by side, for a terminal; those that were not measured are left out."""
    from rich.table import Table

    table = Table("", "before", "after", "difference", "p")
    styles = {True: "green", False: "red", None: None}
    for row in comparison.differences:
        if row.before is None and row.after is None:
            continue
        cells = [formatted(row.name, value) for value in (row.before, row.after)]
        change = formatted(row.name, row.difference, signed=True)
        p = "" if row.p_value is None else f"{row.p_value:.2g}"
        table.add_row(row.name.replace("_", " "), *cells, change, p, style=styles[row.improved])
    return table


def evaluation_table(evaluation: FactualityEvaluation) -> Table:
    """The metrics of one evaluation, for a terminal."""
    from rich.table import Table

    table = Table("", evaluation.model)
    for name, value in evaluation.metrics().items():
        if value is not None:
            table.add_row(name.replace("_", " "), formatted(name, value))
    return table


def formatted(name: str, value: Estimate | None, *, signed: bool = False) -> str:
    """A metric with its interval: shares as percentages, ece and perplexity as numbers."""
    if value is None:
        return "–"
    spec = {"ece": ".3f", "perplexity": ".2f"}.get(name, ".1%")
    sign = "+" if signed else ""
    low, high = value.low or 0.0, value.high or 0.0
    return f"{float(value):{sign}{spec}} [{low:{sign}{spec}}, {high:{sign}{spec}}]"
