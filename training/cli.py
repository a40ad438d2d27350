"""`halluc train`: one configuration file a run. The `halluc` command finds this group through its entry point."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.output import Json, console, print_json, wants_json
from training.evaluate_command import evaluate
from training.pairs_command import pairs

__all__ = ["app"]

app = typer.Typer(help="Train a verifier, or a model to be factual.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="YAML file with the settings of the run; see examples/training.")]
Set = Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")]


@app.callback()
def _train() -> None:
    """Train a verifier, or a model to be factual."""


@app.command("verifier")
def verifier(
    config: Config,
    data: Annotated[Path, typer.Option("--data", help="Folder with the data sets.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the verifier to; new or empty.")],
    set_: Set = [],  # noqa: B006
    json_: Json = None,
) -> None:
    """Train, calibrate and save a verifier; use it with --verifier FOLDER or halluc.load_verifier(FOLDER)."""
    from training.runs.config import load_config
    from training.verifier.train import VerifierConfig, train_verifier

    facts = train_verifier(load_config(VerifierConfig, config, set_), data, out)
    if wants_json(json_):
        print_json({"verifier": str(out), **facts})
    else:
        console().print(f"{facts['training_pairs']} pairs, {facts['training_seconds']} s: {out}")


# Each is training/NAME_run.py with a function run_NAME.
_RUNS = (
    ("sft", "SFTRun", "Fine-tune a model on answers, and on abstentions where it does not know"),
    ("reward", "RewardRun", "Train a reward model on preference pairs, with a factuality head if asked"),
    ("dpo", "DPORun", "Train a model by DPO with a factuality margin, on preference pairs"),
    ("kto", "KTORun", "Train a model by KTO on completions that are factual or not"),
    ("orpo", "ORPORun", "Train a model by ORPO on preference pairs, without a reference model"),
    ("grpo", "GRPORun", "Train a model by GRPO with a factuality reward, on prompts"),
    ("rloo", "RLOORun", "Train a model by RLOO with a factuality reward, on prompts"),
)


def _add_run(name: str, settings: str, what: str) -> None:
    @app.command(name, help=f"{what} (training.{name}_run.{settings}).")
    def command(config: Config, set_: Set = [], json_: Json = None) -> None:  # noqa: B006
        _run(name, settings, config, set_, json_)


for _own in _RUNS:
    _add_run(*_own)
app.command("pairs")(pairs)
app.command("evaluate")(evaluate)


def _run(name: str, settings: str, config: Path, set_: list[str], json_: bool | None) -> None:
    """The run of training/NAME_run.py; what TRL prints goes to standard error, standard output is the result alone."""
    from training.runs.config import load_config

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        # What TRL still calls by the older names of transformers is no business of the user's.
        warnings.simplefilter("ignore", FutureWarning)
        module = import_module(f"training.runs.{name}" if name in ("sft", "kto") else f"training.{name}_run")
        try:
            facts = getattr(module, f"run_{name}")(load_config(getattr(module, settings), config, set_))
        finally:
            _leave_process_group()
    if int(os.environ.get("RANK", "0")):
        # Of the processes that `accelerate launch` starts, the first alone tells the result.
        return
    if wants_json(json_):
        print_json(facts)
    else:
        rows, count = next(iter(facts.items()))
        console().print(f"{count} {rows}, {facts['steps']} steps, {facts['seconds']} s: {facts['model']}")


def _leave_process_group() -> None:
    """End the threads that join the processes of `accelerate launch`: one still running at exit can abort its process."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
