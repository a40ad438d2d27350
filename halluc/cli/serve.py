"""`halluc serve`: serve a model over HTTP, with verdicts on its answers."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    code_options,
    load_calibrator,
    load_named_verifier,
    open_named_index,
)
from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working
from halluc.grounding.answerability import DEFAULT_THRESHOLD
from halluc.grounding.sentence_gate import REPLACEMENT, OnUnsupported

if TYPE_CHECKING:
    from fastapi import FastAPI

    from halluc.server import ServerOptions
    from retrieval import PassageStore

__all__ = ["serve"]


def serve(
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="Index built by 'halluc index build'; without it the model answers on its own."),
    ] = None,
    embedder: IndexEmbedder = None,
    model: ModelName = "default",
    model_alias: Annotated[
        list[str] | None,
        typer.Option("--model-alias", help="A further name of the model, which clients may send; repeat for more."),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="Be a proxy in front of this server (http://host:port/v1 or …/v1#model), and check its replies against the "
            "context in the conversation and the index."
        ),
    ] = None,
    upstream_key: Annotated[
        str | None,
        typer.Option(envvar="HALLUC_UPSTREAM_KEY", help="API key of --upstream; without it, the key that a client sends."),
    ] = None,
    verifier: OptionalVerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    calibrator: CalibratorFile = None,
    k: Retrieved = 3,
    mode: SearchMode = "hybrid",
    rerank: RerankerName = None,
    passage_tokens: PassageTokens = None,
    max_new_tokens: MaxNewTokens = 48,
    min_answerability: MinAnswerability = DEFAULT_THRESHOLD,
    min_support: MinSupport = 0.0,
    on_unsupported: Annotated[
        OnUnsupported | None,
        typer.Option(help="Mark, replace or stop before a sentence that the passages do not support."),
    ] = None,
    not_found_text: Annotated[
        str, typer.Option(help="What people read if no passage is near the question.")
    ] = "I could not find this in the documents.",
    unsure_text: Annotated[
        str, typer.Option(help="What people read if an answer has too little support or confidence.")
    ] = "I am not sure enough of the answer to give it.",
    replacement_text: Annotated[
        str, typer.Option(help="What people read in place of a sentence that is replaced.")
    ] = REPLACEMENT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HALLUC_API_KEY", help="Key that requests must send as 'Authorization: Bearer KEY'."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name of this server in the Host header, such as that of a proxy; '*' for any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A web page, such as https://example.com, whose scripts may use the server (CORS); repeat for more."
        ),
    ] = None,
    uploads: Annotated[
        Path | None,
        typer.Option(help="Folder for documents that people upload to the index; without it none are accepted."),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Maximum size of an uploaded document, in bytes.")] = 20_000_000,
    max_body: Annotated[int, typer.Option(min=1, help="Maximum size of a request, in bytes.")] = 1_000_000,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Maximum number of waiting requests; further ones get status 429.")
    ] = 128,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum number of answers that are generated together.")] = 32,
    max_tokens: Annotated[int, typer.Option(min=1, help="Greatest max_tokens that a request may ask for.")] = 4096,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Maximum length of answer and context of a /check together.")
    ] = 100_000,
    max_claims: Annotated[int, typer.Option(min=1, help="Maximum number of claims of an answer that is checked.")] = 64,
    max_connections: Annotated[int, typer.Option(min=1, help="Maximum number of connections.")] = 512,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds that running requests have after Ctrl-C or SIGTERM; then they are cancelled."),
    ] = 10.0,
    request_log: Annotated[
        bool, typer.Option("--request-log/--no-request-log", help="Log each request on standard error, without its text.")
    ] = True,
    json_: Json = None,
) -> None:
    """Serve a model, grounded in an index if there is one: POST /v1/chat/completions (OpenAI's protocol) and /check.

    GET / is a page for people, GET /docs describes the requests, and GET /metrics has figures for Prometheus. Ctrl-C or
    SIGTERM stops it.
    """
    from halluc.errors import InvalidInput

    if missing := [name for name in ("fastapi", "prometheus_client", "uvicorn") if find_spec(name) is None]:
        raise InvalidInput(f"'halluc serve' needs {' and '.join(missing)}; install them with pip install 'halluc[serve]'")
    if upstream is not None:
        if verifier in ("none", "lm") or model != "default" or calibrator is not None:
            raise InvalidInput("--upstream needs a verifier other than 'lm', and goes without --model and --calibrator")
    elif calibrator is not None and index is None:
        raise InvalidInput("a calibrator applies to answers from an index; pass --index too, or leave it out")
    elif on_unsupported is not None and (index is None or verifier == "none"):
        raise InvalidInput(
            "--on-unsupported applies to answers from an index and needs a verifier; pass both, or leave it out"
        )
    if rerank is not None and index is None:
        raise InvalidInput("--rerank orders the passages of an index; pass --index too, or leave it out")
    if uploads is not None and index is None:
        raise InvalidInput("--uploads adds documents to an index; pass --index too, or leave it out")
    from halluc.server import ServerOptions, Wording, run_server
    from halluc.server.options import is_loopback

    options = ServerOptions(
        aliases=tuple(model_alias or ()),
        api_key=api_key,
        hosts=(host, *(allow_host or ())),
        origins=tuple(origin.rstrip("/") for origin in allow_origin or ()),
        on_unsupported=on_unsupported,
        wording=Wording(not_found=not_found_text, unsure=unsure_text, replacement=replacement_text),
        uploads=uploads,
        max_upload=max_upload,
        max_body=max_body,
        max_queue=max_queue,
        max_rows=max_rows,
        max_tokens=max_tokens,
        max_characters=max_characters,
        max_claims=max_claims,
    )
    listener = _bind(host, port)
    passages = open_named_index(index, embedder)
    if upstream is not None:
        app, name = _proxy(upstream, upstream_key, passages, verifier, trust_remote_code, k, options), upstream
    else:
        answering = {
            "k": k,
            "mode": mode,
            "rerank": rerank,
            "passage_tokens": passage_tokens,
            "max_new_tokens": max_new_tokens,
            "min_answerability": min_answerability,
            "min_support": min_support,
            "calibrator": load_calibrator(calibrator),
        }
        app, name = _model(model, passages, verifier, trust_remote_code, answering, options)
    address, bound_port = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{bound_port}/v1"
    if wants_json(json_):
        print_json({"url": url, "model": name, "passages": None if passages is None else len(passages)})
    else:
        console().print(f"{name} on {url}; Ctrl-C stops it")
    if api_key is None and not is_loopback(host):
        print_notice(f"whoever reaches {host} can use this server; pass --api-key to require a key")
    sys.stdout.flush()
    _log_to_stderr(requests=request_log)
    run_server(app, listener, grace=grace, max_connections=max_connections)


def _model(
    model: str,
    index: PassageStore | None,
    verifier: str,
    trust_remote_code: bool,
    answering: dict[str, Any],
    options: ServerOptions,
) -> tuple[FastAPI, str]:
    """The application of a model, and the model's name."""
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models import load_model
    from halluc.server import create_app

    with working(f"loading {model}"):
        lm = load_model(model)
        judge = load_named_verifier(verifier, lm, trust_remote_code=trust_remote_code)
    grounded = None if index is None else GroundedModel(lm, index, verifier=judge, **answering)
    return create_app(lm, grounded=grounded, verifier=judge, options=options), lm.name


def _proxy(
    upstream: str,
    upstream_key: str | None,
    index: PassageStore | None,
    verifier: str,
    trust_remote_code: bool,
    k: int,
    options: ServerOptions,
) -> FastAPI:
    from halluc.server import create_proxy
    from halluc.verification import load_verifier

    with working(f"loading {verifier}"):
        judge = load_verifier(verifier, **code_options(trust_remote_code))
    return create_proxy(upstream, verifier=judge, index=index, k=k, upstream_key=upstream_key, options=options)


def _log_to_stderr(*, requests: bool) -> None:
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name, level in (("uvicorn", logging.WARNING), ("halluc", logging.INFO if requests else logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)


def _bind(host: str, port: int) -> socket.socket:
    """Bind a socket before the model is loaded, so that a port in use is reported at once."""
    from halluc.errors import InvalidInput

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except socket.gaierror as error:
        raise InvalidInput(f"cannot listen on the host {host!r}: {error.strerror}; pass another --host") from error
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror or error}; pass another --port") from error
    return listener
