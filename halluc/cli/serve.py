"""`halluc serve`: serve a model over HTTP, with verdicts on its answers."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.options import (
    CalibratorFile,
    IndexEmbedder,
    ModelName,
    OptionalVerifierName,
    Retrieved,
    TrustRemoteCode,
    load_calibrator,
    load_named_verifier,
)
from halluc.cli.output import Json, console, print_json, wants_json, working

__all__ = ["serve"]


def serve(
    index: Annotated[
        Path | None,
        typer.Option("--index", "-i", help="Index built by 'halluc index build'; without it the model answers on its own."),
    ] = None,
    embedder: IndexEmbedder = None,
    model: ModelName = "default",
    verifier: OptionalVerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    calibrator: CalibratorFile = None,
    k: Retrieved = 3,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum length of an answer from the index, in tokens.")] = 48,
    host: Annotated[
        str, typer.Option(help="Address to listen on. There is no authentication: consider who can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8000,
    max_body: Annotated[int, typer.Option(min=1, help="Maximum size of a request, in bytes.")] = 1_000_000,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Maximum number of waiting requests; further ones get status 429.")
    ] = 128,
    json_: Json = None,
) -> None:
    """Serve a model, grounded in an index if there is one: POST /v1/chat/completions (OpenAI's protocol) and /check.

    Ctrl-C or SIGTERM stops it once the running requests are finished.
    """
    from halluc.errors import InvalidInput

    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise InvalidInput(f"'halluc serve' needs {' and '.join(missing)}; install them with pip install 'halluc[serve]'")
    if calibrator is not None and index is None:
        raise InvalidInput("a calibrator applies to answers from an index; pass --index too, or leave it out")
    import uvicorn

    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models import load_model
    from halluc.server import create_app
    from retrieval import PassageIndex

    listener = _bind(host, port)
    passages = None if index is None else PassageIndex.open(index, embedder=embedder)
    loaded_calibrator = load_calibrator(calibrator)
    with working(f"loading {model}"):
        lm = load_model(model)
        judge = load_named_verifier(verifier, lm, trust_remote_code=trust_remote_code)
    grounded = None
    if passages is not None:
        grounded = GroundedModel(
            lm, passages, verifier=judge, calibrator=loaded_calibrator, k=k, max_new_tokens=max_new_tokens
        )
    app = create_app(lm, grounded=grounded, verifier=judge, max_body=max_body, max_queue=max_queue)
    address, bound_port = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{bound_port}/v1"
    if wants_json(json_):
        print_json({"url": url, "model": lm.name, "passages": None if passages is None else len(passages)})
    else:
        console().print(f"{lm.name} on {url}; Ctrl-C stops it")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=30)).run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    """Bind a socket before the model is loaded, so that a port in use is reported at once."""
    from halluc.errors import InvalidInput

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror or error}; pass another --port") from error
    return listener
