"""The routes: chat completions, answer checks, the list of models, and a health check.

    POST /v1/chat/completions    OpenAI's protocol, complete or as server-sent events; grounded in the index if there is one.
                                 The field `halluc` of a grounded reply has verdicts, unchecked, citations, confidence,
                                 abstained and reason.
    POST /check                  {"answer": ..., "context": ..., "question": ...} -> `CheckReport.to_dict()`; the context is
                                 a text or a list of texts, and without one the answer is checked against the index.
    GET /v1/models, /health

Errors have the form {"error": {"message", "type", "code"}}. Not covered: requests and replies as JSON (chat.py), the thread
that runs the model (worker.py).
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
from halluc.errors import (
    ContextOverflow,
    HallucError,
    InvalidInput,
    ModelResponseError,
    ModelUnavailable,
    RetrievalFailed,
)
from halluc.models.language_model import Generation
from halluc.server.chat import (
    ChatRequest,
    answer_fields,
    answer_text,
    chunk,
    completion,
    logprobs_of,
    read_chat,
)
from halluc.server.worker import QueueFull, Worker
from halluc.verification.check import CheckReport, check_many
from halluc.verification.contexts import Context, context_passages
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
    max_queue: int = 128,
) -> Starlette:
    """Build an ASGI application that serves one model; run it with any ASGI server, in one process.

    Args:
        lm: the model that answers chats if there is no index.
        grounded: the model with its index; chats are then single questions to it.
        verifier: judges the claims on /check; None refuses that route.
        max_body: maximum size of a request, in bytes.
        max_queue: maximum number of requests that wait for the model; further ones get status 429.
    """
    return _Service(lm, grounded, verifier, max_body, max_queue).app()


class _Service:
    def __init__(
        self,
        lm: LanguageModel,
        grounded: GroundedModel | None,
        verifier: Verifier | None,
        max_body: int,
        max_queue: int,
    ) -> None:
        self.lm, self.grounded, self.verifier = lm, grounded, verifier
        self.max_body = max_body
        self.worker = Worker(max_queue=max_queue)
        self._special_tokens: tuple[str, ...] = getattr(lm, "special_tokens", ())

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
        chat = read_chat(body)
        if self.grounded is not None:
            return await self._grounded(chat, self.grounded)
        if chat.stream:
            return await self._streamed(lambda: self._pieces(chat), lambda last: {})
        prompt, options = chat.prompt(self._special_tokens), chat.options()
        if chat.temperature == 0:
            options["seed"] = 0
        # Greedy completions do not depend on the other requests of a batch; samples do.
        key = tuple(options.items()) if chat.temperature == 0 else object()

        def work(prompts: list[list[dict[str, str]]]) -> list[tuple[list[Generation], int]]:
            counts = [self.lm.count_tokens(prompt) for prompt in prompts]
            return list(zip(self.lm.generate(prompts, **options), counts, strict=True))

        generations, prompt_tokens = await self.worker.run(key, work, prompt)
        choices = [
            {
                "message": {"role": "assistant", "content": generation.text},
                "finish_reason": generation.finish_reason,
                "logprobs": logprobs_of(generation, self.lm) if chat.logprobs else None,
            }
            for generation in generations
        ]
        completion_tokens = sum(len(generation.token_ids) for generation in generations)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        }
        return JSONResponse(completion(self.lm.name, choices, usage=usage))

    async def _grounded(self, chat: ChatRequest, model: GroundedModel) -> Response:
        question = chat.question(model.max_new_tokens)
        if chat.stream:
            return await self._streamed(lambda: model.stream(question), answer_fields)
        answer: Answer = await self.worker.run("ask", model.batch, question)
        # An abstention has no tokens of its own.
        generation = None if answer.abstained else answer.generation
        choice = {
            "message": {"role": "assistant", "content": answer_text(answer)},
            "finish_reason": "stop" if generation is None else generation.finish_reason,
            "logprobs": logprobs_of(generation, self.lm) if chat.logprobs and generation is not None else None,
        }
        return JSONResponse(completion(self.lm.name, [choice], halluc=answer_fields(answer)))

    async def check(self, request: Request) -> Response:
        body = await self._body(request)
        verifier = self.verifier
        if verifier is None:
            raise InvalidInput("this server was started without a verifier; start it with --verifier to check answers")
        for name in ("answer", "question"):
            if not isinstance(body.get(name), str | None) or (name == "answer" and body.get(name) is None):
                raise InvalidInput(f"{name} is {body.get(name)!r}; send a text")
        if body.get("context") is not None:
            context_passages(body["context"])
        with_context = body.get("context") is not None
        index = None if with_context or self.grounded is None else self.grounded.index
        if not with_context and index is None:
            raise InvalidInput("context is missing, and this server has no index; send the text to check the answer against")

        def work(items: list[tuple[str, Context, str | None]]) -> list[CheckReport]:
            answers, contexts, questions = zip(*items, strict=True)
            return check_many(
                answers, contexts=contexts if with_context else None, index=index, verifier=verifier, questions=questions
            )

        item = (body["answer"], body.get("context"), body.get("question"))
        report = await self.worker.run(("check", with_context), work, item)
        return JSONResponse(report.to_dict())

    async def _body(self, request: Request) -> dict[str, Any]:
        """Read the request's JSON object, never more than `max_body` bytes of it into memory."""
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > self.max_body:
                raise HTTPException(413, f"the request is longer than {self.max_body} bytes; send less")
        try:
            return parse_json_object(bytes(content))
        except ValueError as error:
            raise InvalidInput(f"the request {error}") from error

    def _pieces(self, chat: ChatRequest) -> Iterator[str | Generation]:
        if chat.top_p != 1:
            raise InvalidInput(f"top_p is {chat.top_p}; a stream samples from all tokens, so leave it out")
        options = {name: value for name, value in chat.options().items() if name not in ("n", "top_p", "top_logprobs")}
        return self.lm.stream(chat.prompt(self._special_tokens), **options)

    async def _streamed(
        self, pieces: Callable[[], Iterator[Any]], fields: Callable[[Any], dict[str, Any]]
    ) -> StreamingResponse:
        """Send pieces of text and then the final piece, with its `fields`, as server-sent events."""
        stream = self.worker.stream(pieces)
        # The response has not begun yet, so that an error before the first piece gets a status.
        first = await anext(stream)

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
                        piece = await anext(stream)
                        continue
                    if isinstance(piece, Answer) and piece.abstained and not shown:
                        head = chunk(head, self.lm.name, {"role": "assistant", "content": answer_text(piece)})
                        yield _event(head)
                    generation = piece.generation if isinstance(piece, Answer) else piece
                    reason = "stop" if generation is None else generation.finish_reason
                    extra = fields(piece)
                    yield _event({**chunk(head, self.lm.name, {}, reason), **({"halluc": extra} if extra else {})})
                    break
            except Exception as error:
                yield _event(_described(error)[1])
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})


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
    """The status and the body of the reply to an error."""
    if isinstance(error, ContextOverflow):
        return _error(400, str(error), "context_length_exceeded")
    if isinstance(error, QueueFull):
        return _error(429, str(error))
    if isinstance(error, ModelUnavailable | RetrievalFailed):
        return _error(503, str(error))
    if isinstance(error, ModelResponseError):
        return _error(502, str(error))
    if isinstance(error, HallucError | RetrievalError):
        return _error(400, str(error))
    logger.error("a request failed", exc_info=error)
    return _error(500, "the server failed; see its log")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, body = _error(error.status_code, error.detail)
    return JSONResponse(body, status)


def _error(status: int, message: str, code: str | None = None) -> tuple[int, dict[str, Any]]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return status, {"error": {"message": message, "type": kind, "code": code}}
