"""One chat-completions server over HTTP: requests without what it refuses, complete replies, streams, the models it serves.

The `openai` client does HTTP, retries and backoff; every failure becomes one sentence. Not covered: the `LanguageModel`
protocol (endpoint.py), the content of requests, replies and refusals (endpoint_protocol.py).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from halluc.errors import ContextOverflow, HallucError, ModelResponseError, ModelUnavailable
from halluc.models.endpoint_protocol import (
    OVERFLOW,
    clip,
    context_overflow,
    custom_header_names,
    error_words,
    explained,
    first_of,
    get,
    logprob_entries,
    plain,
    read_generation,
    refused_parameter,
    without,
)
from halluc.models.language_model import Generation
from halluc.models.stop_strings import until_stop
from retrieval.files import whole_characters

__all__ = ["ChatClient"]

logger = logging.getLogger(__name__)


class ChatClient:
    """A connection to one model of one server; safe to use from several threads.

    Args:
        base_url: `/chat/completions` is appended to it.
        model: the model's name on the server.
        key: the API key to send.
        environment_headers: whether to send the headers that the environment sets for the client library.
        timeout: seconds to wait for a reply to begin, and then for each further part of it.
        max_retries: further attempts if the server is down, slow, busy or failing.
    """

    def __init__(
        self, base_url: str, model: str, *, key: str, environment_headers: bool, timeout: float, max_retries: int
    ) -> None:
        from openai import Omit, OpenAI, Timeout

        self.base_url, self.model = base_url, model
        self.name = f"{base_url}#{model}"
        self.timeout, self.max_retries = timeout, max_retries
        headers: dict[str, Any] = {}
        if not environment_headers:
            headers = dict.fromkeys([*custom_header_names(), "OpenAI-Organization", "OpenAI-Project"], Omit())
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {key}"
        self._client = OpenAI(
            base_url=base_url,
            api_key=key,
            timeout=Timeout(timeout, connect=min(timeout, 5.0)),
            max_retries=max_retries,
            default_headers=headers,
        )
        self._refused: frozenset[str] = frozenset()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def complete(self, body: dict[str, Any], *, context_window: int | None = None) -> list[Generation]:
        """Send a request and read its completions.

        Args:
            body: the request as JSON.
            context_window: if the server counts more tokens than this, it has truncated the prompt silently.

        Raises:
            ModelUnavailable, ModelResponseError, ContextOverflow: see `EndpointModel.generate`.
        """
        reply = self._send(body, lambda accepted: self._client.chat.completions.with_raw_response.create(**accepted))
        return self._read(reply.http_response.content, body, context_window)

    def served_models(self) -> dict[str, Any]:
        """Get the descriptions of GET /models by model id, in one short attempt."""
        client = self._client.with_options(timeout=min(self.timeout, 5.0), max_retries=0)
        try:
            entries = get(json.loads(client.models.with_raw_response.list().http_response.content), "data")
        except (ValueError, RecursionError) as error:
            raise ModelResponseError(f"{self.base_url}/models is not JSON") from error
        return {str(get(entry, "id")): entry for entry in entries} if isinstance(entries, list) else {}

    def stream(self, body: dict[str, Any]) -> Iterator[str | Generation]:
        """Send a request with "stream" set; yield pieces of text, then the `Generation`.

        Raises:
            ModelUnavailable, ModelResponseError, ContextOverflow: see `EndpointModel.generate`.
        """
        stop = body.get("stop", ())
        events = self._send(body, lambda accepted: self._client.chat.completions.create(**accepted))
        if "application/json" in events.response.headers.get("content-type", ""):
            events.close()
            # The server does not stream: request a complete reply, and yield it as one piece.
            generation = self.complete({name: value for name, value in body.items() if name != "stream"})[0]
            if generation.text:
                yield generation.text
            yield generation
            return
        received = _Received()
        with events:
            yield from until_stop(self._pieces(events, received), stop)
        yield read_generation(received.text, received.reason, received.entries, stop, body.get("top_logprobs", 0))

    def _pieces(self, events: Any, received: _Received) -> Iterator[str]:
        """Yield the text of a stream's events, and collect in `received` what the `Generation` needs."""
        from openai import APIConnectionError, OpenAIError

        half = ""
        try:
            for event in events:
                choice = first_of(get(plain(event), "choices"))
                content = get(choice, "delta", "content")
                received.entries += logprob_entries(choice)
                received.reason = get(choice, "finish_reason") or received.reason
                piece = half + (content if isinstance(content, str) else "")
                # A character outside the basic plane may come as two surrogates in two events.
                half = piece[-1] if piece and "\ud800" <= piece[-1] <= "\udbff" else ""
                piece = whole_characters(piece.removesuffix(half))
                received.text += piece
                if piece:
                    yield piece
        except APIConnectionError as error:
            raise ModelUnavailable(
                f"{self.name} interrupted its stream after {len(received.text)} characters: {clip(str(error))}; see the "
                "server's log, raise timeout, or use generate, which retries"
            ) from error
        except OpenAIError as error:
            self._fail(error)
        except ValueError as error:
            raise ModelResponseError(f"{self.name} sent a stream that is not JSON: {clip(str(error))}") from error
        if not isinstance(received.reason, str) or not received.reason:
            raise ModelResponseError(
                f"{self.name} interrupted its stream after {len(received.text)} characters without a finish reason; see "
                "the server's log, or use generate, which retries"
            )
        if half:
            received.text += whole_characters(half)
            yield whole_characters(half)

    def _send(self, body: dict[str, Any], create: Callable[[dict[str, Any]], Any]) -> Any:
        """Send a request without the parameters that this server is known to refuse, or refuses now."""
        from openai import APIStatusError, OpenAIError

        refused_now: frozenset[str] = frozenset()
        while True:
            accepted = without(body, self._refused | refused_now)
            try:
                response = create(accepted)
            except APIStatusError as error:
                refused = refused_parameter(error, accepted)
                if refused is None:
                    self._fail(error)
                refused_now |= {refused}
            except OpenAIError as error:
                self._fail(error)
            else:
                # A smaller number of top_logprobs may be accepted.
                lasting = refused_now - {"top_logprobs"} - self._refused
                if lasting:
                    logger.warning("%s refuses %s; continuing without", self.name, ", ".join(sorted(lasting)))
                    self._refused |= lasting
                return response

    def _read(self, content: bytes, body: Mapping[str, Any], window: int | None) -> list[Generation]:
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ModelResponseError(
                f"{self.name} replied with something that is not JSON: {clip(content.decode(errors='replace'))!r}; "
                "check that the URL is that of the API (it usually ends in /v1) and not of a web page"
            ) from error
        if words := error_words(reply):
            if OVERFLOW.search(words):
                raise context_overflow(self.name, words)
            raise ModelResponseError(f"{self.name} replied with an error: {words}")
        choices = get(reply, "choices")
        if not isinstance(choices, list) or not choices:
            raise ModelResponseError(
                f"{self.name} replied without any choices: {clip(content.decode(errors='replace'))!r}; check that the "
                "server offers chat completions"
            )
        max_tokens, prompt_tokens = body["max_tokens"], get(reply, "usage", "prompt_tokens")
        if window is not None and isinstance(prompt_tokens, int) and prompt_tokens + max_tokens > window:
            raise ContextOverflow(
                f"a prompt has {prompt_tokens} tokens as {self.name} counts and its completion may have {max_tokens}, but "
                f"the context window is {window} tokens; shorten the prompt or lower max_new_tokens"
            )
        return [self._choice(choice, body) for choice in choices]

    def _choice(self, choice: object, body: Mapping[str, Any]) -> Generation:
        text, reason = get(choice, "message", "content"), get(choice, "finish_reason") or "stop"
        if not isinstance(text, str) or not isinstance(reason, str):
            reasoning = get(choice, "message", "reasoning_content") or get(choice, "message", "reasoning")
            hint = (
                "its reasoning took all of max_new_tokens, so raise that"
                if reasoning
                else f"its message is {clip(repr(get(choice, 'message')))}"
            )
            raise ModelResponseError(f"{self.name} replied without text (finish reason {reason!r}); {hint}")
        return read_generation(text, reason, logprob_entries(choice), body.get("stop", ()), body.get("top_logprobs", 0))

    def _fail(self, error: Exception) -> NoReturn:
        """Raise an error of the client library as one of halluc's."""
        raise explained(
            error, name=self.name, timeout=self.timeout, tries=self.max_retries + 1, served_models=self._models_hint
        ) from error

    def _models_hint(self) -> str:
        from openai import OpenAIError

        try:
            served = sorted(self.served_models())
        except (OpenAIError, HallucError):
            served = []
        if not served or self.model in served:
            return "correct the URL (it usually ends in /v1) or the model's name after '#'"
        more = f" and {len(served) - 10} more" if len(served) > 10 else ""
        return f"it serves {clip(', '.join(served[:10]))}{more}: put one of these after '#'"


@dataclass
class _Received:
    """What a stream has sent so far."""

    text: str = ""
    reason: Any = ""
    entries: list[object] = field(default_factory=list)
