"""Which rows of a data set a batch consists of, and which of them give a loss that is not finite; for messages.

Not covered: stopping a run (callbacks.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

__all__ = ["listed", "rows_without_finite_loss"]


def rows_without_finite_loss(trainer: Any, model: Any, inputs: Any) -> list[int]:
    """Find the rows of the training data whose loss is not finite.

    Args:
        trainer: of transformers; `rows_of_examples`, if it has that, gives the row of each of its examples.
        model: the model in training.
        inputs: a batch: rows with `row`, or tensors of its collator.

    Returns:
        Numbers of the rows: those whose loss alone is not finite; if there are none or it cannot be computed, all of the
        batch; empty if they cannot be found, as with packed sequences.
    """
    if not isinstance(inputs, Mapping):
        return sorted({row["row"] for row in inputs if isinstance(row, Mapping) and "row" in row})
    batch = _sequences(inputs)
    if not batch:
        return []
    examples = [number for number, example in enumerate(trainer.train_dataset) if _is_in(trainer, example, batch)]
    suspects = [number for number in examples if not _is_finite(trainer, model, number)] or examples
    rows = getattr(trainer, "rows_of_examples", None)
    return sorted({number if rows is None else rows[number] for number in suspects})


def _sequences(inputs: Mapping[str, Any]) -> set[tuple[int, ...]]:
    """The token sequences of a batch, without padding; empty if it has no mask."""
    names = [name for name in inputs if name.endswith("input_ids") and not name.startswith("prompt")]
    masks = [name.replace("input_ids", "attention_mask") for name in names]
    return {
        tuple(ids[mask.bool()].tolist())
        for name, masked in zip(names, masks, strict=True)
        if masked in inputs
        for ids, mask in zip(inputs[name], inputs[masked], strict=True)
    }


def _is_in(trainer: Any, example: Mapping[str, Any], batch: set[tuple[int, ...]]) -> bool:
    sequences = _sequences(trainer.data_collator([example]))
    return bool(sequences) and sequences <= batch


def _is_finite(trainer: Any, model: Any, number: int) -> bool:
    try:
        with torch.no_grad():
            batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[number]]))
            return bool(torch.isfinite(trainer.compute_loss(model, batch)))
    # Some losses cannot be computed for one example.
    except (RuntimeError, ValueError, KeyError, IndexError):
        return True


def listed(rows: Sequence[int], most: int = 8) -> str:
    """The rows in words, such as "row 3" or "rows 1, 2 and 5"; at most so many of them.

    >>> listed([3]), listed([1, 2, 5])
    ('row 3', 'rows 1, 2 and 5')
    """
    named = [str(row) for row in rows[:most]]
    if len(rows) > most:
        named.append(f"{len(rows) - most} more")
    if len(named) == 1:
        return f"row {named[0]}"
    return f"rows {', '.join(named[:-1])} and {named[-1]}"
