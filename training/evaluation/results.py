"""Results of an evaluation, row by row, and the metrics computed from them.

Not covered: how they are measured (evaluate.py), and two evaluations side by side (compare.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from halluc.errors import InvalidInput
from halluc.files import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import Estimate

__all__ = ["ChoiceResult", "FactualityEvaluation", "Kernel", "Outcome", "QuestionResult", "TextResult", "read_evaluation"]

Outcome: TypeAlias = Literal["right", "wrong", "abstained"]
Kernel: TypeAlias = "Callable[[NDArray[np.float64]], float]"
"""From weights (N,) of the rows to a metric; NaN if it is undefined."""

_KIND, _FORMAT = "factuality evaluation", 1


@dataclass(frozen=True)
class QuestionResult:
    """A question and the reply to it.

    Attributes:
        question: the question as text.
        references: its accepted answers; empty if it cannot be answered.
        reply: what the model said.
        outcome: "right", "wrong" or "abstained".
        confidence: length-normalized likelihood of the reply in [0, 1]; None for an abstention, and if the model reports no
            log-probabilities.
    """

    question: str
    references: tuple[str, ...]
    reply: str
    outcome: Outcome
    confidence: float | None


@dataclass(frozen=True)
class TextResult:
    """The likelihood of a text.

    Attributes:
        text: how it begins.
        tokens: number of tokens scored.
        nats: minus the sum of their log-probabilities.
    """

    text: str
    tokens: int
    nats: float


@dataclass(frozen=True)
class ChoiceResult:
    """The likelihoods of the completions of a multiple-choice item.

    Attributes:
        scores: mean log-probability per token of each completion, in nats.
        right: index of the right completion.
    """

    scores: tuple[float, ...]
    right: int

    @property
    def correct(self) -> bool:
        """Whether the right completion is likelier than every other."""
        return all(self.scores[self.right] > score for i, score in enumerate(self.scores) if i != self.right)


@dataclass(frozen=True)
class FactualityEvaluation:
    """Results of a model, from which all metrics are computed.

    Attributes:
        model: its name.
        questions: one result per question.
        texts: one result per neutral text; may be empty.
        choices: one result per multiple-choice item; may be empty.
        inputs: for each of the three, a fingerprint of its rows and prompts; results with equal ones can be compared.
    """

    model: str
    questions: tuple[QuestionResult, ...]
    texts: tuple[TextResult, ...] = ()
    choices: tuple[ChoiceResult, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> int:
        """Number of questions with this outcome."""
        return sum(row.outcome == outcome for row in self.questions)

    @property
    def answered(self) -> tuple[QuestionResult, ...]:
        """The questions that were answered, right or wrong."""
        return tuple(row for row in self.questions if row.outcome != "abstained")

    def metrics(self) -> dict[str, Estimate | None]:
        """Compute each metric with its 95 % interval; None if it is undefined.

        Returns:
            By name:
            right, wrong, abstained: shares of the questions in [0, 1].
            hallucination_rate: share of wrong answers among the answered questions.
            coverage: share of the questions that were answered.
            ece: expected calibration error of the confidence over the answered questions, 15 bins.
            perplexity: of the texts, per token.
            choice_accuracy: share of the multiple-choice items in which the model chose the right completion.

            Intervals of shares are Wilson's; those of ece and perplexity are from the bootstrap over rows.
        """
        from calibration.estimate import estimate

        metrics: dict[str, Estimate | None] = {}
        shares = self._shares()
        for name, (rows, kernel) in self.kernels().items():
            if name in shares:
                metrics[name] = _wilson(*shares[name])
            else:
                equal = np.ones(len(rows))
                metrics[name] = None if np.isnan(kernel(equal)) else estimate(kernel, equal, 0.95)
        return metrics

    def kernels(self) -> dict[str, tuple[Sequence[Any], Kernel]]:
        """For each metric, the rows it is computed from, and the function from weights of these rows to the metric."""
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
        """For each share, indicators (N,) of the rows in its numerator and in its denominator."""
        outcomes = np.array([row.outcome for row in self.questions])
        right, wrong, abstained = ((outcomes == name).astype(float) for name in ("right", "wrong", "abstained"))
        all_rows, answered = np.ones(len(outcomes)), 1 - abstained
        chosen = np.array([row.correct for row in self.choices], dtype=np.float64)
        return {
            "right": (right, all_rows),
            "wrong": (wrong, all_rows),
            "abstained": (abstained, all_rows),
            "hallucination_rate": (wrong, answered),
            "coverage": (answered, all_rows),
            "choice_accuracy": (chosen, np.ones(len(chosen))),
        }

    def _ece(self) -> Kernel:
        from calibration import expected_calibration_error

        known = np.array([row.confidence is not None for row in self.questions], dtype=bool)
        confidence = np.array([row.confidence for row in self.questions if row.confidence is not None])
        correct = np.array([row.outcome == "right" for row in self.questions])[known]

        def kernel(weights: NDArray[np.float64]) -> float:
            weights = weights[known]
            if not weights.any():
                return float("nan")
            return float(expected_calibration_error(confidence, correct, weights=weights))

        return kernel

    def to_dict(self) -> dict[str, Any]:
        """Sizes, counts, metrics and rows as plain values; `read_evaluation` reads them back from a file."""
        parts = ("questions", "texts", "choices")
        return {
            "kind": _KIND,
            "format": _FORMAT,
            "model": self.model,
            "n": {part: len(getattr(self, part)) for part in parts},
            "counts": {outcome: self.count(outcome) for outcome in ("right", "wrong", "abstained")},
            "metrics": {name: value.to_dict() if value is not None else None for name, value in self.metrics().items()},
            "inputs": dict(self.inputs),
            "rows": {part: [asdict(row) for row in getattr(self, part)] for part in parts},
        }


def read_evaluation(path: str | Path) -> FactualityEvaluation:
    """Read an evaluation from a JSON file with the result of `FactualityEvaluation.to_dict`.

    Raises:
        InvalidInput: the file cannot be read or holds no evaluation.
    """
    values = read_json(path, _KIND, _FORMAT)
    try:
        rows = values["rows"]
        return FactualityEvaluation(
            values["model"],
            tuple(QuestionResult(**{**row, "references": tuple(row["references"])}) for row in rows["questions"]),
            tuple(TextResult(**row) for row in rows["texts"]),
            tuple(ChoiceResult(tuple(row["scores"]), row["right"]) for row in rows["choices"]),
            values["inputs"],
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} holds no evaluation; pass a file that 'halluc train evaluate --json' printed") from error


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Kernel:
    def kernel(weights: NDArray[np.float64]) -> float:
        total = float(weights @ denominator)
        return float(weights @ numerator) / total if total else float("nan")

    return kernel


def _wilson(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Estimate | None:
    from scipy.stats import binomtest

    from calibration import Estimate

    count, total = int(numerator.sum()), int(denominator.sum())
    if not total:
        return None
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high), 0.95)
