"""What every language model offers: the `LanguageModel` protocol and the `Generation` it returns.

Not here: the implementations (transformers_model.py, endpoint.py) and how a name becomes a model (__init__.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = ["ChatMessage", "Generation", "LanguageModel", "Prompt"]

ChatMessage: TypeAlias = Mapping[str, str]
"""One turn: `{"role": "system" | "user" | "assistant", "content": ...}`."""

Prompt: TypeAlias = str | Sequence[ChatMessage]
"""A string is one user turn; a sequence of messages is a conversation."""


@dataclass(frozen=True)
class Generation:
    """One completion.

    Attributes:
        text: the completion, without special tokens and without the stop string that ended it.
        token_ids: (T,) ids of the generated tokens in the model's vocabulary; empty where the model does not tell.
        token_logprobs: (T,) log-probability of each token in nats under the model at temperature 1, whatever
            temperature it was sampled at; empty where the model does not tell.
        finish_reason: "stop" (end of turn or a stop string) or "length" (max_new_tokens reached).
        top_logprobs: per token, the (token text, log-probability) of the most likely tokens, where asked for.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    finish_reason: str = "stop"
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON."""
        return asdict(self)


@runtime_checkable
class LanguageModel(Protocol):
    """A model that completes prompts and tells how likely completions are."""

    name: str

    @property
    def context_window(self) -> int | None:
        """Tokens a prompt and its completion may take together; None where the model does not tell."""

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens the prompt takes, chat template included; an upper estimate where there is no tokenizer."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int = 1,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> list[list[Generation]]:
        """`n` completions of each prompt. Temperature 0 is greedy and gives n equal completions."""

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as they come, then the whole `Generation`."""

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Log-probability of each token of `completions[i]` after `prompts[i]`."""
