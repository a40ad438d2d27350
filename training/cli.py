"""`halluc train`: training runs, preference pairs and evaluation, each from one configuration file.

The `halluc` command finds this group through its entry point. Not covered: the runs themselves (training/runs).
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc.cli.options import WorkerCount
from halluc.cli.output import Json, console, print_json, wants_json, working

__all__ = ["app"]

app = typer.Typer(help="Train a verifier, a reranker, or a model to be factual.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="YAML file with the settings of the run; see examples/training.")]
Set = Annotated[list[str], typer.Option("--set", help="key=value that replaces a setting of the file.")]

# Command, module, dataclass of its settings, function, help.
_RUNS = (
    ("sft", "runs.sft", "SFTRun", "run_sft", "Fine-tune a model on answers, and on abstentions where it does not know"),
    ("reward", "runs.preference", "RewardRun", "run_reward", "Train a reward model on preference pairs"),
    (
        "dpo",
        "runs.preference",
        "DPORun",
        "run_dpo",
        "Train a model by DPO on preference pairs; a factuality margin is optional",
    ),
    ("kto", "runs.kto", "KTORun", "run_kto", "Train a model by KTO on completions labeled by their factuality"),
    (
        "orpo",
        "runs.preference",
        "ORPORun",
        "run_orpo",
        "Train a model by ORPO, without a reference model, on preference pairs",
    ),
    ("grpo", "runs.online", "GRPORun", "run_grpo", "Train a model by GRPO with a factuality reward, on prompts"),
    (
        "ppo",
        "runs.online",
        "PPORun",
        "run_ppo",
        "Train a model by PPO with a factuality reward and a value head, on prompts",
    ),
    ("rloo", "runs.online", "RLOORun", "run_rloo", "Train a model by RLOO with a factuality reward, on prompts"),
    (
        "rlaif",
        "rlaif.run",
        "RLAIFConfig",
        "run_rlaif",
        "Train a model on its own feedback by principles: revisions, preferences, reward model and PPO, GRPO, RLOO or DPO",
    ),
)


@app.callback()
def _train() -> None:
    """Train a verifier, a reranker, or a model to be factual."""


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
    from training.verifier.config import VerifierConfig
    from training.verifier.train import train_verifier

    facts = train_verifier(load_config(VerifierConfig, config, set_), data, out)
    if wants_json(json_):
        print_json({"verifier": str(out), **facts})
    else:
        console().print(f"{facts['training_pairs']} pairs, {facts['training_seconds']} s: {out}")


@app.command("reranker")
def reranker(
    config: Config,
    data: Annotated[Path, typer.Option("--data", help="Folder with the data sets.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the reranker to; new or empty.")],
    set_: Set = [],  # noqa: B006
    json_: Json = None,
) -> None:
    """Train and save a reranker; use it with PassageIndex.search(..., rerank=FOLDER). Settings: training.reranker."""
    from training.reranker import RerankerConfig, train_reranker
    from training.runs.config import load_config

    with redirect_stdout(sys.stderr):
        facts = train_reranker(load_config(RerankerConfig, config, set_), data, out)
    if wants_json(json_):
        print_json({"reranker": str(out), **facts})
    else:
        console().print(f"{facts['questions']} questions, {facts['seconds']} s: {out}")


def _add_run(command: str, module: str, settings: str, function: str, summary: str) -> None:
    @app.command(command, help=f"{summary}. Settings: training.{module}.{settings}.")
    def run(config: Config, set_: Set = [], json_: Json = None) -> None:  # noqa: B006
        _run(f"training.{module}", settings, function, config, set_, json_)


for _entry in _RUNS:
    _add_run(*_entry)


@app.command("weak-to-strong")
def weak_to_strong(config: Config, set_: Set = [], json_: Json = None) -> None:  # noqa: B006
    """Let a strong model learn from the labels of a weak one, and measure how much of the gap between them it recovers.

    Settings: training.weak_to_strong.run.WeakToStrongConfig.
    """
    from training.runs.config import load_config
    from training.weak_to_strong.run import WeakToStrongConfig, run_weak_to_strong

    facts = run_weak_to_strong(load_config(WeakToStrongConfig, config, set_))
    if wants_json(json_):
        print_json(facts)
        return
    report = facts["report"]
    lines = {"weak supervisor": report["weak"], "strong ceiling": report["ceiling"]}
    lines |= {f"{name} student": report[name]["accuracy"] for name in ("imitating", "confident")}
    for name, value in lines.items():
        console().print(f"{name}: accuracy {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]")
    for name in ("imitating", "confident"):
        value = report[name]["recovered"]
        recovered = (
            "no gap to recover" if value is None else f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
        )
        console().print(f"performance gap recovered, {name} student: {recovered}")


@app.command("pluralism")
def pluralism(config: Config, set_: Set = [], json_: Json = None) -> None:  # noqa: B006
    """Compare rules that aggregate the wishes of groups: what each group gets from the chosen answers, and what it pays.

    Settings: training.runs.pluralism.PluralismConfig.
    """
    from rich.table import Table

    from training.runs.config import load_config
    from training.runs.pluralism import PluralismConfig, run_pluralism

    facts = run_pluralism(load_config(PluralismConfig, config, set_))
    if wants_json(json_):
        print_json(facts)
        return
    table = Table("rule", "welfare", "group", "before", "after", "best alone", "price")
    for outcome in facts["rules"]:
        for group in outcome["groups"]:
            values = [f"{group[name]['value']:.3f}" for name in ("before", "after", "best", "price")]
            table.add_row(outcome["rule"], f"{outcome['welfare']:.3f}", group["group"], *values)
    console().print(table)


@app.command("pairs")
def pairs(config: Config, set_: Set = [], workers: WorkerCount = 1, json_: Json = None) -> None:  # noqa: B006
    """Make preference pairs: from samples, from right and wrong answers, or from verified or revised drafts.

    Settings: training.runs.pairs.PairsConfig.
    """
    from training.runs.config import load_config
    from training.runs.pairs import PairsConfig, make_pairs

    settings = load_config(PairsConfig, config, set_)
    facts = make_pairs(settings, workers=workers)
    if wants_json(json_):
        print_json(facts)
    else:
        console().print(f"{facts['pairs']} pairs from {facts['rows']} rows: {settings.out}")


@app.command("evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(help="'default', a folder (also of an adapter), a hub id, or an endpoint.")],
    questions: Annotated[
        Path, typer.Option("--questions", help="JSON lines with question or prompt, references, and optionally context.")
    ],
    text: Annotated[Path | None, typer.Option("--text", help="JSON lines with text, to measure perplexity on.")] = None,
    choices: Annotated[
        Path | None, typer.Option("--choices", help="JSON lines with prefix, completions, and right (an index).")
    ] = None,
    before: Annotated[
        Path | None, typer.Option("--before", help="Output of this command with --json for another model, to compare with.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a self-contained HTML page.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 48,
    json_: Json = None,
) -> None:
    """Measure right, wrong and abstained shares, calibration and side effects of training; compare with --before."""
    from halluc.files import check_output_path
    from halluc.models import load_model
    from halluc.models.packaged_models import name_for_training
    from halluc.page_template import PAGE_MARKER
    from training.evaluation.compare import compare, comparison_table, evaluation_table
    from training.evaluation.evaluate import evaluate_factuality
    from training.evaluation.of_a_run import read_evaluation_rows
    from training.evaluation.page import write_evaluation_page
    from training.evaluation.results import read_evaluation

    if html is not None:
        check_output_path(html, replaces=PAGE_MARKER)
    rows = read_evaluation_rows(questions, text=text, choices=choices)
    earlier = read_evaluation(before) if before is not None else None
    with working(f"loading {model}"):
        lm = load_model(name_for_training(model))
    evaluation = evaluate_factuality(lm, **rows, max_new_tokens=max_new_tokens)
    comparison = compare(earlier, evaluation) if earlier is not None else None
    if html is not None:
        write_evaluation_page(comparison or evaluation, html)
    if wants_json(json_):
        print_json((comparison or evaluation).to_dict())
    else:
        console().print(comparison_table(comparison) if comparison is not None else evaluation_table(evaluation))


@app.command("inspect")
def inspect(
    before: Annotated[str, typer.Argument(help="The model before training: 'default', a folder or a hub id.")],
    after: Annotated[str, typer.Argument(help="The model trained from it; also the folder of an adapter.")],
    prompts: Annotated[
        Path, typer.Option("--prompts", help="JSON lines with prompt, or a folder; both models continue them.")
    ],
    statements: Annotated[
        Path | None,
        typer.Option("--statements", help="JSON lines with statement and label (true or false), for a truth probe."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a self-contained HTML page.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 64,
    json_: Json = None,
) -> None:
    """Show what a training changed: weights and predictions by layer, shifted tokens, and a truth probe."""
    from halluc.files import check_output_path
    from halluc.page_template import PAGE_MARKER
    from training.inspection.inspect_training import inspect_training
    from training.inspection.page import write_inspection_page
    from training.rows import read_rows
    from training.runs.row_checks import check_prompts

    if html is not None:
        check_output_path(html, replaces=PAGE_MARKER)
    rows = read_rows(prompts)
    check_prompts(rows)
    labeled = read_rows(statements).to_list() if statements is not None else None
    inspection = inspect_training(before, after, rows["prompt"], statements=labeled, max_new_tokens=max_new_tokens)
    if html is not None:
        write_inspection_page(inspection, html)
    if wants_json(json_):
        print_json(inspection.to_dict())
        return
    found = inspection.predictions
    console().print(
        f"{found.n_tokens} tokens: {found.unshifted:.1%} unshifted, {found.marginal:.1%} marginal, "
        f"{found.shifted:.1%} shifted, KL {found.divergence:.3g} nats per token"
    )
    for layer in inspection.layers:
        name = "outside of layers" if layer.layer is None else f"layer {layer.layer}"
        console().print(f"{name}: relative change {layer.relative_change:.3g}, effective rank {layer.effective_rank:.1f}")
    if inspection.truth is not None:
        best = [max(map(float, side)) for side in (inspection.truth.before, inspection.truth.after)]
        console().print(f"truth probe, best layer: AUROC {best[0]:.3f} before, {best[1]:.3f} after")


def _run(module: str, settings: str, function: str, config: Path, set_: list[str], json_: bool | None) -> None:
    """Run one configuration. Standard output holds the result alone; what TRL prints goes to standard error."""
    from training.runs.config import load_config

    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        # Hide TRL's FutureWarnings about renamed transformers APIs; users cannot act on them.
        warnings.simplefilter("ignore", FutureWarning)
        run = import_module(module)
        try:
            facts: dict[str, Any] = getattr(run, function)(load_config(getattr(run, settings), config, set_))
        finally:
            _leave_process_group()
    if int(os.environ.get("RANK", "0")):
        # Of the processes that `accelerate launch` starts, only the first prints the result.
        return
    if wants_json(json_):
        print_json(facts)
    else:
        rows, count = next(iter(facts.items()))
        console().print(f"{count} {rows}, {facts['steps']} steps, {facts['seconds']} s: {facts['model']}")


def _leave_process_group() -> None:
    """End the threads that connect the processes of `accelerate launch`: one still running at exit can abort its process."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # A trainer is a cycle of references, and its wrapped model keeps the group, with its threads, until it is freed.
        gc.collect()
        torch.distributed.destroy_process_group()
