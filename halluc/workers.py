"""Work on batches in several processes: on this machine, or on the Ray cluster that RAY_ADDRESS names.

Each worker loads what it needs once, and batches go to whichever worker is free. Results come in the order of the batches. A
batch whose worker dies is done again by another one. Needs the extra `ray` for more than one worker. Not covered: what the
work is (verification/check_file.py, for example), and several GPUs in training (accelerate).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from halluc.errors import HallucError, InvalidInput, check_integer, needs_extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retrieval import Embedder

__all__ = ["ParallelEmbedder", "Workers", "WorkersFailed", "batch_mapper", "check_workers", "start_workers"]

BatchT = TypeVar("BatchT")
ResultT = TypeVar("ResultT")

# Batches per worker that wait for the result of an earlier batch; more would only fill the memory.
_WAITING = 4
# Memory for batches and results in transit on this machine, in bytes.
_STORE_BYTES = 200_000_000
# How often a worker that died is started again, and its batch repeated.
_RESTARTS = 3


def check_workers(count: int) -> None:
    """Check, before any work is done, that several workers can be started if several are wanted.

    Raises:
        MissingExtra: Ray is not installed.
    """
    if count > 1:
        with needs_extra("ray"):
            import ray  # noqa: F401


class WorkersFailed(HallucError):
    """Workers cannot be started, or keep dying."""


class Workers(Generic[BatchT, ResultT]):
    """Running workers; made by `start_workers`."""

    def __init__(self, ray: Any, actors: Sequence[Any]) -> None:
        self._ray, self._actors = ray, actors

    def map(self, batches: Iterable[BatchT]) -> Iterator[ResultT]:
        """Yield the result of each batch, in order; batches are taken as workers become free.

        Raises:
            WorkersFailed: a worker died several times.
            Exception: what the work raised.
        """
        idle, ordered, running = deque(self._actors), deque[Any](), dict[Any, Any]()
        for batch in batches:
            while not idle or len(ordered) >= _WAITING * len(self._actors):
                self._release(running, idle)
                while ordered and ordered[0] not in running:
                    yield self._result(ordered.popleft())
            actor = idle.popleft()
            reference = actor.work.remote(batch)
            ordered.append(reference)
            running[reference] = actor
        while ordered:
            yield self._result(ordered.popleft())

    def _release(self, running: dict[Any, Any], idle: deque[Any]) -> None:
        """Wait until a worker is free, if one is busy."""
        if running:
            for reference in self._ray.wait(list(running), num_returns=1)[0]:
                idle.append(running.pop(reference))

    def _result(self, reference: Any) -> ResultT:
        try:
            result: ResultT = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            raise WorkersFailed(
                f"a worker died {_RESTARTS + 1} times ({_last_line(error)}); use fewer workers if memory is short"
            ) from error
        return result


@contextmanager
def start_workers(count: int, load: Callable[[], Callable[[BatchT], ResultT]]) -> Iterator[Workers[BatchT, ResultT]]:
    """Start workers, and stop them when the block ends.

    Args:
        count: number of workers, at least 1; each takes one CPU core, and loads models of its own.
        load: called once in each worker, returns the function from a batch to its result. It is pickled, as are batches and
            results; on a cluster, the files that it reads must be on every machine.

    Raises:
        InvalidInput: `count` is below 1, or more than the CPU cores of this machine, without a cluster.
        MissingExtra: Ray is not installed.
        WorkersFailed: the cluster cannot be reached.
    """
    check_integer("the number of workers", count, 1)
    with needs_extra("ray"):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # By default Ray lets workers run only when nothing else does.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Ray says this of a future version at each start.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
    started = not ray.is_initialized()
    if started:
        _connect(ray, count)
    actors = []
    try:
        worker = ray.remote(num_cpus=1, max_restarts=_RESTARTS, max_task_retries=_RESTARTS)(_Worker)
        actors = [worker.remote(load) for _ in range(count)]
        yield Workers(ray, actors)
    finally:
        for actor in actors:
            ray.kill(actor)
        if started:
            ray.shutdown()


@contextmanager
def batch_mapper(
    work: Callable[[BatchT], ResultT], workers: int = 1, load: Callable[[], Callable[[BatchT], ResultT]] | None = None
) -> Iterator[Callable[[Iterable[BatchT]], Iterator[ResultT]]]:
    """Give a function that does some work on batches, in order, in this process or in several while the block runs.

    Args:
        work: from a batch to its result, in this process.
        workers: number of processes.
        load: with several workers, returns that function in each of them (see `start_workers`); None for this process.

    Raises:
        MissingExtra, WorkersFailed: as `start_workers`.
    """
    if workers == 1 or load is None:
        yield partial(map, work)
        return
    with start_workers(workers, load) as running:
        yield running.map


class ParallelEmbedder:
    """An embedder whose `encode` shares texts among workers.

    Args:
        embedder: loaded here, for everything else.
        workers: from `start_workers`, with `embedder.encode` as their work on a list of texts.
    """

    def __init__(self, embedder: Embedder, workers: Workers[list[str], NDArray[np.float32]]) -> None:
        self._embedder, self._workers = embedder, workers
        self.name = embedder.name

    @property
    def dimension(self) -> int:
        """See `Embedder`."""
        return self._embedder.dimension

    @property
    def fingerprint(self) -> str:
        """See `Embedder`."""
        return self._embedder.fingerprint

    @property
    def max_tokens(self) -> int:
        """See `Embedder`."""
        return self._embedder.max_tokens

    def token_offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """See `Embedder`."""
        return self._embedder.token_offsets(texts)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        import numpy as np

        if len(texts) <= _TEXTS:
            return self._embedder.encode(texts)
        batches = (list(texts[start : start + _TEXTS]) for start in range(0, len(texts), _TEXTS))
        return np.concatenate(list(self._workers.map(batches)))


# Texts that a worker embeds at a time.
_TEXTS = 256


class _Worker:
    """The process of one worker."""

    def __init__(self, load: Callable[[], Callable[[Any], Any]]) -> None:
        self._work = load()

    def work(self, batch: Any) -> Any:
        return self._work(batch)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _connect(ray: Any, count: int) -> None:
    import logging

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        cores = os.cpu_count() or 1
        # Two can be tried on any machine.
        if count > max(2, cores):
            raise InvalidInput(
                f"the number of workers is {count}, but this machine has {cores} CPU cores; pass at most one worker each, "
                "or name a Ray cluster in RAY_ADDRESS"
            )
        options |= {"num_cpus": count, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:
        where = f"the Ray cluster at {address} (RAY_ADDRESS)" if address else "Ray on this machine"
        raise WorkersFailed(
            f"{where} cannot be used: {_last_line(error)}; start it with 'ray start', or unset RAY_ADDRESS"
        ) from error
