"""Options that several commands have, and what their values name.

Not here: options of one command, which stand in its signature, and --json (output.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier

__all__ = ["CalibratorFile", "Judge", "ModelName", "Retrieved", "load_judge"]

ModelName = Annotated[
    str, typer.Option("--model", "-m", help="'default', a folder, a hub id, or http://host:port/v1#model.")
]
Judge = Annotated[
    str,
    typer.Option(
        "--verifier", help="What judges the claims: 'default', 'lm', a folder or a hub id; 'none' for no verdicts."
    ),
]
CalibratorFile = Annotated[
    Path | None,
    typer.Option("--calibrator", help="What halluc.calibrate saved for this model: calibrated confidence, and abstention."),
]
Retrieved = Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to retrieve.")]


def load_judge(name: str, lm: LanguageModel) -> Verifier | None:
    """The verifier that a `Judge` names; "lm" asks `lm`, "none" is None."""
    from halluc.verification import load_verifier

    return None if name == "none" else load_verifier(name, lm=lm if name == "lm" else None)
