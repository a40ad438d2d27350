"""One thread for the work between tokens (search, verdicts), which batches the requests that wait for it.

Not covered: what the requests are (chat.py, checks.py), and the thread that generates (generation.py).
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["QueueFull", "Worker", "post"]

T = TypeVar("T")

# Requests that arrive together are worked on together: an urgent job waits until no further one has come for this long, but
# not longer than the second number, in seconds.
_GATHER, _LONGEST_GATHER = 0.004, 0.02


class QueueFull(Exception):
    """More requests wait than the queue holds; the server answers it with status 429."""


@dataclass(frozen=True, eq=False)
class _Job:
    key: Hashable
    work: Callable[[list[Any]], Sequence[Any]]
    item: Any
    done: asyncio.Future[Any]
    context: contextvars.Context
    urgent: bool


class Worker:
    """Runs jobs one after another in its own thread; belongs to one event loop.

    The thread does not keep the process alive: a job that takes longer than a shutdown may is abandoned.

    Args:
        max_batch: maximum number of jobs per batch.
        max_queue: maximum number of waiting jobs; further ones are refused.
    """

    def __init__(self, *, max_batch: int = 16, max_queue: int = 128) -> None:
        self.max_batch, self.max_queue = max_batch, max_queue
        self._queue: list[_Job] = []
        self._runner: asyncio.Task[None] | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run_calls, name="halluc-worker", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of jobs that have not begun."""
        return len(self._queue)

    async def run(self, key: Hashable, work: Callable[[list[Any]], Sequence[T]], item: Any, *, urgent: bool = False) -> T:
        """Run `work` on the item in the thread, in one batch with the waiting items of the same key.

        If a batch raises, each of its items is run again on its own, so that only the one at fault fails. A job whose
        request is cancelled before it began is not run.

        Args:
            key: what jobs of one batch have in common.
            work: takes a list of items and returns one result per item.
            item: what to work on.
            urgent: whether a reply has not begun before this is done; such jobs come before others.

        Returns:
            The item's result.

        Raises:
            QueueFull: the queue is full; nothing was begun.
            Exception: what `work` raised for this item.
        """
        if len(self._queue) >= self.max_queue:
            raise QueueFull(f"{len(self._queue)} requests are waiting already; try again later")
        job = _Job(key, work, item, asyncio.get_running_loop().create_future(), contextvars.copy_context(), urgent)
        self._queue.append(job)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_queue())
        result: T = await job.done
        return result

    def close(self, timeout: float | None = None) -> bool:
        """End the thread after the running job; returns whether it ended within the seconds of `timeout`."""
        self._calls.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    async def _run_queue(self) -> None:
        while self._queue:
            await self._gather()
            key = next((job.key for job in self._queue if job.urgent), self._queue[0].key)
            batch = [job for job in self._queue if job.key == key][: self.max_batch]
            self._queue = [job for job in self._queue if job not in batch]
            await self._run_batch(batch)

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST_GATHER
        urgent = 0
        while urgent < (urgent := sum(job.urgent for job in self._queue)) < self.max_batch and loop.time() < end:
            await asyncio.sleep(_GATHER)

    async def _run_batch(self, batch: list[_Job]) -> None:
        batch = [job for job in batch if not job.done.done()]
        if not batch:
            return
        try:
            # The spans of a batch belong to the trace of its first request.
            results = await self._in_thread(lambda: batch[0].context.run(batch[0].work, [job.item for job in batch]))
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

    async def _in_thread(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
            if not future.done():
                set_outcome(outcome)

        def run() -> None:
            try:
                outcome: tuple[Callable[[Any], None], Any] = (future.set_result, call())
            except BaseException as error:
                outcome = (future.set_exception, error)
            post(loop, settle, *outcome)

        self._calls.put(run)
        return await future

    def _run_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., Any], *arguments: Any) -> None:
    """Run a callback in an event loop from another thread; nothing happens if the loop has ended."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
