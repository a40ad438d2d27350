"""In which precision a model computes.

Not covered: the precision in which weights are stored.
"""

from __future__ import annotations

__all__ = ["cpu_multiplies_bfloat16"]


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16 (AVX512-BF16 or AMX); others emulate it slowly."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
