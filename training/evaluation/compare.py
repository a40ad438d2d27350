"""Two evaluations of the same rows side by side, such as before and after training, with paired differences.

Not here: the evaluations (evaluate.py) and the page (evaluation_page.py).
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

__all__ = ["Comparison", "Difference", "compare", "comparison_table", "evaluation_table", "shown"]

# Which way is better; None where it depends on what was wanted.
_BETTER: dict[str, bool | None] = {
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
    """A figure before and after.

    Attributes:
        name: of the figure (`FactualityEvaluation.metrics`).
        before, after: None where it is undefined.
        difference: after less before, with the 95 % interval of the paired bootstrap over rows; None where one is undefined.
        p_value: exact McNemar test that rows change as often one way as the other; for right, wrong, abstained and
            choice_accuracy, where both evaluations judge each row.
        improved: whether the interval lies wholly on the better side of 0, or (False) wholly on the worse; None otherwise,
            and where neither side is better by itself (abstained, coverage).
    """

    name: str
    before: Estimate | None
    after: Estimate | None
    difference: Estimate | None
    p_value: float | None
    improved: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = {"before": self.before, "after": self.after, "difference": self.difference}
        estimates = {name: value.to_dict() if value is not None else None for name, value in found.items()}
        return {"name": self.name, **estimates, "p_value": self.p_value, "improved": self.improved}


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same rows, and how their figures differ."""

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
    """The figures of both and their paired differences.

    Raises:
        InvalidInput: the evaluations are of other rows, or put them in another way.
    """
    for part in ("questions", "texts", "choices"):
        if before.inputs.get(part) != after.inputs.get(part):
            raise InvalidInput(
                f"the two evaluations have other {part}, or put them in another way; evaluate both models on the same files"
            )
    figures = zip(before.metrics().items(), after.metrics().values(), strict=True)
    kernels = zip(before.kernels().values(), after.kernels().values(), strict=True)
    found = {}
    for ((name, old), new), ((rows, one), (_, other)) in zip(figures, kernels, strict=True):
        difference = _difference(one, other, len(rows)) if old is not None and new is not None else None
        found[name] = Difference(
            name, old, new, difference, _mcnemar(name, before, after), _improved(_BETTER[name], difference)
        )
    return Comparison(before, after, tuple(found[name] for name in _BETTER))


def _difference(before: Kernel, after: Kernel, rows: int) -> Estimate:
    from calibration.estimate import estimate

    # One draw of rows for both: what makes a row easy for both models cancels.
    return estimate(lambda weights: after(weights) - before(weights), np.ones(rows), 0.95)


def _mcnemar(name: str, before: FactualityEvaluation, after: FactualityEvaluation) -> float | None:
    from scipy.stats import binomtest

    one, other = _yes(name, before), _yes(name, after)
    if one is None or other is None or not one.size:
        return None
    gained, lost = int((other & ~one).sum()), int((one & ~other).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _yes(name: str, evaluation: FactualityEvaluation) -> NDArray[np.bool_] | None:
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


def comparison_table(made: Comparison) -> Table:
    """The figures side by side for a terminal; what was not measured is left out."""
    from rich.table import Table

    table = Table("", "before", "after", "difference", "p")
    styles = {True: "green", False: "red", None: None}
    for row in made.differences:
        if row.before is None and row.after is None:
            continue
        cells = [shown(row.name, value) for value in (row.before, row.after)]
        change = shown(row.name, row.difference, signed=True)
        p = "" if row.p_value is None else f"{row.p_value:.2g}"
        table.add_row(row.name.replace("_", " "), *cells, change, p,
                      style=styles[row.improved])  # fmt: skip
    return table


def evaluation_table(made: FactualityEvaluation) -> Table:
    """The figures of one evaluation for a terminal."""
    from rich.table import Table

    table = Table("", made.model)
    for name, value in made.metrics().items():
        if value is not None:
            table.add_row(name.replace("_", " "), shown(name, value))
    return table


def shown(name: str, value: Estimate | None, *, signed: bool = False) -> str:
    """A figure with its interval: shares in per cent, ece and perplexity as numbers."""
    if value is None:
        return "–"
    form = {"ece": ".3f", "perplexity": ".2f"}.get(name, ".1%")
    sign = "+" if signed else ""
    low, high = value.low or 0.0, value.high or 0.0
    return f"{float(value):{sign}{form}} [{low:{sign}{form}}, {high:{sign}{form}}]"
