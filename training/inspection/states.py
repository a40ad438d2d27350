"""The hidden states of a model at all positions of several texts, read in one batch.

Not covered: what is read from them (predictions.py, truth.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["hidden_states"]


def hidden_states(model: Any, sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, ...]:
    """Compute the hidden states of a causal language model.

    Args:
        model: the model, with L layers.
        sequences: (B,) tokens of the texts, of any lengths.

    Returns:
        L + 1 tensors (B, T, D): of the embeddings and of each layer, the last one normalized as the output head reads it.
        Shorter texts are padded on the right, where no token looks and no position changes.
    """
    import torch

    longest = max(map(len, sequences))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in sequences], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in sequences], device=model.device)
    # Logits are large and not needed; those of one position are the fewest that can be asked for.
    output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, logits_to_keep=1)
    states: tuple[torch.Tensor, ...] = output.hidden_states
    return states
