"""Printing for all commands: JSON for programs, rich text for people, notices on standard error, and a spinner.

Every command prints through this module. Whatever it prints may come from somebody else: a passage, a model's answer, a
title, a file name. Text is therefore never read as markup, and control characters, with which it could retitle the terminal,
write to the clipboard or clear the screen, are shown as visible characters.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from halluc.answers import Claim, Label

__all__ = [
    "LABEL_STYLES",
    "Json",
    "accept_any_text",
    "console",
    "print_json",
    "print_json_lines",
    "print_notice",
    "to_json",
    "visible",
    "wants_json",
    "working",
]

Json = Annotated[
    bool | None,
    typer.Option("--json/--no-json", help="Print JSON, or text. By default JSON if standard output is not a terminal."),
]

LABEL_STYLES: dict[Label, str] = {"supported": "green", "refuted": "red", "not_enough_info": "yellow"}
"""Color of each label on a terminal; `halluc.answers.LABEL_NAMES` has the words."""

# Control characters of ASCII have pictures in Unicode (U+2400 to U+2421). Those of Latin-1, some of which terminals obey
# too, have none, and half a surrogate pair cannot be written at all. Tab and line feed stay.
_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000)), 0xFFFD),
}
# JSON escapes the control characters of ASCII by itself, but not these.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\ud800-\udfff]")


def wants_json(json_: bool | None) -> bool:
    """Whether to print JSON: as the option says, and by default if standard output is not a terminal."""
    return not sys.stdout.isatty() if json_ is None else json_


def accept_any_text() -> None:
    """Make standard output and error replace characters that their encoding lacks; by default they raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def visible(text: str) -> str:
    """Replace every character that a terminal would obey, or that cannot be written, with one that can be seen."""
    return text.translate(_PICTURES)


def console(*, stderr: bool = False) -> Console:
    """A rich console for text of unknown origin; it does not cut long lines when it writes to a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    rich_console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty())
    rich_console.push_render_hook(_visible_text())
    return rich_console


def print_json(value: Any) -> None:
    """Print one JSON value on standard output, indented on a terminal and on one line elsewhere."""
    print(to_json(value, indent=2 if sys.stdout.isatty() else None, ascii_only=not _prints_utf8()))


def to_json(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Encode a value as JSON that is valid and safe to show on a terminal; a number that is not finite becomes null."""
    text = json.dumps(_finite(value), ensure_ascii=ascii_only, allow_nan=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json_lines(values: Iterable[Any]) -> None:
    """Print one JSON value per line on standard output."""
    for value in values:
        print(to_json(value, ascii_only=not _prints_utf8()))


def print_unchecked(claims: Iterable[Claim]) -> None:
    """Print the parts of an answer that were not checked, for a person."""
    for claim in claims:
        console().print(f"not checked: {' '.join(claim.text.split())}", style="dim")


def print_notice(sentence: object) -> None:
    """Print one line on standard error, after the name of the program."""
    print("halluc:", visible(" ".join(str(sentence).split())), file=sys.stderr)


@contextmanager
def working(activity: str) -> Iterator[None]:
    """Show a spinner on standard error while the block runs, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.text import Text

    # A spinner is drawn past the hooks of the console.
    with console(stderr=True).status(Text(visible(activity))):
        yield


def _prints_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _visible_text() -> Any:
    """A render hook: whatever is printed, strings, tables or a spinner, only rich's own control codes are passed on."""
    from rich.console import ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    class VisibleText:
        def __init__(self, renderable: ConsoleRenderable) -> None:
            self.renderable = renderable

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self.renderable, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    class VisibleTextHook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [VisibleText(renderable) for renderable in renderables]

    return VisibleTextHook()
