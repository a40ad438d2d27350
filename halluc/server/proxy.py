"""A proxy in front of any OpenAI-compatible server, which checks its replies against the context of the conversation.

A request is passed on as it is, tools included. The reply comes back with verdicts in the field `halluc`, or with
unsupported sentences marked, replaced or left out. Not covered: what the context is (context.py), the connection to the
server (upstream.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from halluc.answers import Claim, Verdict
from halluc.errors import leaf_errors_as_ours
from halluc.grounding.judging import Part, complete_length, judge_parts
from halluc.grounding.sentence_gate import OnUnsupported, SentenceGate
from halluc.models.endpoint_protocol import get
from halluc.server.checks import CheckService
from halluc.server.context import context_of, last_question
from halluc.server.documents import DocumentService
from halluc.server.foundation import new_app, unless_disconnected
from halluc.server.observation import Metrics
from halluc.server.options import ServerOptions
from halluc.server.page import add_page
from halluc.server.replies import described_error, span_fields, sse
from halluc.server.requests import CheckBody, HallucBody, validation_message
from halluc.server.upstream import Upstream
from halluc.server.worker import Worker

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import Passage, PassageStore

__all__ = ["create_proxy"]


def create_proxy(
    upstream: str,
    *,
    verifier: Verifier,
    index: PassageStore | None = None,
    k: int = 3,
    upstream_key: str | None = None,
    timeout: float = 600.0,
    options: ServerOptions | None = None,
) -> FastAPI:
    """Build an ASGI application that passes chats on to another server, and checks its replies.

    Args:
        upstream: "http://host:port/v1", or "http://host:port/v1#model" to name the model of every request.
        verifier: judges the claims of replies.
        index: passages for the last question, which count as context too.
        k: passages per question.
        upstream_key: the key of that server; without one, the key that a client sends is passed on, unless it is the key
            of this server.
        timeout: seconds that the server may be silent.
        options: key, limits and wording.

    Raises:
        InvalidInput: the URL is malformed.
    """
    options = options or ServerOptions()
    connection = Upstream(upstream, key=upstream_key, pass_on_key=options.api_key is None, timeout=timeout)
    return _Proxy(connection, verifier, index, k, options).app


class _Proxy:
    def __init__(
        self, upstream: Upstream, verifier: Verifier, index: PassageStore | None, k: int, options: ServerOptions
    ) -> None:
        self.upstream, self.verifier, self.index, self.k, self.options = upstream, verifier, index, k, options
        self.worker = Worker(max_queue=options.max_queue)
        self.checks = CheckService(verifier, index, self.worker, options)
        self.documents = DocumentService(index, options)
        self.running = 0
        self.metrics = Metrics(running=lambda: self.running, waiting=lambda: self.worker.waiting)
        self.app = new_app(options, self.metrics, self._lifespan, self._health)
        self.app.post(
            "/v1/chat/completions", summary="Pass a conversation on, and check the reply", response_class=Response
        )(self.chat)
        self.app.post("/check", summary="Check an answer against a context or the index", response_class=Response)(
            self.check
        )
        add_page(self.app, self._features)
        self.documents.add_routes(self.app)
        self.app.get("/v1/models", summary="List the server's models", response_class=Response)(self.models)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        async with self.upstream:
            yield
        await asyncio.to_thread(self.worker.close, 1.0)
        await asyncio.to_thread(self.documents.close, 1.0)

    def _health(self) -> dict[str, Any]:
        passages = None if self.index is None else len(self.index)
        return {
            "status": "ok",
            "upstream": self.upstream.base_url,
            "passages": passages,
            "running": self.running,
            "waiting": self.worker.waiting,
        }

    def _features(self) -> dict[str, Any]:
        return {"model": self.upstream.base_url, "checks": True, "calibrated": False, **self.documents.features}

    async def models(self, request: Request) -> Response:
        return await self.upstream.get("/models", request.headers)

    async def chat(self, body: dict[str, Any], request: Request) -> Response:
        try:
            own = TypeAdapter(HallucBody | None).validate_python(body.pop("halluc", None))
        except ValidationError as error:
            raise HTTPException(400, f"halluc: {validation_message(error.errors(), {})}") from error
        action = (own and own.on_unsupported) or self.options.on_unsupported
        reply = _Reply(self, body, action, own.filter if own else None)
        self.running += 1
        try:
            if body.get("stream") is not True:
                return await unless_disconnected(request, self._complete(body, reply, request))
            # The response has not begun yet, so that an error before it gets a status.
            opened = await unless_disconnected(request, self.upstream.open_stream(body, request.headers))
            if isinstance(opened, Response):
                return opened
            self.running += 1
            return StreamingResponse(
                self._events(opened, reply), media_type="text/event-stream", headers={"cache-control": "no-store"}
            )
        finally:
            self.running -= 1

    async def check(self, body: CheckBody, request: Request) -> Response:
        report = await unless_disconnected(request, self.checks.check(body))
        return JSONResponse({**report.to_dict(), **span_fields(report.verdicts)})

    # -- private ---------------------------------------------------------------------------------------------------

    async def _complete(self, body: dict[str, Any], reply: _Reply, request: Request) -> Response:
        answered = await self.upstream.post(body, request.headers)
        if isinstance(answered, Response):
            return answered
        choices = answered.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            text = get(choice, "message", "content")
            if isinstance(text, str) and text.strip():
                checked = reply.choice(choice.get("index", 0))
                shown = await checked.add(text) + await checked.end(choice.get("finish_reason"))
                if reply.action is not None:
                    choice["message"]["content"] = shown.strip() or self.options.wording.unsure
                if checked.stopped:
                    choice["finish_reason"] = "content_filter"
                choice["halluc"] = await checked.fields()
        answered["halluc"] = next((c["halluc"] for c in choices or [] if "halluc" in c), {"reason": "the reply has no text"})
        return JSONResponse(answered)

    async def _events(self, opened: AsyncIterator[dict[str, Any]], reply: _Reply) -> AsyncIterator[str]:
        try:
            async for event in opened:
                passed_on = await self._checked_event(event, reply)
                if passed_on is not None:
                    yield sse(passed_on)
                if reply.all_stopped:
                    break
        except Exception as error:
            yield sse(described_error(error)[1])
        finally:
            self.running -= 1
            close = getattr(opened, "aclose", None)
            if close is not None:
                await close()
        yield "data: [DONE]\n\n"

    async def _checked_event(self, event: dict[str, Any], reply: _Reply) -> dict[str, Any] | None:
        """The event as it is passed on; None if all that is in it is held back."""
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices:
            return event
        kept = []
        for choice in choices:
            checked = reply.choice(choice.get("index", 0))
            if checked.finished:
                continue
            delta = choice.get("delta") if isinstance(choice.get("delta"), dict) else {}
            text = delta.get("content")
            shown = await checked.add(text) if isinstance(text, str) else ""
            if choice.get("finish_reason") is not None or checked.stopped:
                shown += await checked.end(choice.get("finish_reason"))
                if checked.stopped:
                    choice["finish_reason"] = "content_filter"
                    if not checked.has_shown:
                        shown += self.options.wording.unsure
                checked.finished = True
                event["halluc"] = await checked.fields()
            # Also a first part of which the text is held back names the role.
            if isinstance(text, str) or shown:
                delta = {**delta, "content": shown}
            others = any(value for name, value in delta.items() if name not in ("content", "role"))
            if shown or others or delta.get("role") or choice.get("finish_reason") is not None:
                kept.append({**choice, "delta": delta})
        return {**event, "choices": kept} if kept else None


class _Reply:
    """The reply to one request: what its context is, and its choices."""

    def __init__(
        self, proxy: _Proxy, body: dict[str, Any], action: OnUnsupported | None, metadata: dict[str, Any] | None
    ) -> None:
        self.proxy, self.action = proxy, action
        messages = body.get("messages")
        self._messages = messages if isinstance(messages, list) else []
        self.question = last_question(self._messages)
        self._metadata = metadata
        self._choices: dict[Any, _Choice] = {}
        n = body.get("n")
        self._count = n if isinstance(n, int) else 1
        self._passages: tuple[Passage, ...] | None = None

    @property
    def all_stopped(self) -> bool:
        """Whether nothing more is needed of the server."""
        return len(self._choices) >= self._count and all(choice.stopped for choice in self._choices.values())

    def choice(self, number: Any) -> _Choice:
        return self._choices.setdefault(number, _Choice(self))

    async def passages(self) -> tuple[Passage, ...]:
        """The context of the conversation, and what the index has for its last question."""
        if self._passages is None:
            found: list[Passage] = []
            if self.proxy.index is not None and self.question:
                key = ("search", json.dumps(self._metadata, sort_keys=True))
                found = await self.proxy.worker.run(key, self._search, self.question)
            self._passages = (*context_of(self._messages), *found)
        return self._passages

    def _search(self, questions: list[str]) -> list[list[Passage]]:
        index = self.proxy.index
        assert index is not None
        with leaf_errors_as_ours():
            index.refresh()
            results = index.search(questions, k=self.proxy.k, filter=self._metadata)
        return [[hit.passage for hit in hits] for hits in results]


class _Choice:
    """One text of a reply while it grows."""

    def __init__(self, reply: _Reply) -> None:
        self._reply = reply
        wording = reply.proxy.options.wording
        self._gate = None if reply.action is None else SentenceGate(reply.action, replacement=wording.replacement)
        self._text = ""
        self._complete: int | None = None
        self._verdicts: tuple[Verdict, ...] = ()
        self._unchecked: tuple[Claim, ...] = ()
        self.finished = False

    @property
    def stopped(self) -> bool:
        """Whether a sentence without support has ended the text."""
        return self._gate is not None and self._gate.stopped

    @property
    def has_shown(self) -> bool:
        """Whether any text was passed on."""
        return self._gate is None or bool(self._gate.shown)

    async def add(self, text: str) -> str:
        """Add text of the server; returns what is passed on now."""
        self._text += text
        return text if self._gate is None else await self._decided(self._gate, self._gate.add(text))

    async def end(self, finish_reason: object) -> str:
        """Note that the text ends; returns what is passed on now. A sentence that was cut is not judged."""
        reason = "length" if finish_reason == "length" else "stop"
        if reason == "length":
            self._complete = complete_length(self._text)
        return "" if self._gate is None else await self._decided(self._gate, self._gate.end(reason))

    async def fields(self) -> dict[str, Any]:
        """The field `halluc`: verdicts on the whole text, or why there are none."""
        passages = await self._reply.passages()
        if not passages:
            return {"verdicts": [], "unchecked": [], "reason": "the conversation has no context to check the reply against"}
        if self._gate is not None:
            verdicts, unchecked = self._gate.verdicts, self._gate.unchecked
        else:
            end = len(self._text) if self._complete is None else self._complete
            verdicts, unchecked = await self._judge(self._text, 0, end)
        for verdict in verdicts:
            self._reply.proxy.metrics.verdicts.labels(verdict.label).inc()
        return {
            "verdicts": [verdict.to_dict() for verdict in verdicts],
            "unchecked": [claim.to_dict() for claim in unchecked],
            **span_fields(verdicts),
            "reason": "",
        }

    async def _decided(self, gate: SentenceGate, spans: list[tuple[int, int]]) -> str:
        shown = ""
        for span in spans:
            verdicts, unchecked = await self._judge(gate.text, *span)
            shown += "".join(piece for piece in gate.decide(span, verdicts, unchecked) if isinstance(piece, str))
        return shown

    async def _judge(self, text: str, start: int, end: int) -> tuple[tuple[Verdict, ...], tuple[Claim, ...]]:
        passages = await self._reply.passages()
        if not passages or not text.strip():
            return (), ()
        verifier = self._reply.proxy.verifier
        part = Part(self._reply.question or None, text, start, end, passages)
        return await self._reply.proxy.worker.run("judge", lambda parts: judge_parts(verifier, parts), part)
