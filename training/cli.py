"""`halluc train`: one configuration file a run. The `halluc` command finds this group through its entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc.cli.output import Json, console, print_json

__all__ = ["app"]

app = typer.Typer(help="Train a verifier, or a model to be factual.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train a verifier, or a model to be factual."""


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


@app.command("dpo")
def dpo(
    config: Annotated[Path, typer.Argument(help="YAML file with the settings of training.dpo_run.DPORun.")],
    set_: Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")] = [],  # noqa: B006
    json_: Json = False,
) -> None:
    """Train a model by DPO with a factuality margin, on preference pairs."""
    from training.config import load_config
    from training.dpo_run import DPORun, run_dpo

    facts = _run(run_dpo, load_config(DPORun, config, set_))
    if json_ or not sys.stdout.isatty():
        print_json(facts)
    else:
        console().print(f"{facts['pairs']} pairs, {facts['steps']} steps, {facts['seconds']} s: {facts['model']}")


@app.command("grpo")
def grpo(
    config: Annotated[Path, typer.Argument(help="YAML file with the settings of training.grpo_run.GRPORun.")],
    set_: Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")] = [],  # noqa: B006
    json_: Json = False,
) -> None:
    """Train a model by GRPO with a factuality reward, on prompts."""
    from training.config import load_config
    from training.grpo_run import GRPORun, run_grpo

    facts = _run(run_grpo, load_config(GRPORun, config, set_))
    if json_ or not sys.stdout.isatty():
        print_json(facts)
    else:
        console().print(f"{facts['prompts']} prompts, {facts['steps']} steps, {facts['seconds']} s: {facts['model']}")


def _run(run: Callable[[Any], dict[str, Any]], config: Any) -> dict[str, Any]:
    """The facts of a run; what TRL prints meanwhile goes to standard error, so that standard output is the result alone."""
    with redirect_stdout(sys.stderr):
        return run(config)
