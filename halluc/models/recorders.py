"""Hooks into transformers' `generate` for a batch whose rows are greedy answers and samples (observation.py)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from halluc.models.hooks import TokenLogprobs

__all__ = ["AnswerRecorder", "GreedyRows", "MiddleLayer", "distribution_shape"]


def distribution_shape(logprobs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Entropy of distributions (..., V), and the KL divergence from the uniform one to them."""
    entropy = torch.special.entr(logprobs.exp()).sum(-1)
    return entropy.cpu(), (-logprobs.mean(-1) - float(np.log(logprobs.shape[-1]))).cpu()


class AnswerRecorder(TokenLogprobs):
    """`TokenLogprobs` of every row, and the shape of the distribution and its likeliest tokens on the greedy rows."""

    def __init__(self, top: int, greedy: torch.Tensor) -> None:
        super().__init__()
        self._greedy = greedy
        self._alternatives = top
        self._shapes: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._best: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Take one step's logits (B, V)."""
        scores = super().__call__(input_ids, scores)
        assert self._pending is not None
        if len(self._greedy):
            own = self._pending[self._greedy]
            self._shapes.append(distribution_shape(own))
            if self._alternatives:
                best = own.topk(self._alternatives, -1)
                self._best.append((best.indices.cpu(), best.values.cpu()))
        return scores

    def answer(self, row: int, count: int) -> tuple[torch.Tensor, torch.Tensor, list[list[tuple[int, float]]]]:
        """Entropy (T,), self-certainty (T,) and likeliest tokens of the greedy answer to prompt `row`."""
        entropy = torch.stack([step[row] for step, _ in self._shapes[:count]])
        certainty = torch.stack([step[row] for _, step in self._shapes[:count]])
        top = [list(zip(i[row].tolist(), v[row].tolist(), strict=True)) for i, v in self._best[:count]]
        return entropy, certainty, top


class GreedyRows(LogitsProcessor):
    """Leaves the marked rows of a sampled batch no choice but their likeliest token."""

    def __init__(self, greedy: torch.Tensor) -> None:
        self._greedy = greedy

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask all other tokens of the marked rows of (B, V)."""
        own = scores[self._greedy]
        scores[self._greedy] = torch.full_like(own, -torch.inf).scatter(-1, own.argmax(-1, keepdim=True), 0.0)
        return scores


class MiddleLayer:
    """Keeps the middle layer's last position at each step of `generate`, which itself would keep every layer's.

    Hooks see every call of the network; those of other threads are passed by.
    """

    def __init__(self, network: Any, *, wanted: bool) -> None:
        self._network = network
        self._wanted = wanted
        self._thread = threading.get_ident()
        self._steps: list[torch.Tensor] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> MiddleLayer:
        if self._wanted:
            self._hooks = [
                self._network.register_forward_pre_hook(self._ask, with_kwargs=True),
                self._network.register_forward_hook(self._keep),
            ]
        return self

    def __exit__(self, *_error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def row(self, i: int) -> torch.Tensor | None:
        """(steps, D) of one row."""
        return torch.stack([step[i] for step in self._steps]) if self._steps else None

    def _ask(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if threading.get_ident() == self._thread:
            kwargs = {**kwargs, "output_hidden_states": True}
        return args, kwargs

    def _keep(self, _module: Any, _args: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() == self._thread:
            states = output.hidden_states
            self._steps.append(states[len(states) // 2][:, -1].float().cpu())
