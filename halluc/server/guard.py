"""What a request must fulfil before it reaches a route: the name it calls, where it comes from, its key, form and size.

A web page that somebody visits can send requests to servers on that person's machine. It can neither set the type
application/json nor hide its origin, and a name of its own that points to this machine (DNS rebinding) is not answered. Not
covered: headers for pages that are allowed (Starlette's CORS middleware), and time-outs of connections (connections.py).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from halluc.server.replies import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from halluc.server.options import ServerOptions

__all__ = ["Guard"]

# Whoever watches over the server asks the one without a key; the other is a page where a person enters the key.
_OPEN = ("/health", "/")


class Guard:
    """ASGI middleware that refuses requests; see the module."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self.app, self.options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with its body limited."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, message, code = refusal
            extra = {"www-authenticate": "Bearer"} if status == 401 else {}
            await JSONResponse(error_body(status, message, code), status, headers=extra)(scope, receive, send)
            return
        await self.app(scope, self._limited(receive, self._limit(scope)), send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str | None] | None:
        options = self.options
        host = headers.get("host", "")
        if not options.answers_host(_name(f"http://{host}")):
            return 421, f"this server is not called {host!r}; start it with --allow-host to answer this name", None
        origin = headers.get("origin")
        if origin is not None and origin not in options.origins and not _same(origin, host):
            return 403, f"pages of {origin!r} may not use this server; start it with --allow-origin to allow them", None
        if options.api_key is not None and scope["path"] not in _OPEN:
            sent = headers.get("authorization", "")
            kind, _, key = sent.partition(" ")
            if kind.lower() != "bearer" or not secrets.compare_digest(key.strip().encode(), options.api_key.encode()):
                missing = "the API key is wrong" if sent else "the API key is missing"
                return 401, f"{missing}; send it as 'Authorization: Bearer KEY'", "invalid_api_key"
        if scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, f"the content type is {kind!r}; send application/json", None
        limit = self._limit(scope)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            return 413, _too_long(limit), None
        return None

    def _limit(self, scope: Scope) -> int:
        """Bytes that a request may have; a PUT is an upload."""
        return self.options.max_upload if scope["method"] == "PUT" else self.options.max_body

    def _limited(self, receive: Receive, limit: int) -> Receive:
        """Receive a body of limited size within a limited time; afterwards only the end of the connection is awaited."""
        size = 0
        complete = False
        begin: float | None = None

        async def limited() -> Message:
            nonlocal size, complete, begin
            if complete:
                return await receive()
            loop = asyncio.get_running_loop()
            begin = loop.time() if begin is None else begin
            try:
                async with asyncio.timeout_at(begin + self.options.body_seconds):
                    message: dict[str, Any] = dict(await receive())
            except TimeoutError as error:
                raise HTTPException(408, f"the request did not arrive within {self.options.body_seconds:g} s") from error
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if size > limit:
                    raise HTTPException(413, _too_long(limit))
            return message

        return limited


def _too_long(limit: int) -> str:
    return f"the request is longer than {limit} bytes; send less"


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    """Whether a page comes from this server itself; in front of it may be a proxy that speaks HTTPS."""
    return origin.lower().partition("://")[2] == host.lower()
