"""One completion while it grows: its tokens, the text that can be shown already, and how it ends.

Not covered: the forward passes (continuous_batch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from halluc.models.language_model import Generation
from halluc.models.stop_strings import first_stop, shown_length

if TYPE_CHECKING:
    import torch

    from halluc.models.causal_network import CausalNetwork

__all__ = ["Completion"]


class Completion:
    """A completion that gets its tokens one by one.

    Args:
        network: the model, whose tokenizer spells the text.
        prompt_ids: token ids of the prompt.
        max_new_tokens, temperature, top_p, seed, stop, top_logprobs: see `LanguageModel.generate`.

    Attributes:
        token_ids: the tokens so far, with the end token if there is one.
        generation: the finished completion; None until it ends.
        error: why it failed; None if it did not.
        removed: whether nobody needs it any more.
    """

    def __init__(
        self,
        network: CausalNetwork,
        prompt_ids: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        stop: Sequence[str],
        top_logprobs: int,
    ) -> None:
        self.network, self.prompt_ids = network, tuple(prompt_ids)
        self.max_new_tokens, self.temperature, self.top_p, self.seed = max_new_tokens, temperature, top_p, seed
        self.stop, self.top_logprobs = tuple(stop), top_logprobs
        self.token_ids: list[int] = []
        self.generation: Generation | None = None
        self.error: Exception | None = None
        self.removed = False
        self._logprobs: list[float] = []
        self._top: list[list[tuple[int, float]]] = []
        self._text = ""
        self._taken = 0
        # The tokens [start, read) are decoded again with each new one: what a token spells depends on those before it.
        self._start = self._read = 0
        self._generator: torch.Generator | None = None

    @property
    def ended(self) -> bool:
        """Whether it gets no further token."""
        return self.generation is not None or self.error is not None or self.removed

    @property
    def context_ids(self) -> tuple[int, ...]:
        """Token ids of the prompt and of the completion so far."""
        return (*self.prompt_ids, *self.token_ids)

    def choose(self, logits: torch.Tensor, repetition_penalty: float = 1.0) -> None:
        """Choose the next token.

        Args:
            logits: (V,) logits of the next token.
            repetition_penalty: divides the logits of tokens that occurred (arXiv 1909.05858, section 4.1); 1 is none.
        """
        import torch

        if repetition_penalty != 1:
            seen = torch.tensor(sorted(set(self.context_ids)), device=logits.device)
            values = logits[seen]
            penalized = values.where(values < 0, values / repetition_penalty)
            logits = logits.scatter(0, seen, penalized.where(values >= 0, values * repetition_penalty))
        logprobs = logits.log_softmax(-1)
        token = self._sample(logits) if self.temperature > 0 else int(logits.argmax())
        self.token_ids.append(token)
        self._logprobs.append(float(logprobs[token]))
        if self.top_logprobs:
            best = logprobs.topk(self.top_logprobs)
            self._top.append(list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
        if token not in self.network.end_ids:
            self._spell()
        if (
            token in self.network.end_ids
            or len(self.token_ids) >= self.max_new_tokens
            or first_stop(self._text, self.stop) is not None
        ):
            self._finish()

    def take_text(self) -> str:
        """Get the text that was not taken yet and cannot become part of a stop string or of half a character."""
        if self.generation is not None:
            self._text = self.generation.text
            safe = len(self._text)
        else:
            safe = shown_length(self._text, self.stop)
        piece = self._text[self._taken : safe]
        self._taken = max(self._taken, safe)
        return piece

    # -- private ---------------------------------------------------------------------------------------------------

    def _sample(self, logits: torch.Tensor) -> int:
        import torch
        from transformers import TopPLogitsWarper

        if self._generator is None:
            self._generator = torch.Generator(logits.device)
            self._generator.manual_seed(self.seed)
        scores = logits.unsqueeze(0) / self.temperature
        if self.top_p < 1:
            scores = TopPLogitsWarper(self.top_p)(None, scores)
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))

    def _spell(self) -> None:
        before = self._decode(self._start, self._read)
        text = self._decode(self._start, len(self.token_ids))
        # A character of several tokens is spelled as a replacement character until it is complete.
        if len(text) > len(before) and not text.endswith("\ufffd"):
            self._text += text[len(before) :]
            self._start, self._read = self._read, len(self.token_ids)

    def _decode(self, start: int, end: int) -> str:
        return str(self.network.tokenizer.decode(self.token_ids[start:end], skip_special_tokens=True))

    def _finish(self) -> None:
        import torch

        self.generation = self.network.read_generation(
            torch.tensor(self.token_ids), torch.tensor(self._logprobs), self.stop, self._top
        )
