"""The `LanguageModel` protocol, the `Generation` it returns, and the checks of prompts and options that all models share.

Not covered: the implementations (transformers_model.py, endpoint.py) and how a name becomes a model (__init__.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from halluc.errors import InvalidInput, check_integer, check_number, check_text, check_texts
from retrieval.records import Record

__all__ = [
    "ChatMessage",
    "Generation",
    "LanguageModel",
    "Prompt",
    "as_conversation",
    "check_message",
    "check_options",
    "check_prompts",
]

ChatMessage: TypeAlias = Mapping[str, str]
"""One turn: `{"role": "system" | "user" | "assistant", "content": ...}`."""

Prompt: TypeAlias = str | Sequence[ChatMessage]
"""A string is one user turn; a sequence of messages is a conversation."""

_ROLES = ("system", "user", "assistant")
# Logits divided by a smaller temperature overflow float32.
_LEAST_TEMPERATURE = 1e-6


@dataclass(frozen=True)
class Generation(Record):
    """One completion.

    Attributes:
        text: the completion, without special tokens and without the stop string that ended it.
        token_ids: (T,) ids of the generated tokens in the model's vocabulary; empty if the model does not report them.
        token_logprobs: (T,) log-probability of each token in nats under the model at temperature 1, whatever the
            sampling temperature; empty if the model does not report them.
        finish_reason: "stop" (end of turn or a stop string) or "length" (max_new_tokens reached).
        top_logprobs: (T,) per token, the (token text, log-probability) of the most likely tokens, best first; empty
            unless requested.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    finish_reason: str = "stop"
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...] = ()


@runtime_checkable
class LanguageModel(Protocol):
    """A model that completes prompts and reports log-probabilities."""

    name: str

    @property
    def context_window(self) -> int | None:
        """Maximum number of tokens of a prompt and its completion together; None if the model does not report it."""

    def count_tokens(self, prompt: Prompt) -> int:
        """Count the prompt's tokens, chat template included; an upper estimate if there is no tokenizer."""

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
        """Generate completions.

        Args:
            prompts: (N,) prompts.
            n: completions per prompt.
            max_new_tokens: maximum length of a completion, in tokens.
            temperature: 0 is greedy and gives n equal completions; otherwise at least 1e-6.
            top_p: sample from the smallest set of tokens with this probability, in (0, 1].
            seed: the same call with the same seed draws the same samples, if the model supports it.
            stop: strings that end a completion; they are not part of its text.
            top_logprobs: how many of the most likely tokens to report for each token.

        Returns:
            (N, n) completions.

        Raises:
            InvalidInput: a prompt or an option is unusable.
            ContextOverflow: a prompt and `max_new_tokens` exceed the context window.
        """

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as they are generated, then the complete `Generation`; for the options see `generate`.

        Closing the iterator ends the generation.
        """

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Compute the log-probability of each token of `completions[i]` after `prompts[i]`."""


def as_conversation(prompt: Prompt) -> list[dict[str, str]]:
    """Convert a prompt to a list of messages; a string becomes one user turn."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """Check that an argument is a list of usable prompts, and not one prompt taken for a list.

    Raises:
        InvalidInput: it is one string or one conversation; a prompt is empty; a message has no known role or no text; or a
            text has a lone surrogate. The message names the prompt.
    """
    if isinstance(prompts, str):
        raise InvalidInput(f"prompts is one string, {prompts[:40]!r}; pass a list of prompts")
    if isinstance(prompts, Mapping):
        raise InvalidInput("prompts is one message; pass a list of prompts, each a text or a list of messages")
    items: Sequence[Any] = prompts
    for i, prompt in enumerate(items):
        if isinstance(prompt, str):
            check_text(f"prompt {i}", prompt, allow_blank=True)
        elif isinstance(prompt, Mapping):
            raise InvalidInput(f"prompts[{i}] is one message; put the messages of a conversation in a list of their own")
        elif not isinstance(prompt, Sequence) or isinstance(prompt, bytes):
            raise InvalidInput(f"prompt {i} is {prompt!r}; pass a text or a list of messages")
        else:
            for j, message in enumerate(prompt):
                check_message(f"message {j} of prompt {i}", message)
        if not prompt:
            raise InvalidInput(f"prompt {i} is empty; pass some text or at least one message")


def check_message(name: str, message: Any) -> None:
    """Check one message of a conversation; `name` is what the error calls it.

    Raises:
        InvalidInput: it has no known role or no text, or its text has a lone surrogate.
    """
    if not isinstance(message, Mapping):
        raise InvalidInput(f"{name} is {_shortened(message)}; pass {{'role': ..., 'content': ...}}")
    if message.get("role") not in _ROLES:
        raise InvalidInput(f"{name} has the role {_shortened(message.get('role'))}; use {', '.join(_ROLES)}")
    if not isinstance(message.get("content"), str):
        raise InvalidInput(f"{name} has the content {_shortened(message.get('content'))}; write it as one text")
    check_text(name, message["content"], allow_blank=True)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def check_options(
    *,
    n: int = 1,
    max_new_tokens: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    top_logprobs: int = 0,
    vocabulary_size: int | None = None,
) -> None:
    """Check the options of `LanguageModel.generate`.

    Args:
        n, max_new_tokens, temperature, top_p, seed, stop, top_logprobs: see `LanguageModel.generate`.
        vocabulary_size: the greatest usable `top_logprobs`; None if it is unknown.

    Raises:
        InvalidInput: an option is out of range; the message names it.
    """
    check_integer("n", n, 1)
    check_integer("max_new_tokens", max_new_tokens, 1)
    check_integer("top_logprobs", top_logprobs, 0, vocabulary_size)
    check_integer("seed", seed, -(2**63), 2**63 - 1)
    check_number("temperature", temperature, 0)
    if 0 < temperature < _LEAST_TEMPERATURE:
        raise InvalidInput(f"temperature is {temperature!r}; pass 0 (greedy) or at least {_LEAST_TEMPERATURE:g}")
    check_number("top_p", top_p, 0, 1)
    if top_p == 0:
        raise InvalidInput(f"top_p is {top_p}; pass a number above 0, up to 1")
    check_texts("stop", stop, allow_blank=True)
    if not all(stop):
        raise InvalidInput(f"stop is {stop!r}; pass a list of non-empty strings")
