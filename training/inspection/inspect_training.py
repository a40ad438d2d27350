"""Compare a trained model with the model it was trained from: weights, predictions and truth in hidden states.

Not covered: whether its answers became better (`halluc train evaluate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_integer
from retrieval.records import Record
from training.inspection.predictions import PredictionChange, compare_predictions
from training.inspection.truth import truth_by_layer
from training.inspection.weights import LayerChange, WeightChange, by_layer, weight_changes

if TYPE_CHECKING:
    from calibration import Estimate
    from halluc.models.language_model import Prompt

__all__ = ["Inspection", "TruthChange", "inspect_training"]


@dataclass(frozen=True)
class TruthChange(Record):
    """How well a linear probe tells true from false statements, before and after training.

    Attributes:
        n: number of statements.
        before, after: (L + 1,) AUROCs with 95 % intervals, of the embeddings and of each layer.
    """

    n: int
    before: tuple[Estimate, ...]
    after: tuple[Estimate, ...]


@dataclass(frozen=True)
class Inspection(Record):
    """What training changed.

    Attributes:
        before, after: names of the models.
        layers: change of the weights by layer.
        weights: change of each matrix, the largest relative change first.
        predictions: change of the predictions.
        truth: what a truth probe finds; None without statements.
    """

    before: str
    after: str
    layers: tuple[LayerChange, ...]
    weights: tuple[WeightChange, ...]
    predictions: PredictionChange
    truth: TruthChange | None


def inspect_training(
    before: str,
    after: str,
    prompts: Sequence[Prompt],
    *,
    statements: Sequence[Mapping[str, Any]] | None = None,
    max_new_tokens: int = 64,
) -> Inspection:
    """Compare two models.

    Args:
        before: "default", a folder or a hub id.
        after: the model trained from it; also the folder of an adapter.
        prompts: texts or conversations that both models continue.
        statements: rows with `statement`, a sentence, and `label`, true or false, for the truth probe; None for none.
        max_new_tokens: longest reply, at least 1.

    Raises:
        InvalidInput: a model is an endpoint, the models do not belong together, or a row cannot be used (it is named).
        ModelUnavailable: a model cannot be loaded.
    """
    from training.runs.model import load_trainable

    check_integer("max_new_tokens", max_new_tokens, least=1)
    if not prompts:
        raise InvalidInput("there are no prompts; pass at least one")
    labeled = _statements(statements) if statements is not None else None
    with TemporaryDirectory() as folder:
        tokenizer, old = load_trainable(before, out=f"{folder}/before")
        _, new = load_trainable(after, out=f"{folder}/after")
    old.eval()
    new.eval()
    changes = weight_changes(old, new)
    truth = None
    if labeled is not None:
        sides = [tuple(truth_by_layer(model, tokenizer, *labeled)) for model in (old, new)]
        truth = TruthChange(len(labeled[0]), *sides)
    return Inspection(
        before,
        after,
        tuple(by_layer(changes)),
        tuple(sorted(changes, key=lambda change: -change.relative_change)),
        compare_predictions(old, new, tokenizer, prompts, max_new_tokens=max_new_tokens),
        truth,
    )


def _statements(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[bool]]:
    for number, row in enumerate(rows):
        if not isinstance(row.get("statement"), str) or not row["statement"].strip():
            raise InvalidInput(f"the statement of row {number} is {row.get('statement')!r}; write a sentence")
        if row.get("label") not in (0, 1):
            raise InvalidInput(f"the label of row {number} is {row.get('label')!r}; write true or false (or 1 or 0)")
    return [row["statement"] for row in rows], [bool(row["label"]) for row in rows]
