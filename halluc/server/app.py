"""The routes: chat completions, checking an answer, the models served, and whether the server is well.

    POST /v1/chat/completions    OpenAI's protocol, whole or as a stream of events; grounded in the index where there is one.
                                 The field `halluc` of a reply has verdicts, citations, confidence, abstained and reason.
    POST /check                  {"answer": ..., "context": ..., "question": ...} -> `CheckReport.to_dict()`; against the
                                 index without a context
    GET /v1/models, /health

Errors have the form {"error": {"message", "type", "code"}}. Not here: what requests and replies look like (chat.py), the
thread that works on them (worker.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from halluc.answers import Answer
from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelResponseError, ModelUnavailable
from halluc.models.language_model import Generation, Prompt
from halluc.server.chat import (
    ChatRequest,
    answer_fields,
    answer_text,
    chunk,
    completion,
    logprobs_of,
    read_chat,
)
from halluc.server.worker import TooManyWaiting, Worker
from halluc.verification.check import CheckReport, check_many
from retrieval.errors import RetrievalError
from retrieval.files import parse_json_object

if TYPE_CHECKING:
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier

__all__ = ["create_app"]

logger = logging.getLogger(__name__)


def create_app(
    lm: LanguageModel,
    *,
    grounded: GroundedModel | None = None,
    verifier: Verifier | None = None,
    max_body: int = 1_000_000,
    most_waiting: int = 128,
) -> Starlette:
    """An ASGI application that serves one model; run it with any ASGI server, in one process.

    Args:
        lm: the model that answers where there is no index.
        grounded: the model with its index; chat questions then go to it.
        verifier: what judges on /check; None refuses that route.
        max_body: longest request, in bytes.
        most_waiting: requests that may wait for the model; further ones get status 429.
    """
    return _Service(lm, grounded, verifier, max_body, most_waiting).app()


class _Service:
    def __init__(
        self,
        lm: LanguageModel,
        grounded: GroundedModel | None,
        verifier: Verifier | None,
        max_body: int,
        most_waiting: int,
    ) -> None:
        self.lm, self.grounded, self.verifier = lm, grounded, verifier
        self.max_body = max_body
        self.worker = Worker(most_waiting=most_waiting)

    def app(self) -> Starlette:
        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            yield
            await asyncio.to_thread(self.worker.close)

        return Starlette(
            routes=[
                Route("/v1/chat/completions", _guarded(self.chat), methods=["POST"]),
                Route("/check", _guarded(self.check), methods=["POST"]),
                Route("/v1/models", self.models, methods=["GET"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_error},
            lifespan=lifespan,
        )

    async def health(self, _request: Request) -> Response:
        passages = None if self.grounded is None else len(self.grounded.index)
        return JSONResponse({"status": "ok", "model": self.lm.name, "passages": passages, "waiting": self.worker.waiting})

    async def models(self, _request: Request) -> Response:
        served = {"id": self.lm.name, "object": "model", "owned_by": "halluc", "max_model_len": self.lm.context_window}
        return JSONResponse({"object": "list", "data": [served]})

    async def chat(self, request: Request) -> Response:
        body = await self._body(request)
        if body.get("model") not in (None, self.lm.name):
            raise HTTPException(404, f"there is no model {body['model']!r}; this server has {self.lm.name}")
        asked = read_chat(body)
        if self.grounded is not None:
            return await self._grounded(asked, self.grounded)
        if asked.stream:
            return await self._streamed(lambda: self._pieces(asked), lambda last: {})
        options = asked.options()
        if asked.temperature == 0:
            options = {**options, "seed": 0}
        # Greedy completions do not depend on what else is in the batch; samples do.
        key = tuple(options.items()) if asked.temperature == 0 else object()
        own = await self.worker.run(key, lambda prompts: self.lm.generate(prompts, **options), list(asked.messages))
        choices = [
            {
                "message": {"role": "assistant", "content": generation.text},
                "finish_reason": generation.finish_reason,
                "logprobs": logprobs_of(generation, self.lm) if asked.logprobs else None,
            }
            for generation in own
        ]
        return JSONResponse(completion(self.lm.name, choices, usage=self._usage(list(asked.messages), own)))

    async def _grounded(self, asked: ChatRequest, model: GroundedModel) -> Response:
        question = asked.question(model.max_new_tokens)
        if asked.stream:
            return await self._streamed(lambda: model.stream(question), answer_fields)
        answer: Answer = await self.worker.run("ask", model.batch, question)
        generation = answer.generation
        told = asked.logprobs and generation is not None and not answer.abstained
        choice = {
            "message": {"role": "assistant", "content": answer_text(answer)},
            "finish_reason": "stop" if generation is None or answer.abstained else generation.finish_reason,
            "logprobs": logprobs_of(generation, self.lm) if told and generation is not None else None,
        }
        return JSONResponse(completion(self.lm.name, [choice], halluc=answer_fields(answer)))

    async def check(self, request: Request) -> Response:
        body = await self._body(request)
        verifier = self.verifier
        if verifier is None:
            raise InvalidInput("this server was started without a verifier; start it with one to check answers")
        for name in ("answer", "context", "question"):
            if not isinstance(body.get(name), str | None) or (name == "answer" and body.get(name) is None):
                raise InvalidInput(f"{name} is {body.get(name)!r}; send a text")
        with_context = body.get("context") is not None
        index = None if with_context or self.grounded is None else self.grounded.index
        if not with_context and index is None:
            raise InvalidInput("context is missing, and this server has no index; send the text that the answer must follow")

        def work(items: list[tuple[str, str, str | None]]) -> list[CheckReport]:
            answers, contexts, questions = zip(*items, strict=True)
            return check_many(
                answers, contexts=contexts if with_context else None, index=index, verifier=verifier, questions=questions
            )

        item = (body["answer"], body.get("context"), body.get("question"))
        report = await self.worker.run(("check", with_context), work, item)
        return JSONResponse(report.to_dict())

    async def _body(self, request: Request) -> dict[str, Any]:
        """The JSON object sent, never more than `max_body` bytes of it in memory."""
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > self.max_body:
                raise HTTPException(413, f"the request is longer than {self.max_body} bytes; send less")
        try:
            return parse_json_object(bytes(content))
        except ValueError as error:
            raise InvalidInput(f"the request {error}") from error

    def _pieces(self, asked: ChatRequest) -> Iterator[str | Generation]:
        if asked.top_p != 1:
            raise InvalidInput(f"top_p is {asked.top_p}; a stream samples from all tokens, so leave it out")
        options = {name: value for name, value in asked.options().items() if name not in ("n", "top_p", "top_logprobs")}
        prompt: Prompt = list(asked.messages)
        return self.lm.stream(prompt, **options)

    async def _streamed(
        self, pieces: Callable[[], Iterator[Any]], fields: Callable[[Any], dict[str, Any]]
    ) -> StreamingResponse:
        """Pieces of text, then what they end with, as server-sent events."""
        coming = self.worker.stream(pieces)
        # What is wrong from the start is an error with a status; the response has not begun yet.
        first = await anext(coming)

        async def events() -> AsyncIterator[str]:
            head: dict[str, Any] | None = None
            shown = False
            try:
                piece = first
                while True:
                    if isinstance(piece, str):
                        head = chunk(head, self.lm.name, {"role": "assistant", "content": piece})
                        shown = True
                        yield _event(head)
                        piece = await anext(coming)
                        continue
                    if isinstance(piece, Answer) and piece.abstained and not shown:
                        head = chunk(head, self.lm.name, {"role": "assistant", "content": answer_text(piece)})
                        yield _event(head)
                    generation = piece.generation if isinstance(piece, Answer) else piece
                    reason = "stop" if generation is None else generation.finish_reason
                    told = fields(piece)
                    yield _event({**chunk(head, self.lm.name, {}, reason), **({"halluc": told} if told else {})})
                    break
            except Exception as error:
                yield _event(_described(error)[1])
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _usage(self, prompt: Prompt, own: list[Generation]) -> dict[str, int]:
        read, written = self.lm.count_tokens(prompt), sum(len(generation.token_ids) for generation in own)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HTTPException:
            raise
        except Exception as error:
            status, body = _described(error)
            return JSONResponse(body, status)

    return guarded


def _described(error: Exception) -> tuple[int, dict[str, Any]]:
    """The status and the body that tell of an error."""
    if isinstance(error, ContextOverflow):
        return _error(400, str(error), "context_length_exceeded")
    if isinstance(error, TooManyWaiting):
        return _error(429, str(error))
    if isinstance(error, ModelUnavailable):
        return _error(503, str(error))
    if isinstance(error, ModelResponseError):
        return _error(502, str(error))
    if isinstance(error, HallucError | RetrievalError):
        return _error(400, str(error))
    logger.error("a request failed", exc_info=error)
    return _error(500, "the server failed; its log says why")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, body = _error(error.status_code, error.detail)
    return JSONResponse(body, status)


def _error(status: int, message: str, code: str | None = None) -> tuple[int, dict[str, Any]]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return status, {"error": {"message": message, "type": kind, "code": code}}
