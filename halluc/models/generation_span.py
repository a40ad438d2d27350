"""The span of OpenTelemetry around the generation of a model, named by OpenTelemetry's conventions for generative models.

Not covered: spans of other work (retrieval/tracing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from retrieval.tracing import span, start_span

if TYPE_CHECKING:
    from halluc.models.language_model import Generation, Prompt

__all__ = ["start_generation_span", "traced_generation"]

GenerateT = TypeVar("GenerateT", bound=Callable[..., Any])


def traced_generation(generate: GenerateT) -> GenerateT:
    """Put the method `generate` of a model into a span."""

    @wraps(generate)
    def traced(self: Any, prompts: Sequence[Prompt], **options: Any) -> list[list[Generation]]:
        with span(*_described(self.name)) as current:
            completions: list[list[Generation]] = generate(self, prompts, **options)
            if current is not None:
                tokens = sum(len(generation.token_logprobs) for row in completions for generation in row)
                current.set_attribute("gen_ai.usage.output_tokens", tokens)
        return completions

    return cast(GenerateT, traced)


def start_generation_span(model: str) -> Any:
    """Start the span of a generation, which the caller ends; None without OpenTelemetry."""
    return start_span(*_described(model))


def _described(model: str) -> tuple[str, dict[str, str]]:
    return f"chat {model}", {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
