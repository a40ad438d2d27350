"""`halluc detect`: how likely the answers to some prompts are hallucinated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from halluc.cli.options import (
    IndexEmbedder,
    ModelName,
    TrustRemoteCode,
    VerifierName,
    WorkerCount,
    code_options,
    open_named_index,
)
from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working

if TYPE_CHECKING:
    from halluc.detectors.detect import ClaimScores, Detection
    from halluc.detectors.detector import Detector
    from halluc.models.language_model import Prompt

__all__ = ["DEFAULT_DETECTORS", "DetectorNames", "SampleCount", "detect", "load_models", "names_in"]

# These need one pass and five samples; --detectors selects others.
DEFAULT_DETECTORS = "perplexity,mean_token_entropy,semantic_entropy,p_true"

DetectorNames = Annotated[
    str, typer.Option("--detectors", "-d", help="Names separated by commas, or 'all'; 'halluc detect --list' lists them.")
]
SampleCount = Annotated[
    int, typer.Option("--n-samples", "-n", min=2, help="Answers to draw in addition to the answer that is judged.")
]


def detect(
    prompts: Annotated[
        Path | None,
        typer.Argument(help="JSON lines with the field prompt (or question); each row may have an answer and a context."),
    ] = None,
    detectors: DetectorNames = DEFAULT_DETECTORS,
    model: ModelName = "default",
    verifier: VerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="Index to judge answers without a context against ('support').")
    ] = None,
    embedder: IndexEmbedder = None,
    ensemble: Annotated[
        Path | None, typer.Option(help="Ensemble saved by 'halluc eval detectors --save', to run as one more detector.")
    ] = None,
    n_samples: SampleCount = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.01, help="Temperature of the samples; the answer is greedy.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same samples.")] = 0,
    workers: WorkerCount = 1,
    claims: Annotated[bool, typer.Option("--claims", help="Also score each claim of the answers.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the detectors and what they need, and exit.")] = False,
    json_: Json = None,
) -> None:
    """Score how likely answers are hallucinated: higher = more likely.

    The model answers the rows that have no answer; a row's context is added to its prompt. Rows that cannot be used are
    named on standard error and left out, and the exit code is 2.
    """
    from halluc.errors import InvalidInput

    if list_:
        _list_detectors(json_)
        return
    if prompts is None:
        raise InvalidInput("the prompts are missing; write 'halluc detect PROMPTS.jsonl', or --list for the detectors")
    rows, broken = _read(prompts)
    if rows:
        from halluc.detectors.detect_batches import detect_batches
        from halluc.workers import check_workers

        check_workers(workers)
        selected = _selected(detectors, ensemble)
        load = partial(load_models, model, verifier, trust_remote_code, index, embedder)
        with working(f"loading {model}"):
            models = load()
        detection = detect_batches(
            [row.prompt for row in rows],
            models,
            detectors=selected,
            answers=[row.answer for row in rows],
            contexts=[row.context for row in rows],
            n_samples=n_samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            workers=workers,
            load=load,
        )
        _report(rows, detection, detection.claims() if claims else None, wants_json(json_))
    if broken:
        _name_broken(broken)


def names_in(detectors: str) -> list[str]:
    """Get the names in a comma-separated list; all of the table for "all".

    Raises:
        InvalidInput: a name is not in the table, or the list is empty.
    """
    from halluc.detectors.table import detectors_named

    names = None if detectors.strip() == "all" else [name.strip() for name in detectors.split(",") if name.strip()]
    return [detector.name for detector in detectors_named(names)]


def _name_broken(sentences: Sequence[str]) -> NoReturn:
    for sentence in sentences:
        print_notice(sentence)
    raise typer.Exit(2)


def _selected(detectors: str, ensemble: Path | None) -> list[str | Detector]:
    from halluc.detectors.ensemble import Ensemble
    from halluc.detectors.table import DETECTORS

    names: list[str | Detector] = [*names_in(detectors)]
    return names if ensemble is None else [*names, Ensemble.load(ensemble).detector(DETECTORS)]


def load_models(
    model: str, verifier: str, trust_remote_code: bool, index: str | None = None, embedder: str | None = None
) -> dict[str, Any]:
    """Load the models that `halluc.detect` takes; each worker does so too.

    The default verifier is left out: it is loaded only if a detector needs it.
    """
    from halluc.models import load_model
    from halluc.verification import load_verifier

    passages = open_named_index(index, embedder)
    lm = load_model(model)
    options = {"lm": lm if verifier == "lm" else None, **code_options(trust_remote_code)}
    return {"lm": lm, "index": passages, "verifier": None if verifier == "default" else load_verifier(verifier, **options)}


@dataclass(frozen=True)
class _Row:
    """A usable row: its place in the file, its prompt, and the answer and context it may have."""

    where: str
    prompt: Prompt
    answer: str | None
    context: str | None


def _read(path: Path) -> tuple[list[_Row], list[str]]:
    """Read the rows that can be used, and a sentence about each of the others."""
    from halluc.errors import InvalidInput
    from halluc.files import read_rows

    rows: list[_Row] = []
    broken: list[str] = []
    for where, values in read_rows(path, broken=broken):
        try:
            rows.append(_row(where, values))
        except InvalidInput as error:
            broken.append(str(error))
    if not rows and not broken:
        raise InvalidInput(f"{path} holds no prompts")
    return rows, broken


def _row(where: str, values: dict[str, Any]) -> _Row:
    from halluc.detectors.collect import question_of
    from halluc.errors import InvalidInput
    from halluc.files import text_of

    field = "prompt" if "prompt" in values else "question"
    prompt = values.get(field)
    if isinstance(prompt, list) and prompt:
        try:
            question_of(prompt)
        except InvalidInput as error:
            raise InvalidInput(f"{where} has an unusable {field}: {error}") from error
    else:
        prompt = text_of(values, field, where)
    answer, context = (
        text_of(values, name, where) if values.get(name) is not None else None for name in ("answer", "context")
    )
    if context is not None and not isinstance(prompt, str):
        raise InvalidInput(f"{where} has a context and a conversation; with a context, write the question as text")
    return _Row(where, prompt, answer, context)


def _list_detectors(json_: bool | None) -> None:
    from halluc.detectors.table import DETECTORS

    if wants_json(json_):
        print_json(
            [
                {"name": d.name, "family": d.family.value, "needs": sorted(d.needs), "what": d.summary}
                for d in DETECTORS.values()
            ]
        )
        return
    from rich.table import Table

    table = Table("detector", "family", "needs", "what it is")
    for detector in DETECTORS.values():
        needs = ", ".join(sorted(statistic.value.replace("_", " ") for statistic in detector.needs))
        table.add_row(detector.name, detector.family.value, needs, detector.summary)
    console().print(table)


def _report(
    rows: Sequence[_Row], detection: Detection, claims: Sequence[Sequence[ClaimScores]] | None, as_json: bool
) -> None:
    if not as_json:
        _print(detection, claims)
        return
    report = detection.to_dict()
    for i, (row, result) in enumerate(zip(rows, report["rows"], strict=True)):
        result["row"] = row.where
        if claims is not None:
            result["claims"] = [claim.to_dict() for claim in claims[i]]
    print_json(report)


def _print(detection: Detection, claims: Sequence[Sequence[ClaimScores]] | None) -> None:
    from rich.table import Table

    out = console()
    statistics = detection.statistics
    for i, (question, answer) in enumerate(zip(statistics.questions, statistics.answers, strict=True)):
        out.print(question, style="bold")
        out.print(answer.strip())
        table = Table(show_header=False, box=None)
        for name, values in detection.items():
            table.add_row(name, f"{values[i]:.3f}")
        out.print(table)
        for claim in claims[i] if claims is not None else ():
            out.print(claim.claim.text, style="dim")
            out.print("  " + ", ".join(f"{name} {value:.3f}" for name, value in claim.scores.items()), style="dim")
    for name, reason in detection.skipped.items():
        out.print(f"{name} did not run: {reason}", style="yellow")
    out.print(f"{detection.total.seconds:.1f} s, {detection.total.tokens} tokens", style="dim")
