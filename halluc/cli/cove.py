"""`halluc cove`: answer one question by a chain of verification, and show every step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.cli.ask import print_answer
from halluc.cli.options import IndexEmbedder, ModelName, open_named_index
from halluc.cli.output import Json, console, print_json, wants_json, working
from halluc.cove.trace import Variant

if TYPE_CHECKING:
    from halluc.cove.trace import VerifiedAnswer

__all__ = ["cove"]


def cove(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    variant: Annotated[Variant, typer.Option(help="How the verification questions are answered.")] = "factored",
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="Answer the verification questions from this index.")
    ] = None,
    embedder: IndexEmbedder = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Let the verifier judge the draft's claims against the index instead.")
    ] = False,
    model: ModelName = "default",
    prompts: Annotated[
        Path | None, typer.Option(help="Folder with files that replace the shipped prompts of the same names.")
    ] = None,
    max_questions: Annotated[int, typer.Option(min=1, help="Largest number of verification questions.")] = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest draft and longest final answer, in tokens.")] = 128,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to retrieve per question or claim.")] = 3,
    json_: Json = None,
) -> None:
    """Answer a question by chain-of-verification: draft, check questions, revision."""
    from halluc.cove.chain import ChainOfVerification
    from halluc.cove.prompts import load_prompts
    from halluc.errors import InvalidInput, check_text
    from halluc.models import load_model
    from halluc.verification import load_verifier

    check_text("the question", question)
    if verify and index is None:
        raise InvalidInput("--verify judges against an index; pass --index as well")
    load_prompts(prompts)  # checked before the model is loaded
    passages = open_named_index(index, embedder)
    with working(f"loading {model}"):
        lm = load_model(model)
        chain = ChainOfVerification(
            lm,
            variant,
            verifier=load_verifier() if verify else None,
            index=passages,
            prompts=prompts,
            max_questions=max_questions,
            max_new_tokens=max_new_tokens,
            k=k,
        )
    answer = chain.ask(question)
    if wants_json(json_):
        print_json(answer.to_dict())
        return
    _print_trace(answer)
    print_answer(answer)


def _print_trace(answer: VerifiedAnswer) -> None:
    out = console()
    for step in answer.trace:
        out.print(step.name, style="bold", end="")
        cost = f", {step.prompt_tokens} + {step.new_tokens} tokens" if step.calls else ""
        out.print(f" by the {step.source}{cost}", style="dim")
        if step.name == "execute":
            for check in answer.checks:
                out.print(f"  {check.question}", style="cyan")
                out.print(f"    {check.answer or '(no answer)'}")
        elif step.name != "revise":
            for line in step.read:
                out.print(f"  {line}")
    if answer.stopped:
        out.print(f"ended early: {answer.stopped}", style="yellow")
    out.print("final answer", style="bold")
