"""Trained weights as 4-bit differences from the base that they were trained on.

The difference of a matrix from that of its base is small and smooth enough for 4 bits in groups of 64, each group with its
own scale (similar to BitDelta, arXiv 2402.10193, which needs one bit). Embeddings are not trained and not stored: their
fingerprint refuses any other base. Not covered: the files of verifiers (halluc/verification/weights.py) and rerankers
(trained_reranker.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["EMBEDDINGS", "embeddings_fingerprint", "pack_difference", "packs", "unpack_differences"]

EMBEDDINGS = ".embeddings."
"""Part of the names of the weights that are not trained."""

# Weights in a group.
_GROUP = 64
_PACKED, _SCALES = ".difference", ".scales"


def packs(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a matrix whose rows are whole groups; others are stored as they are."""
    return tensor.ndim == 2 and tensor.shape[1] % _GROUP == 0


def pack_difference(name: str, difference: torch.Tensor) -> dict[str, torch.Tensor]:
    """Round a matrix to 15 values per group.

    Args:
        name: of the weights.
        difference: (rows, columns) trained weights minus those of the base.

    Returns:
        Two tensors by name: (rows, columns / 2) bytes of two values each, and the (rows, groups) scales.
    """
    import torch

    groups = difference.reshape(difference.shape[0], -1, _GROUP)
    scales = (groups.abs().amax(-1, keepdim=True) / 7).clamp(min=1e-8).to(torch.float16).float()
    values = ((groups / scales).round().clamp(-7, 7) + 8).to(torch.uint8).reshape(difference.shape)
    return {
        name + _PACKED: values[:, ::2] | values[:, 1::2] << 4,
        name + _SCALES: scales.squeeze(-1).to(torch.float16),
    }


def unpack_differences(tensors: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Get the trained weights, in float32, from stored tensors and the weights of the base.

    Raises:
        KeyError, RuntimeError: a difference does not fit the base.
    """
    import torch

    full = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith((_PACKED, _SCALES))}
    for key in [name for name in tensors if name.endswith(_PACKED)]:
        name, bytes_ = key.removesuffix(_PACKED), tensors[key]
        values = torch.stack([bytes_ & 15, bytes_ >> 4], dim=-1).reshape(bytes_.shape[0], -1, _GROUP).float() - 8
        full[name] = base[name] + (values * tensors[name + _SCALES].float()[..., None]).reshape(base[name].shape)
    return full


def embeddings_fingerprint(state: dict[str, torch.Tensor]) -> str:
    """Hash of the embeddings of a network, which identify its base."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128()
    for name, tensor in sorted(state.items()):
        if EMBEDDINGS in name:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return str(digest.hexdigest())
