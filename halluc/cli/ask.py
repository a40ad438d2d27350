"""`halluc ask`: one question, answered from an index, with where the answer comes from."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.cli.options import CalibratorFile, Judge, ModelName, Retrieved, load_judge
from halluc.cli.output import Json, console, print_json, working

if TYPE_CHECKING:
    from halluc.answers import Answer

__all__ = ["Mode", "ask", "print_answer"]


class Mode(StrEnum):
    """Search modes of `PassageIndex.search`."""

    dense = "dense"
    sparse = "sparse"
    hybrid = "hybrid"


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    index: Annotated[Path, typer.Option("--index", "-i", help="Index made by 'halluc index build'.")],
    model: ModelName = "default",
    k: Retrieved = 3,
    mode: Annotated[Mode, typer.Option(help="How to search.")] = Mode.hybrid,
    passage_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of passage text in the prompt; by default by the model's size.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 48,
    min_similarity: Annotated[
        float, typer.Option(min=-1, max=1, help="Abstain if no passage is at least this similar to the question.")
    ] = 0.3,
    min_support: Annotated[
        float, typer.Option(min=0, max=1, help="Abstain if a claim of the answer has less support than this.")
    ] = 0.0,
    verifier: Judge = "default",
    calibrator: CalibratorFile = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also print what the model says without passages.")] = False,
    json_: Json = False,
) -> None:
    """Answer a question from an index, with sources, confidence and verdicts."""
    from halluc.errors import InvalidInput

    if not question.strip():
        raise InvalidInput("the question is empty; ask something")
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models import load_model
    from retrieval import PassageIndex

    passages = PassageIndex.open(index)
    saved = None
    if calibrator is not None:
        from calibration import Calibrator

        saved = Calibrator.load(calibrator)
    with working(f"loading {model}"):
        lm = load_model(model)
    grounded = GroundedModel(
        lm,
        passages,
        verifier=load_judge(verifier, lm),
        calibrator=saved,
        k=k,
        mode=mode.value,
        passage_tokens=passage_tokens,
        max_new_tokens=max_new_tokens,
        min_similarity=min_similarity,
        min_support=min_support,
    )
    with working("answering"):
        alone = lm.generate([question], max_new_tokens=max_new_tokens)[0][0].text.strip() if compare else None
        answer = grounded.ask(question)
    if json_ or not sys.stdout.isatty():
        print_json({**answer.to_dict(), **({"ungrounded": alone} if compare else {})})
        return
    if alone is not None:
        console().print("[bold]without passages[/bold]")
        console().print(alone, style="dim", markup=False)
        console().print("\n[bold]with passages[/bold]")
    print_answer(answer, calibrated=saved is not None)


def print_answer(answer: Answer, *, calibrated: bool = False) -> None:
    """Show an answer to a person: text, verdicts, confidence (and whether it is calibrated) and sources."""
    out = console()
    if answer.abstained:
        out.print(f"[yellow]no answer:[/yellow] {answer.reason}")
    else:
        out.print(answer.text, style="bold", markup=False)
    colours = {"supported": "green", "refuted": "red", "not_enough_info": "yellow"}
    for verdict in answer.verdicts:
        label = verdict.label.replace("_", " ")
        out.print(f"[{colours[verdict.label]}]{label}[/] (support {verdict.support:.2f}) ", end="")
        out.print(verdict.claim.text, style="dim", markup=False)
    if answer.confidence is not None and not answer.abstained:
        kind = "calibrated" if calibrated else "geometric mean of the token probabilities"
        out.print(f"confidence {answer.confidence:.2f} ({kind})", style="dim")
    for citation in answer.citations:
        out.print(f"[{citation.number}] {citation.title or citation.passage_id}: ", style="cyan", markup=False, end="")
        out.print(citation.quote, markup=False)
