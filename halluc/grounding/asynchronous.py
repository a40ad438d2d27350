"""The methods of a grounded model for asyncio: each runs in a thread, so that the event loop goes on.

Not covered: what they do (grounded_model.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from halluc.answers import Answer
    from halluc.grounding.conversation import ChatReply
    from halluc.grounding.sentence_gate import CheckedSentence
    from halluc.models.language_model import ChatMessage, Prompt

__all__ = ["AsyncTwins", "iterate_in_thread"]

T = TypeVar("T")


class AsyncTwins:
    """Twins of `ask`, `batch`, `chat` and `stream` that do not block an event loop."""

    async def ask_async(self, question: str) -> Answer:
        """Answer one question; see `ask`."""
        return await asyncio.to_thread(self.ask, question)  # type: ignore[attr-defined]

    async def batch_async(self, questions: Sequence[str]) -> list[Answer]:
        """Answer questions; see `batch`."""
        return await asyncio.to_thread(self.batch, questions)  # type: ignore[attr-defined]

    async def chat_async(self, messages: Sequence[ChatMessage], **options: Any) -> ChatReply:
        """Answer the last question of a conversation; see `chat`."""
        return await asyncio.to_thread(self.chat, messages, **options)  # type: ignore[attr-defined]

    async def stream_async(self, prompt: Prompt, **options: Any) -> AsyncIterator[str | CheckedSentence | Answer]:
        """Yield the text of an answer in pieces, then the `Answer`; see `stream`. Closing the iterator ends the work."""
        async for piece in iterate_in_thread(self.stream(prompt, **options)):  # type: ignore[attr-defined]
            yield piece


async def iterate_in_thread(pieces: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield what an iterator yields, each computed in a thread when it is awaited; closing it closes the iterator."""
    end = object()
    step: asyncio.Task[Any] | None = None
    try:
        while True:
            step = asyncio.create_task(asyncio.to_thread(next, pieces, end))
            piece = await asyncio.shield(step)
            if piece is end:
                return
            yield piece
    finally:
        # A generator cannot be closed while it runs: wait for the step under way.
        if step is not None and not step.done():
            await asyncio.wait({step})
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
