"""One thread that runs the model for all requests, and batches the requests that wait.

Not covered: what the requests are (app.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["QueueFull", "Worker"]

T = TypeVar("T")


class QueueFull(Exception):
    """More requests wait than the queue holds; the server answers it with status 429."""


@dataclass(frozen=True, eq=False)
class _Job:
    key: Hashable
    work: Callable[[list[Any]], Sequence[Any]]
    item: Any
    done: asyncio.Future[Any]


class Worker:
    """Runs jobs one after another in its own thread; belongs to one event loop.

    Args:
        max_batch: maximum number of jobs per batch.
        max_queue: maximum number of waiting jobs; further ones are refused.
    """

    def __init__(self, *, max_batch: int = 16, max_queue: int = 128) -> None:
        self.max_batch, self.max_queue = max_batch, max_queue
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="halluc-worker")
        self._queue: list[_Job] = []
        self._streams = 0
        self._runner: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of jobs that have not begun and streams that have not ended."""
        return len(self._queue) + self._streams

    async def run(self, key: Hashable, work: Callable[[list[Any]], Sequence[T]], item: Any) -> T:
        """Run `work` on the item in the thread, in one batch with the waiting items of the same key.

        If a batch raises, each of its items is run again on its own, so that only the one at fault fails.

        Args:
            key: what jobs of one batch have in common.
            work: takes a list of items and returns one result per item.
            item: what to work on.

        Returns:
            The item's result.

        Raises:
            QueueFull: the queue is full; nothing was begun.
            Exception: what `work` raised for this item.
        """
        self._check_room()
        job = _Job(key, work, item, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_queue())
        result: T = await job.done
        return result

    async def stream(self, pieces: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """Yield what the iterator yields in the thread; it is read to its end even if nobody listens any more.

        Raises:
            QueueFull: the queue is full; nothing was begun.
            Exception: what the iterator raised.
        """
        self._check_room()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        def work() -> None:
            # The model would keep generating anyway, and the next job must not begin meanwhile.
            for piece in pieces():
                loop.call_soon_threadsafe(queue.put_nowait, (False, piece))

        def ended(future: asyncio.Future[None]) -> None:
            self._streams -= 1
            queue.put_nowait((True, future.exception()))

        self._streams += 1
        loop.run_in_executor(self._thread, work).add_done_callback(ended)
        while True:
            is_end, value = await queue.get()
            if is_end:
                if value is not None:
                    raise value
                return
            yield value

    def close(self) -> None:
        """Wait for the running job, and end the thread."""
        self._thread.shutdown(wait=True)

    def _check_room(self) -> None:
        if self.waiting >= self.max_queue:
            raise QueueFull(f"{self.waiting} requests are waiting already; try again later")

    async def _run_queue(self) -> None:
        while self._queue:
            key = self._queue[0].key
            batch = [job for job in self._queue if job.key == key][: self.max_batch]
            self._queue = [job for job in self._queue if job not in batch]
            await self._run_batch(batch)

    async def _run_batch(self, batch: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, batch[0].work, [job.item for job in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"a batch of {len(batch)} requests got {len(results)} results")
        except Exception as error:
            if len(batch) > 1:
                # One request that cannot be answered must not fail the others.
                for job in batch:
                    await self._run_batch([job])
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        for job, result in zip(batch, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)
