"""Forward passes over many encoded texts: sorted by length, batched by tokens, in bfloat16 where a CPU has it.

Not covered: what is read and what the outputs mean (pair_verifier.py, cross_encoder.py).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from retrieval.precision import cpu_multiplies_bfloat16

__all__ = ["batches_of_rows", "bfloat16_copy", "read_in_batches", "token_lengths"]


def token_lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each of (N,) texts, without special tokens."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]


def batches_of_rows(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Put rows into batches, the longest first, so that hardly any padding is computed.

    Args:
        lengths: (N,) tokens of each row.
        batch_tokens: tokens of a batch, padding included; a longer row is alone.

    Yields:
        The numbers of the rows of a batch.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        rows = order[start : start + max(1, batch_tokens // max(1, lengths[order[start]]))]
        start += len(rows)
        yield rows


def read_in_batches(
    model: Any, tokenizer: Any, encoded: Any, batch_tokens: int, *, padding_side: str | None = None
) -> Iterator[tuple[list[int], Any]]:
    """Read encoded texts with a model, in the batches of `batches_of_rows`.

    Args:
        model: called with the padded tensors of a batch.
        tokenizer: pads.
        encoded: lists of (N,) rows by name, as a tokenizer gives them.
        batch_tokens: tokens, padding included, per forward pass; a longer text is read alone.
        padding_side: "left" or "right"; None for that of the tokenizer.

    Yields:
        The numbers of the rows of a batch, and the model's output for them.
    """
    import torch

    for rows in batches_of_rows([len(ids) for ids in encoded["input_ids"]], batch_tokens):
        batch = tokenizer.pad(
            {name: [values[row] for row in rows] for name, values in encoded.items()},
            padding_side=padding_side,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            output = model(**batch)
        yield rows, output


def bfloat16_copy(model: Any) -> Any:
    """Copy a model in bfloat16 if the CPU has instructions for it, which make it faster; else None."""
    import torch

    if model.device.type != "cpu" or model.dtype != torch.float32 or not cpu_multiplies_bfloat16():
        return None
    # Parameters that are converted before the copy are not copied in float32, which takes ten times as long.
    converted = {
        id(p): torch.nn.Parameter(p.detach().to(torch.bfloat16), requires_grad=p.requires_grad) for p in model.parameters()
    }
    return copy.deepcopy(model, converted).to(torch.bfloat16)
