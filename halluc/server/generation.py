"""Generation for many requests at once: all completions of a transformers model share one continuous batch.

A request whose reader goes away leaves the batch with the next token. Other language models (endpoints) generate in a thread
per request. Not covered: the batch itself (halluc/models/continuous_batch.py), and what is generated (chat.py).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from halluc.grounding.asynchronous import iterate_in_thread
from halluc.models.language_model import Generation, Prompt
from halluc.server.worker import QueueFull, post

if TYPE_CHECKING:
    from halluc.models.completion import Completion
    from halluc.models.language_model import LanguageModel

__all__ = ["BatchedGenerator", "Generator", "TextStream", "ThreadedGenerator", "generator_for"]

logger = logging.getLogger(__name__)

# Requests that arrive together are computed together: a batch that was idle waits this long, in seconds, for others.
_GATHER = 0.004


class TextStream:
    """The text of one completion in pieces, and then its `Generation`; close it, or read it to its end.

    Attributes:
        prompt_tokens: tokens of the prompt; 0 until the first piece.
    """

    def __init__(self, pieces: AsyncIterator[str | Generation]) -> None:
        self.prompt_tokens = 0
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[str | Generation]:
        return self._pieces

    async def aclose(self) -> None:
        """End the generation if it has not ended."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


class Generator(Protocol):
    """Generates for a server."""

    @property
    def running(self) -> int:
        """Number of completions that have not ended."""

    def stream(self, prompt: Prompt, **options: Any) -> TextStream:
        """Begin a completion when the stream is first read; for the options see `LanguageModel.stream`.

        Raises:
            QueueFull: too many completions are waiting; with the first piece.
        """

    def close(self, timeout: float | None = None) -> bool:
        """End all completions; returns whether the work ended within the seconds of `timeout`."""


def generator_for(lm: LanguageModel, *, max_rows: int, max_queue: int) -> Generator:
    """Make the generator that suits a model."""
    from halluc.models.balanced_endpoints import BalancedEndpoints
    from halluc.models.endpoint import EndpointModel
    from halluc.models.transformers_model import TransformersModel

    if isinstance(lm, TransformersModel):
        return BatchedGenerator(lm, max_rows=max_rows, max_queue=max_queue)
    # Another model may not be safe to use from several threads.
    return ThreadedGenerator(
        lm, max_rows=max_rows if isinstance(lm, EndpointModel | BalancedEndpoints) else 1, max_queue=max_queue
    )


class BatchedGenerator:
    """Generates with a transformers model, all completions in one `ContinuousBatch`, in a thread of its own.

    Args:
        lm: a `TransformersModel`.
        max_rows: maximum number of completions that are worked on together.
        max_queue: maximum number of further ones that wait.
    """

    def __init__(self, lm: Any, *, max_rows: int = 32, max_queue: int = 128) -> None:
        from halluc.models.continuous_batch import ContinuousBatch

        self._places = _Places(max_rows + max_queue)
        self._batch = ContinuousBatch(lm, max_rows=max_rows)
        self._new: list[_Entry] = []
        self._entries: dict[Completion, _Entry] = {}
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="halluc-generator", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Number of completions that have not ended."""
        return self._places.taken

    def stream(self, prompt: Prompt, **options: Any) -> TextStream:
        """Begin a completion when the stream is first read; see `Generator`."""

        async def pieces() -> AsyncIterator[str | Generation]:
            with self._places.take():
                entry = _Entry(prompt, options)
                try:
                    with self._condition:
                        self._new.append(entry)
                        self._condition.notify()
                    while True:
                        piece = await entry.received.get()
                        stream.prompt_tokens = entry.prompt_tokens
                        if isinstance(piece, Exception):
                            raise piece
                        yield piece
                        if isinstance(piece, Generation):
                            return
                finally:
                    entry.left = True

        stream = TextStream(pieces())
        return stream

    def close(self, timeout: float | None = None) -> bool:
        """End all completions; returns whether the work ended within the seconds of `timeout`."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._condition:
                idle = not self._entries
                while not (self._new or self._entries or self._closed):
                    self._condition.wait()
                if self._closed:
                    return
            if idle:
                time.sleep(_GATHER)
            try:
                self._advance()
            except Exception as error:
                logger.exception("the generator failed")
                for completion, entry in list(self._entries.items()):
                    self._batch.remove(completion)
                    entry.put(error)
                self._entries.clear()

    def _advance(self) -> None:
        """Take in and drop completions, and compute one token of each."""
        with self._condition:
            new, self._new = self._new, []
        for entry in new:
            if entry.left:
                continue
            try:
                completion = self._batch.add(entry.prompt, **entry.options)
            except Exception as error:
                entry.put(error)
                continue
            entry.prompt_tokens = len(completion.prompt_ids)
            self._entries[completion] = entry
        for completion, entry in list(self._entries.items()):
            if entry.left:
                self._batch.remove(completion)
                del self._entries[completion]
        for completion in self._batch.step():
            receiver = self._entries.get(completion)
            if receiver is None:
                continue
            if completion.error is not None:
                receiver.put(completion.error)
            elif piece := completion.take_text():
                receiver.put(piece)
            if completion.generation is not None:
                receiver.put(completion.generation)
            if completion.ended:
                del self._entries[completion]


class _Entry:
    """A request to the thread, and what it sends back to the event loop."""

    def __init__(self, prompt: Prompt, options: dict[str, Any]) -> None:
        self.prompt, self.options = prompt, options
        self.received: asyncio.Queue[str | Generation | Exception] = asyncio.Queue()
        self.prompt_tokens = 0
        self.left = False
        self._loop = asyncio.get_running_loop()

    def put(self, piece: str | Generation | Exception) -> None:
        post(self._loop, self.received.put_nowait, piece)


class ThreadedGenerator:
    """Generates with any language model, each completion in a thread; see `BatchedGenerator` for the arguments."""

    def __init__(self, lm: LanguageModel, *, max_rows: int = 8, max_queue: int = 128) -> None:
        self._places = _Places(max_rows + max_queue)
        self._lm = lm
        self._slots = asyncio.Semaphore(max_rows)

    @property
    def running(self) -> int:
        """Number of completions that have not ended."""
        return self._places.taken

    def stream(self, prompt: Prompt, **options: Any) -> TextStream:
        """Begin a completion when the stream is first read; see `Generator`."""

        async def pieces() -> AsyncIterator[str | Generation]:
            with self._places.take():
                async with self._slots:
                    stream.prompt_tokens = await asyncio.to_thread(self._lm.count_tokens, prompt)
                    source = iterate_in_thread(self._lm.stream(prompt, **options))
                    try:
                        async for piece in source:
                            yield piece
                    finally:
                        await source.aclose()

        stream = TextStream(pieces())
        return stream

    def close(self, timeout: float | None = None) -> bool:
        """Completions end when their readers close them, each with its next piece."""
        return self.running == 0


class _Places:
    """Places for completions that run or wait; used from the event loop alone.

    Attributes:
        taken: number of places that are taken.
    """

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            QueueFull: all are taken.
        """
        if self.taken >= self.count:
            raise QueueFull(f"{self.taken} completions are running or waiting already; try again later")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
