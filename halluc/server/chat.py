"""Chat completions: from a request to pieces of text, judged sentences, and the end of each completion.

A grounded request goes through the steps of `GroundedModel`, with search and verdicts in the worker's thread and generation
in the batch of all requests. Not covered: routes (app.py), requests and replies as JSON (requests.py, replies.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from halluc.answers import Answer
from halluc.control_tokens import break_control_tokens
from halluc.errors import InvalidInput, leaf_errors_as_ours
from halluc.grounding.conversation import (
    REWRITE_OPTIONS,
    Conversation,
    drop_oldest_turns,
    read_conversation,
    rewritten_question,
)
from halluc.grounding.sentence_gate import CheckedSentence, SentenceGate
from halluc.models.generation_span import start_generation_span
from halluc.models.language_model import Generation, Prompt
from halluc.server.replies import answer_text
from halluc.server.requests import ChatBody, check_supported, conversation_of, sampling_options

if TYPE_CHECKING:
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.grounding.preparation import Prepared
    from halluc.models.language_model import LanguageModel
    from halluc.server.generation import Generator
    from halluc.server.options import ServerOptions
    from halluc.server.worker import Worker

__all__ = ["Chat", "ChatService", "Ending"]

_DEFAULT_TOKENS = 256


@dataclass(frozen=True)
class Ending:
    """The end of a completion.

    Attributes:
        text: the text of a complete reply.
        finish_reason: "stop", "length", or "content_filter" if unsupported text ended it.
        generation: what the model returned; None if it was not asked, or was stopped.
        answer: the grounded answer; None without an index.
    """

    text: str
    finish_reason: str
    generation: Generation | None = None
    answer: Answer | None = None


@dataclass(frozen=True)
class ChatService:
    """What chats need.

    Attributes:
        lm: the model.
        grounded: the model with its index; None if it answers on its own.
        generator: generates for all requests.
        worker: searches and judges for all requests.
        options: options of the server.
    """

    lm: LanguageModel
    grounded: GroundedModel | None
    generator: Generator
    worker: Worker
    options: ServerOptions

    def chat(self, body: ChatBody) -> Chat:
        """Check a request, before any work is done.

        Raises:
            InvalidInput: it is unusable; the message names what and why.
        """
        return Chat(self, body)


class Chat:
    """One request: `begin` it, then read `pieces`.

    Attributes:
        n: number of completions.
        prompt_tokens, completion_tokens: tokens so far.
        dropped_turns: how many of the oldest turns did not fit the model's window.
    """

    def __init__(self, service: ChatService, body: ChatBody) -> None:
        check_supported(body)
        self._service = service
        grounded = service.grounded
        extra = body.halluc
        self._on_unsupported = (extra and extra.on_unsupported) or service.options.on_unsupported
        self._filter = extra.filter if extra else None
        self._inline = bool(extra and extra.inline_citations)
        if self._inline and self._on_unsupported == "mark":
            raise InvalidInput("inline_citations goes without on_unsupported 'mark', whose labels are no part of the answer")
        if grounded is None and extra and (extra.on_unsupported or extra.filter or extra.inline_citations):
            raise InvalidInput("halluc has options of grounded answers, and this server has no index; leave it out")
        if extra and extra.on_unsupported and grounded is not None:
            grounded.gate(extra.on_unsupported)
        self._messages = conversation_of(body)
        self._conversation = None if grounded is None else read_conversation(self._messages)
        self._options = sampling_options(
            body,
            default_tokens=_DEFAULT_TOKENS if grounded is None else grounded.max_new_tokens,
            max_tokens=service.options.max_tokens,
        )
        self.n = body.n or 1
        self.prompt_tokens = self.completion_tokens = self.dropped_turns = 0
        self._prompt: Prompt | None = None
        self._prepared: Prepared | None = None

    async def begin(self) -> None:
        """Do what comes before the first token: rewrite the question, search, and write the prompt."""
        if self._conversation is None:
            self._prompt, self.dropped_turns = await self._service.worker.run("fit", _each(Chat._fitted), self, urgent=True)
            return
        prepared = await self._prepare(await self._stand_alone(self._conversation))
        self._prepared, self._prompt, self.dropped_turns = prepared, prepared.prompt, prepared.dropped_turns

    async def pieces(self) -> AsyncGenerator[tuple[int, str | CheckedSentence | Ending], None]:
        """Yield (number of the completion, piece) until each completion had its `Ending`; closing it ends the work."""
        if self.n == 1:
            async with aclosing(self._completion(0)) as completion:
                async for piece in completion:
                    yield 0, piece
            return
        queue: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()

        async def read(number: int) -> None:
            try:
                async with aclosing(self._completion(number)) as completion:
                    async for piece in completion:
                        queue.put_nowait((number, piece))
            except Exception as error:
                queue.put_nowait((number, error))

        tasks = [asyncio.create_task(read(number)) for number in range(self.n)]
        running = self.n
        try:
            while running:
                number, piece = await queue.get()
                if isinstance(piece, Exception):
                    raise piece
                running -= isinstance(piece, Ending)
                yield number, piece
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- private ---------------------------------------------------------------------------------------------------

    async def _completion(self, number: int) -> AsyncGenerator[str | CheckedSentence | Ending, None]:
        prepared, grounded, prompt = self._prepared, self._service.grounded, self._prompt
        if prompt is None:
            assert prepared is not None
            yield self._ending(await self._finish(prepared, None, None), None)
            return
        gate = None if grounded is None or grounded.verifier is None else grounded.gate(self._on_unsupported, self._wording)
        # A calibrator judges the whole answer, and so do citations: nothing is shown before.
        holds = self._inline or (grounded is not None and grounded.calibrator is not None)
        generation: Generation | None = None
        held: list[str | CheckedSentence] = []
        async with aclosing(self._generate(prompt, number)) as generated:
            async for piece in generated:
                if isinstance(piece, Generation):
                    generation = piece
                for new in await self._gated(piece, gate):
                    if holds:
                        held.append(new)
                    else:
                        yield new
                if gate is not None and gate.stopped:
                    break
        if prepared is None:
            assert generation is not None
            yield Ending(generation.text, generation.finish_reason, generation)
            return
        answer = await self._finish(prepared, generation, gate)
        for new in held:
            if not isinstance(new, str) or not (answer.abstained or self._inline):
                yield new
        if self._inline and not answer.abstained:
            yield answer.cited_text
        yield self._ending(answer, gate)

    async def _gated(self, piece: str | Generation, gate: SentenceGate | None) -> list[str | CheckedSentence]:
        """What is shown now that this piece of text, or the end, has come."""
        if gate is None:
            return [piece] if isinstance(piece, str) else []
        grounded, prepared = self._service.grounded, self._prepared
        assert grounded is not None
        assert prepared is not None
        shown: list[str | CheckedSentence] = []
        for span in gate.add(piece) if isinstance(piece, str) else gate.end(piece.finish_reason):
            verdicts, unchecked = await self._service.worker.run(
                "judge", grounded.judge_sentences, prepared.part(gate.text, span)
            )
            shown += gate.decide(span, verdicts, unchecked)
        return shown

    async def _generate(self, prompt: Prompt, number: int = 0, **options: Any) -> AsyncGenerator[str | Generation, None]:
        """Generate, and count the tokens; `options` replace those of the request."""
        if not options:
            seed = (self._options["seed"] + number + 2**63) % 2**64 - 2**63
            options = {**self._options, "seed": seed}
        stream = self._service.generator.stream(prompt, **options)
        pieces = 0
        # Not the current span while it yields: whoever reads may go on in another context.
        current = start_generation_span(self._service.lm.name)
        try:
            async for piece in stream:
                if isinstance(piece, Generation):
                    pieces = len(piece.token_ids) or pieces
                else:
                    pieces += 1
                yield piece
        finally:
            await stream.aclose()
            if current is not None:
                current.set_attribute("gen_ai.usage.output_tokens", pieces)
                current.end()
            self.completion_tokens += pieces
            # n completions share their prompt.
            self.prompt_tokens += stream.prompt_tokens if number == 0 else 0

    async def _stand_alone(self, conversation: Conversation) -> Conversation:
        grounded = self._service.grounded
        assert grounded is not None
        if not conversation.history:
            return conversation
        conversation, prompt = await self._service.worker.run(
            "rewriting", _each(grounded.rewriting), conversation, urgent=True
        )
        if prompt is None:
            return conversation
        generation: Generation | None = None
        async with aclosing(self._generate(prompt, **REWRITE_OPTIONS)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Generation):
                    generation = piece
        assert generation is not None
        return replace(conversation, question=rewritten_question(conversation, generation))

    async def _prepare(self, conversation: Conversation) -> Prepared:
        grounded, metadata = self._service.grounded, self._filter
        assert grounded is not None
        tokens = self._options["max_new_tokens"]

        def work(conversations: list[Conversation]) -> list[Prepared]:
            with leaf_errors_as_ours():
                # Another process may have changed the index.
                grounded.index.refresh()
            return grounded.prepare(conversations, filter=metadata, max_new_tokens=tokens)

        key = ("prepare", json.dumps(metadata, sort_keys=True), tokens)
        return await self._service.worker.run(key, work, conversation, urgent=True)

    async def _finish(self, prepared: Prepared, generation: Generation | None, gate: SentenceGate | None) -> Answer:
        grounded = self._service.grounded
        assert grounded is not None

        def work(items: list[tuple[Prepared, Generation | None, SentenceGate | None]]) -> list[Answer]:
            return grounded.finish(*map(list, zip(*items, strict=True)))

        return await self._service.worker.run("finish", work, (prepared, generation, gate))

    def _ending(self, answer: Answer, gate: SentenceGate | None) -> Ending:
        wording = self._service.options.wording
        text = answer_text(answer, wording) if gate is None or answer.abstained else gate.shown.strip()
        if self._inline and not answer.abstained:
            text = answer.cited_text
        if gate is not None and gate.stopped:
            return Ending(text, "content_filter", answer.generation, answer)
        # An abstention has no tokens of its own.
        generation = None if answer.abstained else answer.generation
        return Ending(text, "stop" if generation is None else generation.finish_reason, generation, answer)

    def _fitted(self) -> tuple[list[dict[str, str]], int]:
        """The prompt, without the oldest turns if the conversation is longer than the window, and their number."""
        lm, messages = self._service.lm, self._messages
        special: tuple[str, ...] = getattr(lm, "special_tokens", ())
        prompt = [{**m, "content": break_control_tokens(m["content"], special)} for m in messages]
        window = lm.context_window
        room = None if window is None else window - self._options["max_new_tokens"]
        if room is None or messages[-1]["role"] != "user" or lm.count_tokens(prompt) <= room:
            return prompt, 0
        conversation = drop_oldest_turns(read_conversation(prompt), _plain_prompt, count=lm.count_tokens, room=room)
        return _plain_prompt(conversation), conversation.dropped_turns

    @property
    def _wording(self) -> str:
        return self._service.options.wording.replacement


def _plain_prompt(conversation: Conversation) -> list[dict[str, str]]:
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    history = [dict(turn) for turn in conversation.history]
    return [*system, *history, {"role": "user", "content": conversation.question}]


def _each(function: Any) -> Any:
    """The function of one item as work on a batch."""
    return lambda items: [function(item) for item in items]
