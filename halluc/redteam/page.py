"""A red-team run as one self-contained HTML page of its transcripts; all text is escaped, control characters are visible."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halluc.evaluation.figures import Difference
from halluc.files import write_text
from halluc.page_template import page_template
from halluc.redteam.run import RedTeamRun

__all__ = ["transcripts_page", "write_transcripts_page"]


def transcripts_page(run: RedTeamRun, differences: Sequence[Difference] = ()) -> str:
    """Render a run, and its differences from an earlier run if there is one."""
    return page_template("halluc.redteam", "transcripts.html.jinja").render(
        run=run, changes={change.name: change for change in differences}, visible=_visible
    )


def write_transcripts_page(path: Path, run: RedTeamRun, differences: Sequence[Difference] = ()) -> None:
    """Render a run and write the page atomically; see `transcripts_page`.

    Raises:
        InvalidInput: the file cannot be written.
    """
    write_text(path, transcripts_page(run, differences))


def _visible(text: str) -> str:
    """Show characters that a browser does not: an attack may be made of them."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"[U+{ord(character):04X}]" for character in text
    )
