"""`halluc detect`: how likely the answers to some prompts are hallucinated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.options import ModelName, VerifierName
from halluc.cli.output import Json, console, print_json, wants_json, working

if TYPE_CHECKING:
    from halluc.detectors.detect import Detection
    from halluc.models.language_model import Prompt

__all__ = ["DEFAULT_DETECTORS", "Detectors", "Samples", "detect"]

# What one pass and five samples give; the rest of the table is a matter of --detectors.
DEFAULT_DETECTORS = "perplexity,mean_token_entropy,semantic_entropy,p_true"

Detectors = Annotated[str, typer.Option("--detectors", "-d", help="Names with commas between them, or 'all'; see --list.")]
Samples = Annotated[int, typer.Option("--samples", "-k", min=2, help="Answers to draw beside the one that is judged.")]


def detect(
    prompts: Annotated[
        Path | None,
        typer.Argument(help="JSON lines with the field prompt (or question); answer and context are optional."),
    ] = None,
    detectors: Detectors = DEFAULT_DETECTORS,
    model: ModelName = "default",
    verifier: VerifierName = "default",
    index: Annotated[
        Path | None, typer.Option("--index", "-i", help="Index to hold the answers against (detector 'support').")
    ] = None,
    ensemble: Annotated[
        Path | None, typer.Option(help="Ensemble saved by 'halluc eval detectors --save', run beside the detectors.")
    ] = None,
    samples: Samples = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the samples; the answer is greedy.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same samples.")] = 0,
    claims: Annotated[bool, typer.Option("--claims", help="Also score each claim of the answers.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the detectors and what they need, and exit.")] = False,
    json_: Json = None,
) -> None:
    """Score answers by uncertainty: higher = more likely hallucinated.

    The model answers each prompt, unless the row has an answer; a row's context is put into the prompt.
    """
    from halluc.errors import InvalidInput

    if list_:
        _list_detectors(json_)
        return
    if prompts is None:
        raise InvalidInput("no file of prompts is given; write 'halluc detect PROMPTS.jsonl', or --list for the detectors")
    asked, answers, contexts = _read(prompts)
    from halluc.detectors.detect import detect as run
    from halluc.detectors.ensemble import Ensemble
    from halluc.detectors.table import DETECTORS
    from halluc.models import load_model
    from halluc.verification import load_verifier

    chosen: list[Any] = [*chosen_detectors(detectors)]
    if ensemble is not None:
        chosen.append(Ensemble.load(ensemble).detector(DETECTORS))
    opened = None
    if index is not None:
        from retrieval import PassageIndex

        opened = PassageIndex.open(index)
    with working(f"loading {model}"):
        lm = load_model(model)
        # The default one is loaded only where a detector needs it.
        judge = None if verifier == "default" else load_verifier(verifier, lm=lm if verifier == "lm" else None)
    found = run(
        lm,
        asked,
        detectors=chosen,
        answers=answers,
        contexts=contexts,
        index=opened,
        verifier=judge,
        samples=samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    if wants_json(json_):
        report = found.to_dict()
        if claims:
            for row, own in zip(report["rows"], found.claims(), strict=True):
                row["claims"] = [claim.to_dict() for claim in own]
        print_json(report)
    else:
        _print(found, claims)


def chosen_detectors(names: str) -> list[str]:
    """The names in a comma-separated list; all of the table for "all".

    Raises:
        InvalidInput: there is no detector of a name.
    """
    from halluc.detectors.detect import detectors_named

    wanted = None if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    return [detector.name for detector in detectors_named(wanted)]


def _read(path: Path) -> tuple[list[Prompt], list[str] | None, list[str] | None]:
    from halluc.errors import InvalidInput
    from halluc.files import read_rows, text_of

    rows = read_rows(path)
    if not rows:
        raise InvalidInput(f"{path} holds no prompts")
    prompts: list[Prompt] = []
    for where, row in rows:
        field = "prompt" if "prompt" in row else "question"
        conversation = row.get(field)
        # A conversation is checked where it is put through the chat template.
        prompts.append(conversation if isinstance(conversation, list) and conversation else text_of(row, field, where))
    columns: dict[str, list[str] | None] = {}
    for name in ("answer", "context"):
        given = [isinstance(row.get(name), str) for _, row in rows]
        if any(given) and not all(given):
            raise InvalidInput(
                f"{rows[given.index(False)][0]} has no {name}, which other rows have; give all rows one, or none"
            )
        columns[name] = [text_of(row, name, where) for where, row in rows] if all(given) else None
    return prompts, columns["answer"], columns["context"]


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
        needs = ", ".join(sorted(need.value.replace("_", " ") for need in detector.needs))
        table.add_row(detector.name, detector.family.value, needs, detector.summary)
    console().print(table)


def _print(found: Detection, with_claims: bool) -> None:
    from rich.table import Table

    out = console()
    claims = found.claims() if with_claims else []
    for i, (question, answer) in enumerate(zip(found.statistics.questions, found.statistics.answers, strict=True)):
        out.print(question, style="bold")
        out.print(answer.strip())
        table = Table(show_header=False, box=None)
        for name, values in found.items():
            table.add_row(name, f"{values[i]:.3f}")
        out.print(table)
        for claim in claims[i] if with_claims else []:
            out.print(claim.claim.text, style="dim")
            out.print("  " + ", ".join(f"{name} {value:.3f}" for name, value in claim.scores.items()), style="dim")
    for name, reason in found.skipped.items():
        out.print(f"{name} left out: {reason}", style="yellow")
    out.print(f"{found.total.seconds:.1f} s, {found.total.tokens} tokens", style="dim")
