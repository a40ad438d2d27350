"""`halluc train`: one configuration file a run. The `halluc` command finds this group through its entry point."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.output import Json, console, print_json

__all__ = ["app"]

app = typer.Typer(help="Train a verifier.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train a verifier."""


@app.command("verifier")
def verifier(
    config: Annotated[Path, typer.Argument(help="YAML file with the settings of training.verifier.VerifierConfig.")],
    data: Annotated[Path, typer.Option("--data", help="Folder with the data sets.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the verifier to; new or empty.")],
    set_: Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")] = [],  # noqa: B006
    json_: Json = False,
) -> None:
    """Train, calibrate and save a verifier; use it with --verifier FOLDER or halluc.load_verifier(FOLDER)."""
    from training.config import load_config
    from training.verifier import VerifierConfig, train_verifier

    facts = train_verifier(load_config(VerifierConfig, config, set_), data, out)
    if json_ or not sys.stdout.isatty():
        print_json({"verifier": str(out), **facts})
    else:
        console().print(f"{facts['training_pairs']} pairs, {facts['training_seconds']} s: {out}")
