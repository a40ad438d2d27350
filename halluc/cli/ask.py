"""`halluc ask`: answer one question from an index, with the sources of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from halluc.answers import LABEL_NAMES
from halluc.cli.options import (
    CalibratorFile,
    IndexEmbedder,
    MaxNewTokens,
    MinAnswerability,
    MinSupport,
    ModelName,
    OptionalVerifierName,
    PassageTokens,
    RerankerName,
    Retrieved,
    SearchMode,
    TrustRemoteCode,
    load_calibrator,
    load_named_verifier,
)
from halluc.cli.output import LABEL_STYLES, Json, console, print_json, print_unchecked, wants_json, working
from halluc.grounding.answerability import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from halluc.answers import Answer

__all__ = ["ask", "print_answer"]


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    index: Annotated[str, typer.Option("--index", "-i", help="Index built by 'halluc index build'.")],
    embedder: IndexEmbedder = None,
    model: ModelName = "default",
    k: Retrieved = 3,
    mode: SearchMode = "hybrid",
    rerank: RerankerName = None,
    passage_tokens: PassageTokens = None,
    max_new_tokens: MaxNewTokens = 48,
    min_answerability: MinAnswerability = DEFAULT_THRESHOLD,
    min_support: MinSupport = 0.0,
    verifier: OptionalVerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    calibrator: CalibratorFile = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also print the model's answer without passages.")] = False,
    json_: Json = None,
) -> None:
    """Answer a question from an index, with sources, confidence and verdicts."""
    from halluc.errors import check_text

    check_text("the question", question)
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models import load_model
    from retrieval import open_store

    passages = open_store(index, embedder=embedder)
    loaded_calibrator = load_calibrator(calibrator)
    with working(f"loading {model}"):
        lm = load_model(model)
    grounded = GroundedModel(
        lm,
        passages,
        verifier=load_named_verifier(verifier, lm, trust_remote_code=trust_remote_code),
        calibrator=loaded_calibrator,
        k=k,
        mode=mode,
        rerank=rerank,
        passage_tokens=passage_tokens,
        max_new_tokens=max_new_tokens,
        min_answerability=min_answerability,
        min_support=min_support,
    )
    with working("answering"):
        ungrounded = lm.generate([question], max_new_tokens=max_new_tokens)[0][0].text.strip() if compare else None
        answer = grounded.ask(question)
    if wants_json(json_):
        print_json({**answer.to_dict(), **({"ungrounded": ungrounded} if compare else {})})
        return
    if ungrounded is not None:
        out = console()
        out.print("without passages", style="bold")
        out.print(ungrounded, style="dim")
        out.print("\nwith passages", style="bold")
    print_answer(answer, calibrated=calibrator is not None)


def print_answer(answer: Answer, *, calibrated: bool = False) -> None:
    """Print an answer for a person: its text, verdicts, confidence (and whether that is calibrated), and sources."""
    out = console()
    if answer.abstained:
        out.print("no answer: ", style="yellow", end="")
        out.print(answer.reason)
    else:
        out.print(answer.cited_text, style="bold")
    for verdict in answer.verdicts:
        out.print(LABEL_NAMES[verdict.label], style=LABEL_STYLES[verdict.label], end="")
        out.print(f" (support {verdict.support:.2f}) {verdict.claim.text}", style="dim")
    print_unchecked(answer.unchecked)
    if answer.is_cut:
        out.print("the answer was cut; allow a longer one with --max-new-tokens", style="yellow")
    if answer.confidence is not None and not answer.abstained:
        kind = "calibrated" if calibrated else "geometric mean of the token probabilities"
        out.print(f"confidence {answer.confidence:.2f} ({kind})", style="dim")
    for citation in answer.citations:
        out.print(f"[{citation.number}] {citation.title or citation.passage_id}: ", style="cyan", end="")
        out.print(citation.quote)
