"""What every application of this package has: JSON requests, errors in the protocol's form, guard, log, metrics, /health.

Not covered: the routes of a model (app.py) and of a proxy (proxy.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from halluc.server.guard import Guard
from halluc.server.observation import Metrics, Observer
from halluc.server.options import ServerOptions
from halluc.server.replies import described_error, error_body
from halluc.server.requests import validation_message
from retrieval.files import parse_json_object

__all__ = ["ClientGone", "new_app", "unless_disconnected"]

T = TypeVar("T")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class ClientGone(Exception):
    """The client closed the connection before its reply was complete."""


def new_app(options: ServerOptions, metrics: Metrics, lifespan: Lifespan, health: Callable[[], dict[str, Any]]) -> FastAPI:
    """Make an application without routes of its own, except /health, /metrics, /docs and /openapi.json.

    Args:
        options: options of the server.
        metrics: what it counts.
        lifespan: runs at its start and end.
        health: the fields of /health.
    """
    from halluc import __version__

    app = FastAPI(title="halluc", version=__version__, lifespan=lifespan)
    app.router.route_class = _JSONRoute
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(HTTPException, _http_error)

    @app.get("/health", summary="Whether the server is up, and how many requests wait")
    async def _health() -> dict[str, Any]:
        return health()

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def _metrics() -> Response:
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    # The last one added is the first one to see a request.
    app.add_middleware(Guard, options=options)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "if-none-match"],
        )
    app.add_middleware(Observer, metrics=metrics)
    return app


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Wait for the work, and cancel it if the client goes away; the request's body must have been read.

    Raises:
        ClientGone: the client went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _JSONRequest(Request):
    """A request whose JSON is valid: an object, of finite numbers and of texts without lone surrogates."""

    async def json(self) -> Any:
        try:
            return parse_json_object(await self.body())
        except ValueError as error:
            raise HTTPException(400, f"the request {error}") from error


class _JSONRoute(APIRoute):
    """A route that reads `_JSONRequest`s, and of which errors have the protocol's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(_JSONRequest(request.scope, request.receive))
            except (HTTPException, RequestValidationError):
                raise
            except ClientGone:
                # Nobody reads it; the log has the status.
                return Response(status_code=499)
            except Exception as error:
                status, body = described_error(error)
                return JSONResponse(body, status)

        return handle


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse(error_body(400, validation_message(error.errors(), error.body)), 400)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(error_body(error.status_code, str(error.detail)), error.status_code, headers=error.headers)
