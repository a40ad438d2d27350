"""How far and in how many directions each weight matrix moved.

Not covered: what that does to predictions (predictions.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from retrieval.records import Record

if TYPE_CHECKING:
    import torch

__all__ = ["LayerChange", "WeightChange", "by_layer", "weight_changes"]

_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True)
class WeightChange(Record):
    """The change of one matrix.

    Attributes:
        name: of the matrix, as in the state of the model.
        layer: number of its layer, from 0; None outside of layers (embeddings, output head).
        norm, change: Frobenius norms of the matrix before training and of its change.
        effective_rank: of the change, from 0 (no change) to the smaller side of the matrix.
        size: smaller side of the matrix.
    """

    name: str
    layer: int | None
    norm: float
    change: float
    effective_rank: float
    size: int

    @property
    def relative_change(self) -> float:
        """Norm of the change ÷ norm of the matrix; 0 for a matrix of zeros that did not change."""
        return self.change / self.norm if self.norm else math.inf if self.change else 0.0


@dataclass(frozen=True)
class LayerChange(Record):
    """The change of a layer.

    Attributes:
        layer: its number; None for what is outside of layers.
        relative_change: norm of the change of all its matrices ÷ their norm.
        effective_rank: mean over its matrices.
    """

    layer: int | None
    relative_change: float
    effective_rank: float


def weight_changes(before: Any, after: Any) -> list[WeightChange]:
    """Compare the matrices of two models of one architecture.

    Args:
        before, after: torch modules whose parameters have the same names.

    Returns:
        One change per matrix, in the order of the model; shared matrices once.

    Raises:
        InvalidInput: a matrix is missing in one of them, has another shape, or is not finite (it is named).
    """
    import torch

    for side, model in (("before", before), ("after", after)):
        for name, matrix in model.named_parameters():
            if not torch.isfinite(matrix).all():
                raise InvalidInput(f"{name} of the model {side} training has values that are not finite; train it again")
    old, new = (dict(model.named_parameters()) for model in (before, after))
    if missing := sorted(set(old) ^ set(new)):
        raise InvalidInput(f"only one of the models has the weights {missing[0]}; compare a model with one trained from it")
    changes = []
    with torch.no_grad():
        for name, matrix in old.items():
            if matrix.shape != new[name].shape:
                shapes = [tuple(parameter.shape) for parameter in (matrix, new[name])]
                raise InvalidInput(
                    f"{name} has the shape {shapes[0]} before and {shapes[1]} after; compare models of one kind"
                )
            if matrix.dim() == 2:
                difference = new[name].float() - matrix.float()
                number = _LAYER.search(name)
                changes.append(
                    WeightChange(
                        name,
                        int(number[1]) if number else None,
                        float(matrix.float().norm()),
                        float(difference.norm()),
                        effective_rank(difference),
                        min(matrix.shape),
                    )
                )
    return changes


def effective_rank(matrix: torch.Tensor) -> float:
    """Exponential of the entropy of the normalized singular values (Roy and Vetterli 2007, "The effective rank").

    A matrix of rank r with equal singular values has r; a matrix of zeros has 0.
    """
    import torch

    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    # Squares of the singular values: far faster than a decomposition of a matrix of 50,000 rows.
    squares = torch.linalg.eigvalsh((tall.T @ tall).double()).clamp(min=0)
    # What is below the precision of float32 is no direction.
    values = squares[squares > squares.max() * 1e-10].sqrt()
    if not len(values) or not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


def by_layer(changes: Sequence[WeightChange]) -> list[LayerChange]:
    """Sum the changes of each layer, in the order of the model."""
    layers = dict.fromkeys(change.layer for change in changes)
    result = []
    for layer in layers:
        own = [change for change in changes if change.layer == layer]
        norm = math.sqrt(sum(change.norm**2 for change in own))
        moved = math.sqrt(sum(change.change**2 for change in own))
        rank = sum(change.effective_rank for change in own) / len(own)
        result.append(LayerChange(layer, moved / norm if norm else 0.0, rank))
    return result
