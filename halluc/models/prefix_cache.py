"""Beginnings that prompts share, such as a system message and its template, computed once and kept (prefix caching).

As in SGLang (Zheng et al. 2023, arXiv 2312.07104), but with a handful of beginnings in place of a tree of all prompts: the
text of a server's own instructions, not the history of each conversation. Not covered: the forward passes
(continuous_batch.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Beginning", "PrefixCache"]

# Beginnings and recent prompts that are remembered, and the longest beginning in tokens: they bound the memory, which is 46
# kB a token for SmolLM2-135M in float32.
_KEPT, _RECENT, _LONGEST = 4, 8, 256
# A beginning is computed in a pass of its own, which reads all weights, if it saves this many tokens: per prompt to come if
# it is kept, in all if it is for one batch.
_LEAST_KEPT, _LEAST_SHARED = 16, 64


@dataclass(frozen=True)
class Beginning:
    """Token ids, and their keys and values, each (1, H, T, D) per layer."""

    ids: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def cut(self, length: int) -> Beginning:
        """The first tokens; keys and values depend on nothing that comes later."""
        layers = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in self.layers)
        return Beginning(self.ids[:length], layers)


class PrefixCache:
    """The beginnings of recent prompts of one model; for one thread."""

    def __init__(self) -> None:
        self._kept: deque[Beginning] = deque(maxlen=_KEPT)
        self._recent: deque[tuple[int, ...]] = deque(maxlen=_RECENT)

    def find(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Beginning | None, int]:
        """Find what of (B,) distinct prompts need not be computed for each.

        Returns:
            The longest kept beginning of all prompts, or None; and the length of the beginning that is worth computing
            once, which is that of the kept one, or 0, if no longer one is.
        """
        # The last token of each prompt is computed in any case, for its logits.
        most = min(_common_length(prompts), min(map(len, prompts)) - 1)
        kept = max(
            (b.cut(_common_length([b.ids, prompts[0][:most]])) for b in self._kept), key=lambda b: len(b.ids), default=None
        )
        known = len(kept.ids) if kept is not None else 0
        # A prompt that comes again shares everything with itself, which says nothing about others.
        others = [p for p in self._recent if p not in prompts]
        again = min(max((_common_length([p, prompts[0][:most]]) for p in others), default=0), _LONGEST)
        self._recent.extend(prompts)
        if again - known >= _LEAST_KEPT:
            return kept if known else None, again
        if (most - known) * (len(prompts) - 1) >= _LEAST_SHARED:
            return kept if known else None, most
        return (kept, known) if known >= _LEAST_KEPT else (None, 0)

    def keep(self, beginning: Beginning) -> None:
        """Remember a computed beginning, or as much of it as is kept; those that it continues are dropped."""
        beginning = beginning.cut(_LONGEST)
        rest = [b for b in self._kept if beginning.ids[: len(b.ids)] != b.ids]
        self._kept.clear()
        self._kept.extend([*rest, beginning][-_KEPT:])


def _common_length(texts: Sequence[tuple[int, ...]]) -> int:
    """Number of tokens that all texts begin with."""
    length = 0
    for tokens in zip(*texts, strict=False):
        if len(set(tokens)) > 1:
            break
        length += 1
    return length
