"""The application of a model: chat completions, answer checks, the list of models.

    POST /v1/chat/completions    OpenAI's protocol, complete or as server-sent events; grounded in the index if there is one.
                                 The field `halluc` of a grounded reply has verdicts, unchecked, citations, confidence,
                                 abstained and reason. A request may have a field `halluc` too: on_unsupported ("mark",
                                 "stop" or "replace"), filter (metadata that passages must have) and inline_citations
                                 (write [n] after each sentence; a stream then comes whole).
    POST /check                  {"answer": ..., "context": ..., "question": ...} -> `CheckReport.to_dict()`; the context is
                                 a text or a list of texts, and without one the answer is checked against the index.
    GET /                        a page for people, which uses the other routes.
    PUT /documents/NAME          the bytes of a file -> the index has this document; only with a folder for uploads.
    GET /v1/models, /features, /documents, /passages/ID, /health, /metrics, /docs

Errors have the form {"error": {"message", "type", "param", "code"}}. Not covered: what all applications have
(foundation.py), how an answer comes about (chat.py), the work of /check (checks.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from halluc.grounding.sentence_gate import CheckedSentence
from halluc.server.chat import Chat, ChatService, Ending
from halluc.server.checks import CheckService
from halluc.server.documents import DocumentService
from halluc.server.foundation import new_app, unless_disconnected
from halluc.server.generation import generator_for
from halluc.server.observation import Metrics
from halluc.server.options import ServerOptions
from halluc.server.page import add_page
from halluc.server.replies import ReplyHead, answer_fields, described_error, logprobs_of, span_fields, sse, usage_of
from halluc.server.requests import ChatBody, CheckBody
from halluc.server.worker import Worker

if TYPE_CHECKING:
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier

__all__ = ["create_app"]


def create_app(
    lm: LanguageModel,
    *,
    grounded: GroundedModel | None = None,
    verifier: Verifier | None = None,
    options: ServerOptions | None = None,
) -> FastAPI:
    """Build an ASGI application that serves one model; run it with any ASGI server, in one process.

    Args:
        lm: the model that answers chats if there is no index.
        grounded: the model with its index; the last question of a chat is then answered from it.
        verifier: judges the claims on /check; None refuses that route.
        options: names, key, limits and wording.
    """
    service = _Service(lm, grounded, verifier, options or ServerOptions())
    return service.app


class _Service:
    def __init__(
        self, lm: LanguageModel, grounded: GroundedModel | None, verifier: Verifier | None, options: ServerOptions
    ) -> None:
        self.lm, self.grounded, self.options = lm, grounded, options
        self.names = (lm.name, *options.aliases)
        self.worker = Worker(max_queue=options.max_queue)
        self.generator = generator_for(lm, max_rows=options.max_rows, max_queue=options.max_queue)
        self.chats = ChatService(lm, grounded, self.generator, self.worker, options)
        index = None if grounded is None else grounded.index
        self.checks = CheckService(verifier, index, self.worker, options)
        self.documents = DocumentService(index, options)
        self.metrics = Metrics(running=lambda: self.generator.running, waiting=lambda: self.worker.waiting)
        self.app = new_app(options, self.metrics, self._lifespan, self._health)
        self.app.post("/v1/chat/completions", summary="Answer a conversation", response_class=Response)(self.chat)
        self.app.post("/check", summary="Check an answer against a context or the index", response_class=Response)(
            self.check
        )
        add_page(self.app, self._features)
        self.documents.add_routes(self.app)
        self.app.get("/v1/models", summary="List the model under its names")(self.models)
        self.app.get("/v1/models/{name:path}", summary="Describe the model")(self.model)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        yield
        # What does not end within this time is abandoned with the process.
        await asyncio.to_thread(self.generator.close, 5.0)
        await asyncio.to_thread(self.worker.close, 1.0)
        await asyncio.to_thread(self.documents.close, 1.0)

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "model": self.lm.name,
            "passages": None if self.grounded is None else len(self.grounded.index),
            "running": self.generator.running,
            "waiting": self.worker.waiting,
        }

    def _features(self) -> dict[str, Any]:
        calibrated = self.grounded is not None and self.grounded.calibrator is not None
        checks = self.checks.verifier is not None
        return {"model": self.lm.name, "checks": checks, "calibrated": calibrated, **self.documents.features}

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [self._described(name) for name in self.names]}

    async def model(self, name: str) -> dict[str, Any]:
        self._check_name(name)
        return self._described(name)

    async def chat(self, body: ChatBody, request: Request) -> Response:
        if body.model is not None:
            self._check_name(body.model)
        chat = self.chats.chat(body)
        head = ReplyHead(body.model or self.names[0])
        if body.stream:
            return await self._streamed(request, chat, body, head)
        reply = await unless_disconnected(request, self._complete(chat, body, head))
        return JSONResponse(reply)

    async def check(self, body: CheckBody, request: Request) -> Response:
        report = await unless_disconnected(request, self.checks.check(body))
        for verdict in report.verdicts:
            self.metrics.verdicts.labels(verdict.label).inc()
        return JSONResponse({**report.to_dict(), **span_fields(report.verdicts)})

    # -- private ---------------------------------------------------------------------------------------------------

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "halluc", "max_model_len": self.lm.context_window}

    def _check_name(self, name: str) -> None:
        if name not in self.names:
            raise HTTPException(404, f"there is no model {name!r}; this server has {' and '.join(self.names)}")

    async def _complete(self, chat: Chat, body: ChatBody, head: ReplyHead) -> dict[str, Any]:
        await chat.begin()
        async with aclosing(chat.pieces()) as pieces:
            endings = {number: piece async for number, piece in pieces if isinstance(piece, Ending)}
        self._count(chat, list(endings.values()))
        choices = []
        for number in range(chat.n):
            ending = endings[number]
            choice = {
                "index": number,
                "message": {"role": "assistant", "content": ending.text, "refusal": None},
                "finish_reason": ending.finish_reason,
                "logprobs": logprobs_of(ending.generation, self.lm) if body.logprobs else None,
            }
            if chat.n > 1 and ending.answer is not None:
                choice["halluc"] = answer_fields(ending.answer)
            choices.append(choice)
        fields = self._fields(chat, endings[0])
        return head.completion(choices, usage=usage_of(chat.prompt_tokens, chat.completion_tokens), **fields)

    async def _streamed(self, request: Request, chat: Chat, body: ChatBody, head: ReplyHead) -> Response:
        async def begun() -> AsyncGenerator[tuple[int, str | CheckedSentence | Ending], None]:
            await chat.begin()
            async with aclosing(chat.pieces()) as pieces:
                async for item in pieces:
                    yield item

        source = begun()
        start = time.perf_counter()
        # The response has not begun yet, so that an error before the first piece gets a status.
        first = await unless_disconnected(request, anext(source))
        self.metrics.first_token.observe(time.perf_counter() - start)
        events = self._events(first, source, chat, body, head)
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _events(
        self,
        first: tuple[int, str | CheckedSentence | Ending],
        source: AsyncGenerator[tuple[int, str | CheckedSentence | Ending], None],
        chat: Chat,
        body: ChatBody,
        head: ReplyHead,
    ) -> AsyncIterator[str]:
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        no_usage: dict[str, Any] = {"usage": None} if with_usage else {}
        shown: set[int] = set()
        endings: list[Ending] = []
        async with aclosing(source):
            try:
                item: tuple[int, str | CheckedSentence | Ending] | None = first
                while item is not None:
                    number, piece = item
                    for choice, fields in self._parts(number, piece, shown, chat, body):
                        yield sse(head.chunk([choice], **fields, **no_usage))
                    if isinstance(piece, Ending):
                        endings.append(piece)
                    item = await anext(source, None)
                if with_usage:
                    yield sse(head.chunk([], usage=usage_of(chat.prompt_tokens, chat.completion_tokens)))
            except Exception as error:
                yield sse(described_error(error)[1])
        self._count(chat, endings)
        yield "data: [DONE]\n\n"

    def _parts(
        self, number: int, piece: str | CheckedSentence | Ending, shown: set[int], chat: Chat, body: ChatBody
    ) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The parts of a stream that a piece becomes, each a choice and further fields."""

        def part(content: str) -> tuple[dict[str, Any], dict[str, Any]]:
            role = {} if number in shown else {"role": "assistant"}
            shown.add(number)
            return {"index": number, "delta": {**role, "content": content}, "finish_reason": None}, {}

        if isinstance(piece, str):
            return [part(piece)]
        if isinstance(piece, CheckedSentence):
            return [({"index": number, "delta": {}, "finish_reason": None}, {"halluc": {"sentence": piece.to_dict()}})]
        # What is shown of an abstention, which has no text of its own.
        parts = [part(piece.text)] if number not in shown and piece.text else []
        choice: dict[str, Any] = {"index": number, "delta": {}, "finish_reason": piece.finish_reason}
        if body.logprobs:
            choice["logprobs"] = logprobs_of(piece.generation, self.lm)
        return [*parts, (choice, self._fields(chat, piece))]

    def _fields(self, chat: Chat, ending: Ending) -> dict[str, Any]:
        """The field `halluc` of a reply, if there is anything to say."""
        fields = {} if ending.answer is None else answer_fields(ending.answer)
        if chat.dropped_turns or ending.answer is not None:
            fields["dropped_turns"] = chat.dropped_turns
        return {"halluc": fields} if fields else {}

    def _count(self, chat: Chat, endings: list[Ending]) -> None:
        self.metrics.tokens.labels("prompt").inc(chat.prompt_tokens)
        self.metrics.tokens.labels("completion").inc(chat.completion_tokens)
        for ending in endings:
            if ending.answer is not None:
                self.metrics.count_answer(ending.answer)
