"""`halluc mcp`: serve tools to a language model over the Model Context Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from halluc.cli.options import (
    IndexEmbedder,
    MaxNewTokens,
    MinAnswerability,
    MinSupport,
    ModelName,
    Retrieved,
    TrustRemoteCode,
    VerifierName,
    code_options,
    open_named_index,
)
from halluc.cli.output import print_notice
from halluc.grounding.answerability import DEFAULT_THRESHOLD

__all__ = ["mcp"]


def mcp(
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="Index built by 'halluc index build'; without it there is only the tool check."),
    ] = None,
    embedder: IndexEmbedder = None,
    model: ModelName = "default",
    ask: Annotated[bool, typer.Option("--ask/--no-ask", help="Load a model and offer the tool ask, with an index.")] = True,
    verifier: VerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    k: Retrieved = 3,
    max_new_tokens: MaxNewTokens = 48,
    min_answerability: MinAnswerability = DEFAULT_THRESHOLD,
    min_support: MinSupport = 0.0,
) -> None:
    """Serve the tools check, ask and search to a client of the Model Context Protocol, on standard input and output.

    A client such as an editor or a chat program starts this command itself; see its documentation for where to name it.
    """
    from halluc.integrations.mcp import create_mcp_server
    from halluc.verification import load_verifier

    passages = open_named_index(index, embedder)
    judge = load_verifier(verifier, **code_options(trust_remote_code))
    grounded = None
    if passages is not None and ask:
        from halluc.grounding.grounded_model import GroundedModel
        from halluc.models import load_model

        grounded = GroundedModel(
            load_model(model),
            passages,
            verifier=judge,
            k=k,
            max_new_tokens=max_new_tokens,
            min_answerability=min_answerability,
            min_support=min_support,
        )
    server = create_mcp_server(verifier=judge, index=passages, grounded=grounded, k=k)
    offered = [name for name, there in (("check", True), ("search", passages), ("ask", grounded)) if there is not None]
    print_notice(f"serving the tools {', '.join(offered)} on standard input and output")
    server.run("stdio")
