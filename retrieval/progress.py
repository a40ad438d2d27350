"""The progress bar of all long work, in retrieval, halluc and training; the bars of transformers are hidden."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["no_transformers_bars", "progress_bar"]

_QUIET_SECONDS = 2.0


@contextmanager
def progress_bar(activity: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while the block runs, on a terminal only, and only once two seconds have passed.

    Args:
        activity: shown before the bar ("embedding").
        total: number of units of work.

    Yields:
        A function to call with the number of units done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda _units: None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(activity, total=total)
    start = time.monotonic()

    def advance(units: int) -> None:
        bar.advance(task, units)
        if time.monotonic() - start > _QUIET_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


@contextmanager
def no_transformers_bars() -> Iterator[None]:
    """Hide the bars that transformers shows, with any length and without a terminal, while the block loads a model."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
