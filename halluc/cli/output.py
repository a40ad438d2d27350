"""What every subcommand prints with: JSON for machines, rich for people, a spinner for work that takes a while."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Json", "console", "print_json", "working"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON; the default when standard output is not a terminal.")]


def console(*, stderr: bool = False) -> Console:
    """A rich console that does not cut long lines when it writes to a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, soft_wrap=not stream.isatty())


def print_json(value: Any) -> None:
    """One JSON value on standard output, indented on a terminal and on one line elsewhere."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on standard error while the block runs, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(what):
        yield
