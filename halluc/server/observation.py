"""What a server says about itself: a line of log per request, and metrics for Prometheus.

Neither contains text of requests or replies. The span of a request is FastAPI's own; the spans in it are those of
retrieval.tracing. Not covered: where the log goes (halluc/cli/serve.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import JSONResponse

from halluc.server.replies import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from halluc.answers import Answer

__all__ = ["Metrics", "Observer"]

requests_logger = logging.getLogger("halluc.server.requests")

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """The metrics of one server.

    Args:
        running: number of completions that are generated or wait for it.
        waiting: number of other jobs that wait.
    """

    def __init__(self, *, running: Callable[[], float], waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("halluc_requests", "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "halluc_request_seconds", "Duration of requests", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.first_token = Histogram(
            "halluc_first_text_seconds", "Time to the first text of a stream", buckets=_SECONDS, registry=self.registry
        )
        self.tokens = Counter("halluc_tokens", "Tokens", ["kind"], registry=self.registry)
        self.verdicts = Counter("halluc_verdicts", "Verdicts on claims", ["label"], registry=self.registry)
        self.abstentions = Counter("halluc_abstentions", "Answers withheld", registry=self.registry)
        Gauge("halluc_completions_running", "Completions running or waiting", registry=self.registry).set_function(running)
        Gauge("halluc_jobs_waiting", "Searches and checks waiting", registry=self.registry).set_function(waiting)

    def count_answer(self, answer: Answer) -> None:
        """Count the verdicts of an answer."""
        for verdict in answer.verdicts:
            self.verdicts.labels(verdict.label).inc()
        if answer.abstained:
            self.abstentions.inc()


class Observer:
    """ASGI middleware that logs and counts each request, also one whose client goes away (status 499)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and observe its reply."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 0
        complete = False

        async def observed(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except asyncio.CancelledError:
            # The server ends, and the request has outlived its grace.
            if not status:
                await JSONResponse(error_body(503, "the server is shutting down"), 503)(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - begin
            code = status if complete else 499
            # The path of a route and not of the request, which may be anything.
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, code).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            client = scope.get("client") or ("-",)
            requests_logger.info("%s %s %s %d %.0f ms", client[0], scope["method"], route, code, 1000 * seconds)
