"""A progress bar for long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

_QUIET_SECONDS = 2.0


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while the block runs, on a terminal only, and only once two seconds have passed.

    Args:
        what: shown before the bar.
        total: units of work.

    Yields:
        A function to call with the units done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total)
    begin = time.monotonic()

    def advance(done: int) -> None:
        bar.advance(task, done)
        if time.monotonic() - begin > _QUIET_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()
