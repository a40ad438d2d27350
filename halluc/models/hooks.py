"""Hooks into transformers' `generate`: log-probabilities of what was chosen, and stop strings, also in a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

__all__ = ["StopStrings", "TokenLogprobs", "until_stop"]


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
        """(B, T) log-probabilities of the generated tokens `new` (B, T)."""
        self._pick(new[:, -1])
        return torch.stack(self._picked, 1).cpu()

    def top(self, row: int) -> list[list[tuple[int, float]]]:
        """Per step, the most likely (token id, log-probability) of one row, best first."""
        return [list(zip(ids[row].tolist(), values[row].tolist(), strict=True)) for ids, values in self._top]

    def _pick(self, tokens: torch.Tensor) -> None:
        assert self._pending is not None
        self._picked.append(self._pending.gather(-1, tokens.unsqueeze(-1)).squeeze(-1))


class StopStrings(StoppingCriteria):
    """Ends each row whose new text holds one of the stop strings."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], prompt_length: int) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._prompt_length = prompt_length
        # A token spells at least one byte, so a stop string ends within this many tokens.
        self._reach = max(len(s.encode()) for s in stop) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_kwargs: Any) -> torch.Tensor:
        """(B,) whether each row is done."""
        recent = input_ids[:, max(self._prompt_length, input_ids.shape[1] - self._reach) :]
        texts = self._tokenizer.batch_decode(recent, skip_special_tokens=True)
        done = [any(s in text for s in self._stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def until_stop(pieces: Iterator[str], stop: Sequence[str]) -> Iterator[str]:
    """Hold back whatever may turn out to be the start of a stop string."""
    text, given = "", 0
    longest = max((len(s) for s in stop), default=1)
    for piece in pieces:
        text += piece
        cut = min((at for s in stop if (at := text.find(s)) >= 0), default=-1)
        safe = cut if cut >= 0 else len(text) - (longest - 1)
        if safe > given:
            yield text[given:safe]
            given = safe
        if cut >= 0:
            for _ in pieces:
                pass
            return
    if given < len(text):
        yield text[given:]
