"""The connection of a proxy to the server behind it: requests passed on, replies and streams read.

Not covered: what happens to the replies (proxy.py).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import httpx2
from starlette.responses import JSONResponse, Response

from halluc.errors import ModelResponseError, ModelUnavailable
from halluc.models.endpoint_protocol import clip, split_spec
from halluc.server.replies import error_body

__all__ = ["Upstream"]

# Of the client's headers, only what says who is asking.
_PASSED_ON = ("authorization", "openai-organization", "openai-project")


class Upstream:
    """An OpenAI-compatible server; an asynchronous context manager that closes its connections.

    Args:
        spec: "http://host:port/v1", or "http://host:port/v1#model" to name the model of every request.
        key: its API key.
        pass_on_key: whether a client's own key is sent if there is no `key`.
        timeout: seconds that it may be silent.

    Raises:
        InvalidInput: the spec is malformed.
    """

    def __init__(self, spec: str, *, key: str | None, pass_on_key: bool, timeout: float) -> None:
        named = "#" in spec
        self.base_url, model = split_spec(spec if named else f"{spec}#any")
        self.model = model if named else None
        self._key, self._pass_on_key = key, pass_on_key
        self._client = httpx2.AsyncClient(timeout=httpx2.Timeout(timeout, connect=5.0))

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, headers: Mapping[str, str]) -> Response:
        """Pass on a GET."""
        try:
            reply = await self._client.get(self.base_url + path, headers=self._headers(headers))
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        return Response(reply.content, reply.status_code, media_type=reply.headers.get("content-type"))

    async def post(self, body: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any] | Response:
        """Pass on a chat.

        Returns:
            The reply as JSON, or what the server replied in its place, to be passed on.

        Raises:
            ModelUnavailable: the server cannot be reached.
            ModelResponseError: it replied with something else than JSON.
        """
        try:
            reply = await self._client.send(self._request(body, headers))
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        return self._read(reply)

    async def open_stream(
        self, body: dict[str, Any], headers: Mapping[str, str]
    ) -> AsyncGenerator[dict[str, Any], None] | Response:
        """Pass on a chat that is to be streamed.

        Returns:
            The events as JSON, without the last one, [DONE]; or what the server replied in their place, to be passed on.

        Raises:
            ModelUnavailable: the server cannot be reached.
            ModelResponseError: it replied with something else than a stream or an error.
        """
        try:
            reply = await self._client.send(self._request(body, headers), stream=True)
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        if "text/event-stream" in reply.headers.get("content-type", ""):
            return self._events(reply)
        try:
            await reply.aread()
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        finally:
            await reply.aclose()
        answered = self._read(reply)
        if isinstance(answered, Response):
            return answered
        raise ModelResponseError(f"{self.base_url} does not stream; send stream as false")

    # -- private ---------------------------------------------------------------------------------------------------

    def _request(self, body: dict[str, Any], headers: Mapping[str, str]) -> httpx2.Request:
        named = body if self.model is None else {**body, "model": self.model}
        url = f"{self.base_url}/chat/completions"
        return self._client.build_request("POST", url, json=named, headers=self._headers(headers))

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        passed_on = {name: headers[name] for name in _PASSED_ON if name in headers} if self._pass_on_key else {}
        return {**passed_on, "authorization": f"Bearer {self._key}"} if self._key else passed_on

    def _read(self, reply: httpx2.Response) -> dict[str, Any] | Response:
        try:
            value = json.loads(reply.content)
        except (ValueError, RecursionError):
            value = None
        if reply.status_code != 200:
            if isinstance(value, dict):
                return JSONResponse(value, reply.status_code)
            message = f"{self.base_url} replied with {reply.status_code}: {clip(reply.text) or 'no reason given'}"
            return JSONResponse(error_body(reply.status_code, message), reply.status_code)
        if not isinstance(value, dict):
            raise ModelResponseError(f"{self.base_url} replied with something that is not JSON: {clip(reply.text)!r}")
        return value

    async def _events(self, reply: httpx2.Response) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async for data in _data_of(reply.aiter_lines()):
                if data == "[DONE]":
                    return
                try:
                    event = json.loads(data)
                except (ValueError, RecursionError) as error:
                    raise ModelResponseError(f"{self.base_url} sent an event that is not JSON: {clip(data)!r}") from error
                if isinstance(event, dict):
                    yield event
        except httpx2.HTTPError as error:
            raise self._unavailable(error) from error
        finally:
            await reply.aclose()

    def _unavailable(self, error: Exception) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self.base_url} cannot be used: {clip(str(error)) or type(error).__name__}; start it or correct --upstream"
        )


async def _data_of(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The data of server-sent events."""
    data: list[str] = []
    async for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line.strip() and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)
