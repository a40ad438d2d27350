"""Hooks into transformers' `generate`: log-probabilities, distributions and hidden states of each step, and stop strings.

`StopStrings` is ours because transformers' `StopStringCriteria` also matches stop strings that begin in the prompt, and
builds a table over the whole vocabulary for each set of stop strings (0.6 to 1 s on one core). Not covered: who combines
the hooks (transformers_model.py, internals.py, contrastive_decoding.py).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, StoppingCriteria

__all__ = [
    "AnswerRecorder",
    "GreedyRows",
    "MiddleLayer",
    "StopStrings",
    "TokenLogprobs",
    "distribution_shape",
]


class TokenLogprobs(LogitsProcessor):
    """Records the log-probability of each chosen token under the model's own distribution (temperature 1).

    `generate(output_logits=True)` would keep every step's (B, V) logits; this keeps one step's and picks from it as soon
    as the choice is known, which is when the next step begins.

    Args:
        top: how many of the most likely tokens to record per step.
    """

    def __init__(self, top: int = 0) -> None:
        self._top_count = top
        self._pending: torch.Tensor | None = None
        self._picked: list[torch.Tensor] = []
        self._top: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Take step t's logits (B, V); `input_ids` ends with the tokens chosen at step t - 1."""
        if self._pending is not None:
            self._pick(input_ids[:, -1])
        self._pending = scores.float().log_softmax(-1)
        if self._top_count:
            best = self._pending.topk(self._top_count, -1)
            self._top.append((best.indices.cpu(), best.values.cpu()))
        return scores

    def finish(self, new: torch.Tensor) -> torch.Tensor:
        """Return the (B, T) log-probabilities of the generated tokens `new` (B, T)."""
        self._pick(new[:, -1])
        return torch.stack(self._picked, 1).cpu()

    def top(self, row: int) -> list[list[tuple[int, float]]]:
        """Return, per step, the most likely (token id, log-probability) of one row, best first."""
        return [list(zip(ids[row].tolist(), values[row].tolist(), strict=True)) for ids, values in self._top]

    def _pick(self, tokens: torch.Tensor) -> None:
        assert self._pending is not None
        self._picked.append(self._pending.gather(-1, tokens.unsqueeze(-1)).squeeze(-1))


class AnswerRecorder(TokenLogprobs):
    """`TokenLogprobs` of every row; on the greedy rows also the distribution's shape and its most likely tokens.

    Args:
        top: how many of the most likely tokens to record per step of a greedy row.
        greedy: (G,) numbers of the greedy rows.
    """

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
            logprobs = self._pending[self._greedy]
            self._shapes.append(distribution_shape(logprobs))
            if self._alternatives:
                best = logprobs.topk(self._alternatives, -1)
                self._best.append((best.indices.cpu(), best.values.cpu()))
        return scores

    def answer(self, row: int, count: int) -> tuple[torch.Tensor, torch.Tensor, list[list[tuple[int, float]]]]:
        """Return entropy (T,), self-certainty (T,) and most likely tokens (T,) of greedy answer `row`, T = `count`."""
        entropy = torch.stack([step[row] for step, _ in self._shapes[:count]])
        certainty = torch.stack([step[row] for _, step in self._shapes[:count]])
        top = [list(zip(ids[row].tolist(), values[row].tolist(), strict=True)) for ids, values in self._best[:count]]
        return entropy, certainty, top


def distribution_shape(logprobs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the entropy of distributions (..., V), and the KL divergence from the uniform one to them, in nats."""
    entropy = torch.special.entr(logprobs.exp()).sum(-1)
    return entropy.cpu(), (-logprobs.mean(-1) - float(np.log(logprobs.shape[-1]))).cpu()


class GreedyRows(LogitsProcessor):
    """Makes the marked rows of a sampled batch greedy: only their most likely token remains.

    Args:
        greedy: (B,) whether a row is greedy.
    """

    def __init__(self, greedy: torch.Tensor) -> None:
        self._greedy = greedy

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask all other tokens of the marked rows of (B, V)."""
        rows = scores[self._greedy]
        scores[self._greedy] = torch.full_like(rows, -torch.inf).scatter(-1, rows.argmax(-1, keepdim=True), 0.0)
        return scores


class MiddleLayer:
    """Keeps the middle layer's last position at each step of `generate`, which itself would keep every layer's.

    The hooks see every call of the network and ignore those of other threads.

    Args:
        network: the transformers model.
        wanted: False installs no hooks.
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
                self._network.register_forward_pre_hook(self._request, with_kwargs=True),
                self._network.register_forward_hook(self._keep),
            ]
        return self

    def __exit__(self, *_error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def row(self, i: int) -> torch.Tensor | None:
        """Return the (steps, D) states of one row; None if nothing was kept."""
        return torch.stack([step[i] for step in self._steps]) if self._steps else None

    def _request(
        self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if threading.get_ident() == self._thread:
            kwargs = {**kwargs, "output_hidden_states": True}
        return args, kwargs

    def _keep(self, _module: Any, _args: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() == self._thread:
            states = output.hidden_states
            self._steps.append(states[len(states) // 2][:, -1].float().cpu())


class StopStrings(StoppingCriteria):
    """Ends each row whose new text contains one of the stop strings.

    Args:
        tokenizer: of the model.
        stop: at least one string.
        prompt_length: length of the padded prompts, in tokens; stop strings in the prompt do not count.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str], prompt_length: int) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._prompt_length = prompt_length
        # A token spells at least one byte, so a stop string ends within this many tokens.
        self._reach = max(len(string.encode()) for string in stop) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_kwargs: Any) -> torch.Tensor:
        """Return (B,) whether each row is done."""
        recent = input_ids[:, max(self._prompt_length, input_ids.shape[1] - self._reach) :]
        texts = self._tokenizer.batch_decode(recent, skip_special_tokens=True)
        done = [any(string in text for string in self._stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)
