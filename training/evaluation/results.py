"""An evaluation's results, row by row, and the figures computed from them.

Not here: how they are come by (evaluate.py), and two evaluations side by side (comparison.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import Estimate

__all__ = ["ChoiceResult", "FactualityEvaluation", "Kernel", "Outcome", "QuestionResult", "TextResult", "read_evaluation"]

Outcome: TypeAlias = Literal["right", "wrong", "abstained"]
Kernel: TypeAlias = "Callable[[NDArray[np.float64]], float]"
"""From weights (N,) of rows to a figure; NaN where it is undefined."""

_FORMAT = 1


@dataclass(frozen=True)
class QuestionResult:
    """A question, its accepted answers (none: it cannot be answered) and what became of it.

    `confidence` is the length-normalised likelihood of the reply in [0, 1]; None for an abstention, and where the model
    reports no log-probabilities.
    """

    question: str
    answers: tuple[str, ...]
    reply: str
    outcome: Outcome
    confidence: float | None


@dataclass(frozen=True)
class TextResult:
    """How a text begins, the tokens scored of it, and minus the sum of their log-probabilities, in nats."""

    text: str
    tokens: int
    nats: float


@dataclass(frozen=True)
class ChoiceResult:
    """The mean log-probability per token of each completion, in nats, and which of them is the right one."""

    scores: tuple[float, ...]
    right: int

    @property
    def correct(self) -> bool:
        """Whether the right completion is likelier than every other."""
        return all(self.scores[self.right] > score for i, score in enumerate(self.scores) if i != self.right)


@dataclass(frozen=True)
class FactualityEvaluation:
    """A model's results, of which every figure is computed.

    Attributes:
        model: its name.
        questions: one result a question.
        texts: one a neutral text; empty if none was given.
        choices: one a multiple-choice item; empty if none was given.
        inputs: per part a fingerprint of its rows and of how they were put: what has equal ones can be compared.
    """

    model: str
    questions: tuple[QuestionResult, ...]
    texts: tuple[TextResult, ...] = ()
    choices: tuple[ChoiceResult, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> int:
        """Questions that came out so."""
        return sum(row.outcome == outcome for row in self.questions)

    @property
    def answered(self) -> tuple[QuestionResult, ...]:
        """The questions that were answered, rightly or wrongly."""
        return tuple(row for row in self.questions if row.outcome != "abstained")

    def metrics(self) -> dict[str, Estimate | None]:
        """Each figure with its 95 % interval; None where it is undefined.

        right, wrong, abstained: shares of the questions.  hallucination_rate: share of wrong among the answers given.
        coverage: share of the questions answered.  ece: calibration error of the confidence among the answers, 15 bins.
        perplexity: of the texts, per token.  choice_accuracy: share of the choices made rightly. Shares have Wilson
        intervals; ece and perplexity the bootstrap over rows.
        """
        from calibration.estimate import estimate

        found: dict[str, Estimate | None] = {}
        shares = self._shares()
        for name, (rows, kernel) in self.kernels().items():
            if name in shares:
                found[name] = _wilson(*shares[name])
            else:
                everything = np.ones(len(rows))
                found[name] = None if np.isnan(kernel(everything)) else estimate(kernel, everything, 0.95)
        return found

    def kernels(self) -> dict[str, tuple[Sequence[Any], Kernel]]:
        """Per figure the rows it is of, and how it follows from weights on them."""
        kernels: dict[str, tuple[Sequence[Any], Kernel]] = {
            name: (self.choices if name == "choice_accuracy" else self.questions, _ratio(*share))
            for name, share in self._shares().items()
        }
        kernels["ece"] = (self.questions, self._ece())
        tokens = np.array([row.tokens for row in self.texts], dtype=np.float64)
        nats = np.array([row.nats for row in self.texts], dtype=np.float64)
        mean = _ratio(nats, tokens)
        kernels["perplexity"] = (self.texts, lambda weights: float(np.exp(mean(weights))))
        return kernels

    def _shares(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Per share which rows count (N,), and among which (N,)."""
        outcomes = np.array([row.outcome for row in self.questions])
        right, wrong, abstained = ((outcomes == name).astype(float) for name in ("right", "wrong", "abstained"))
        everything, given = np.ones(len(outcomes)), 1 - abstained
        chosen = np.array([row.correct for row in self.choices], dtype=np.float64)
        return {
            "right": (right, everything),
            "wrong": (wrong, everything),
            "abstained": (abstained, everything),
            "hallucination_rate": (wrong, given),
            "coverage": (given, everything),
            "choice_accuracy": (chosen, np.ones(len(chosen))),
        }

    def _ece(self) -> Kernel:
        from calibration import expected_calibration_error

        known = np.array([row.confidence is not None for row in self.questions], dtype=bool)
        confidence = np.array([row.confidence for row in self.questions if row.confidence is not None])
        correct = np.array([row.outcome == "right" for row in self.questions])[known]

        def kernel(weights: NDArray[np.float64]) -> float:
            own = weights[known]
            return float(expected_calibration_error(confidence, correct, weights=own)) if own.any() else float("nan")

        return kernel

    def to_dict(self) -> dict[str, Any]:
        """Sizes, counts, figures and rows as plain values; `read_evaluation` reads them back from a file."""
        parts = ("questions", "texts", "choices")
        return {
            "format": _FORMAT,
            "model": self.model,
            "n": {part: len(getattr(self, part)) for part in parts},
            "counts": {outcome: self.count(outcome) for outcome in ("right", "wrong", "abstained")},
            "metrics": {name: value.to_dict() if value is not None else None for name, value in self.metrics().items()},
            "inputs": dict(self.inputs),
            "rows": {part: [asdict(row) for row in getattr(self, part)] for part in parts},
        }


def read_evaluation(path: str | Path) -> FactualityEvaluation:
    """The evaluation whose `to_dict` a file holds as JSON.

    Raises:
        InvalidInput: the file cannot be read or holds no evaluation.
    """
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    try:
        if held["format"] != _FORMAT:
            raise InvalidInput(f"{path} has format {held['format']}, not {_FORMAT}; evaluate again")
        rows = held["rows"]
        return FactualityEvaluation(
            held["model"],
            tuple(QuestionResult(**{**row, "answers": tuple(row["answers"])}) for row in rows["questions"]),
            tuple(TextResult(**row) for row in rows["texts"]),
            tuple(ChoiceResult(tuple(row["scores"]), row["right"]) for row in rows["choices"]),
            held["inputs"],
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} holds no evaluation; pass a file that 'halluc train evaluate --json' printed") from error


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> Kernel:
    def kernel(weights: NDArray[np.float64]) -> float:
        total = float(weights @ whole)
        return float(weights @ part) / total if total else float("nan")

    return kernel


def _wilson(part: NDArray[np.float64], whole: NDArray[np.float64]) -> Estimate | None:
    from scipy.stats import binomtest

    from calibration import Estimate

    count, total = int(part.sum()), int(whole.sum())
    if not total:
        return None
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high), 0.95)
