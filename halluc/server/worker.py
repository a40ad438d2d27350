"""One thread that does all the model's work, so that concurrent requests are safe, and takes what waits as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from halluc.errors import HallucError
from retrieval.errors import RetrievalError

__all__ = ["TooManyWaiting", "Worker"]

T = TypeVar("T")


class TooManyWaiting(Exception):
    """More requests wait than the server holds; never leaves the server, which answers with status 429."""


@dataclass(frozen=True)
class _Job:
    key: Hashable
    work: Callable[[list[Any]], Sequence[Any]]
    item: Any
    done: asyncio.Future[Any]


class Worker:
    """Runs jobs one after the other in a thread of its own; belongs to one event loop.

    Args:
        most_together: jobs taken as one batch.
        most_waiting: jobs that may wait; further ones are refused.
    """

    def __init__(self, *, most_together: int = 16, most_waiting: int = 128) -> None:
        self.most_together, self.most_waiting = most_together, most_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="halluc-worker")
        self._waiting: list[_Job] = []
        self._streams = 0
        self._runner: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Jobs that have not begun, and streams that have not ended."""
        return len(self._waiting) + self._streams

    async def run(self, key: Hashable, work: Callable[[list[Any]], Sequence[T]], item: Any) -> T:
        """The result of `item`; `work` gets it in a list with what else waits under the same key, and gives one result each.

        Raises:
            TooManyWaiting: nothing was begun.
        """
        self._check_room()
        job = _Job(key, work, item, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_waiting())
        result: T = await job.done
        return result

    async def stream(self, pieces: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """What the iterator yields in the thread, as it comes; it is read to its end even if no one listens any more.

        Raises:
            TooManyWaiting: nothing was begun.
        """
        self._check_room()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        def work() -> None:
            # The model would go on generating anyway; the next job must not begin beside it.
            for piece in pieces():
                loop.call_soon_threadsafe(queue.put_nowait, (False, piece))

        def ended(future: asyncio.Future[None]) -> None:
            self._streams -= 1
            queue.put_nowait((True, future.exception()))

        self._streams += 1
        loop.run_in_executor(self._thread, work).add_done_callback(ended)
        while True:
            last, value = await queue.get()
            if last:
                if value is not None:
                    raise value
                return
            yield value

    def close(self) -> None:
        """Wait for what is under way, and end the thread."""
        self._thread.shutdown(wait=True)

    def _check_room(self) -> None:
        if self.waiting >= self.most_waiting:
            raise TooManyWaiting(f"{self.waiting} requests wait already; try again later")

    async def _run_waiting(self) -> None:
        while self._waiting:
            key = self._waiting[0].key
            batch = [job for job in self._waiting if job.key == key][: self.most_together]
            self._waiting = [job for job in self._waiting if job not in batch]
            await self._run_batch(batch)

    async def _run_batch(self, batch: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, batch[0].work, [job.item for job in batch])
        except Exception as error:
            if len(batch) > 1 and isinstance(error, HallucError | RetrievalError):
                # One that cannot be answered must not take the others with it.
                for job in batch:
                    await self._run_batch([job])
                return
            for job in batch:
                if not job.done.done():
                    job.done.set_exception(error)
            return
        for job, result in zip(batch, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)
