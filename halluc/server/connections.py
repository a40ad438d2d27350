"""Connections of the HTTP server: time-outs of silent ones, and a cap on their number.

uvicorn closes a connection that is silent after a reply, but waits for a first request for ever, and takes as many
connections as the system allows. Not covered: the time for the body of a request (guard.py).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["run_server"]


def run_server(
    app: Any, listener: socket.socket, *, grace: float = 30.0, header_seconds: float = 10.0, max_connections: int = 512
) -> None:
    """Serve an application until SIGINT or SIGTERM.

    Args:
        app: the ASGI application.
        listener: a bound socket.
        grace: seconds that requests under way have after a signal; then they are cancelled.
        header_seconds: seconds that a connection has for the headers of its first request.
        max_connections: maximum number of connections. One more closes the connection that has been without a request
            for longest, or is closed itself if there is none.
    """

    class Protocol(_LimitedProtocol):
        silent_seconds, limit = header_seconds, max_connections

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=max(64, max_connections),
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    uvicorn.Server(config).run(sockets=[listener])


class _LimitedProtocol(H11Protocol):
    """A connection that ends unless its request comes in time."""

    silent_seconds = 10.0
    limit = 512

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # In the order in which connections were made, the oldest first.
        order: dict[Any, None] = self.app_state.setdefault("connections", {})
        order[self] = None
        self._timer = self.loop.call_later(self.silent_seconds, self._close_if_silent)
        if len(order) > self.limit:
            silent = next((other for other in order if other.cycle is None or other.cycle.response_complete), self)
            order.pop(silent, None)
            silent.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self.app_state.get("connections", {}).pop(self, None)
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        # uvicorn says that there always is a cycle, but there is none before the first request.
        cycle: Any = self.cycle
        if cycle is None and not self.transport.is_closing():
            self.transport.close()
