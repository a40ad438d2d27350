"""A language model behind an OpenAI-compatible chat-completions endpoint: vLLM, llama.cpp server, Ollama, hosted ones.

The `openai` client speaks HTTP, retries and backs off; this file makes servers that differ look alike (parameters they
refuse, an `n` they ignore, log-probabilities in several forms) and turns every failure into one sentence. Not here: what
they are asked (endpoint_requests.py), reply (endpoint_replies.py) and refuse (endpoint_refusals.py), models on this machine
(transformers_model.py).
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelResponseError, ModelUnavailable
from halluc.models.endpoint_protocol import (
    clip,
    error_words,
    first_of,
    get,
    logprob_entries,
    plain,
    read_generation,
    safe_length,
    told_window,
)
from halluc.models.endpoint_refusals import OVERFLOW, context_overflow, explained, refused_parameter, without
from halluc.models.endpoint_requests import as_messages, estimated_tokens, split_spec
from halluc.models.generation_options import check_options
from halluc.models.language_model import Generation, Prompt

__all__ = ["EndpointModel"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class EndpointModel:
    """`LanguageModel` on an OpenAI-compatible server.

    Log-probabilities are asked for always and are empty where the server gives none. The protocol wants them at
    temperature 1: vLLM and llama.cpp give these by default, hosted servers do not say. Options the chat protocol has no
    word for, such as vLLM's default top_k from a model's generation_config.json, stay as the server has them. A
    finish_reason other than "stop" and "length" ("content_filter", "tool_calls") is passed on as the server gave it.

    Args:
        spec: "http://host:port/v1#model-name"; the URL is the one that `/chat/completions` is appended to.
        api_key: by default the environment's OPENAI_API_KEY, or a placeholder, which servers of one's own take.
        timeout: seconds to wait for a reply to begin, and then for each further part of it.
        max_retries: further tries, with growing pauses, where the server is down, slow, busy (429) or failing (5xx).
        max_concurrency: requests of `generate` under way at a time, over all threads that use this object.
        context_window: tokens a prompt and its completion may take together; by default what the server tells. Say it for
            servers that cut long prompts without a word (Ollama): a completion whose counted usage shows that prompt and
            `max_new_tokens` did not fit is then refused.

    Raises:
        InvalidInput: the spec or an option is malformed. Nothing is sent until the first use.
    """

    def __init__(
        self,
        spec: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        max_concurrency: int = 8,
        context_window: int | None = None,
    ) -> None:
        self.base_url, self.model = split_spec(spec)
        self.name = f"{self.base_url}#{self.model}"
        if not 0 < timeout < math.inf:
            raise InvalidInput(f"timeout is {timeout}; pass a positive number of seconds")
        if max_retries < 0:
            raise InvalidInput(f"max_retries is {max_retries}; pass 0 or more")
        if max_concurrency < 1:
            raise InvalidInput(f"max_concurrency is {max_concurrency}; allow at least 1 request at a time")
        if context_window is not None and context_window < 1:
            raise InvalidInput(f"context_window is {context_window}; pass a positive number of tokens, or None to ask")
        self.timeout, self.max_retries, self.max_concurrency = timeout, max_retries, max_concurrency
        key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip() or "no-key"
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("the API key holds characters that an HTTP header cannot carry; check api_key")

        from openai import OpenAI, Timeout

        self._client = OpenAI(
            base_url=self.base_url,
            api_key=key,
            timeout=Timeout(timeout, connect=min(timeout, 5.0)),
            max_retries=max_retries,
        )
        # Threads rather than asyncio: they work as well from inside a running event loop (Jupyter, a server).
        self._pool = ThreadPoolExecutor(max_concurrency, thread_name_prefix="halluc-endpoint")
        self._context_window = context_window
        self._window_asked = context_window is not None
        self._window_lock = threading.Lock()
        self._refused: frozenset[str] = frozenset()
        self._ignores_n = False

    @property
    def context_window(self) -> int | None:
        """The window given, or told by GET /models (vLLM, llama.cpp and some hosted servers); None where neither is."""
        with self._window_lock:
            if not self._window_asked:
                from openai import APIConnectionError, OpenAIError

                try:
                    self._context_window = told_window(self._served_models().get(self.model, {}))
                    self._window_asked = True
                except APIConnectionError:
                    pass  # It may be up the next time.
                except (OpenAIError, HallucError):
                    self._window_asked = True
            return self._context_window

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens the prompt takes, chat template included: an upper estimate, as there is no tokenizer.

        A word of ASCII letters counts a token per three letters begun, every other character its UTF-8 bytes (so does a
        word with digits in it). Eight tokens a turn and 40 for a template's own system prompt come on top. Against the
        SmolLM2 tokenizer that is 1.3 to 2.0 times the true count on English prose, sums and code and 1.0 to 2.5 times on
        other scripts; only random letters (60 of them in a row) took more tokens, twice as many, than it says.
        """
        return estimated_tokens(prompt)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int = 1,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> list[list[Generation]]:
        """`n` completions of each prompt; see `LanguageModel.generate`.

        Temperature 0 asks once and gives the completion n times. Samples come from one request where the server honours
        n, else from n. Sample j of prompt i is drawn with seed + i·n + j, so that equal prompts get different samples;
        whether the same seed gives the same samples again is up to the server.

        Raises:
            ModelUnavailable: the server is down, slow or failing, or knows neither the model nor the key.
            ModelResponseError: it answered with something that is not a completion, or refused the request.
            ContextOverflow: it says that a prompt and `max_new_tokens` do not fit.
            InvalidInput: an option or a prompt is unusable.
        """
        check_options(n, max_new_tokens, temperature, top_p, stop, top_logprobs)
        if isinstance(prompts, str):
            raise InvalidInput("prompts is a string; pass a list of prompts")
        samples = n if temperature > 0 else 1
        body = self._body(max_new_tokens, temperature, top_p, stop, top_logprobs)
        messages = [as_messages(prompt) for prompt in prompts]

        def complete(job: _Job) -> list[Generation]:
            own = {**body, "messages": messages[job.row], "seed": int(seed) + job.row * samples + job.first}
            return self._complete({**own, "n": job.count} if job.count > 1 else own)[: job.count]

        results: list[list[Generation]] = [[] for _ in prompts]
        jobs = [_Job(row, 0, samples) for row in range(len(prompts))]
        if self._ignores_n:
            jobs = [one for job in jobs for one in job.singles(0)]
        while jobs:
            further: list[_Job] = []
            for job, got in zip(jobs, self._map(complete, jobs), strict=True):
                results[job.row].extend(got)
                # Jobs of one sample give one or raise, so there is no third round.
                further += job.singles(len(got))
            self._ignores_n = self._ignores_n or bool(further)
            jobs = further
        return results if samples == n else [own * n for own in results]

    def stream(
        self, prompt: Prompt, *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int = 0, stop: Sequence[str] = ()
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as the server sends them, then the whole `Generation`; raises as `generate` does.

        Streams do not count towards `max_concurrency`. A stream that breaks off is not tried again.
        """
        check_options(1, max_new_tokens, temperature, 1.0, stop, 0)
        body = {
            **self._body(max_new_tokens, temperature, 1.0, stop, 0),
            "messages": as_messages(prompt),
            "seed": int(seed),
            "stream": True,
        }
        return self._stream(body, stop)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Refused: chat completions give log-probabilities of what the server generates, not of a given text.

        Raises:
            InvalidInput: always, unless there is nothing to score.
        """
        if not prompts and not completions:
            return []
        raise InvalidInput(
            f"{self.name} cannot score given completions, because the chat-completions protocol returns log-probabilities "
            "of generated tokens only; load the model with transformers (a hub id or a local folder) to score, or compare "
            "answers by generate(..., max_new_tokens=1, top_logprobs=20)"
        )

    # -- private ---------------------------------------------------------------------------------------------------

    def _body(
        self, max_new_tokens: int, temperature: float, top_p: float, stop: Sequence[str], top_logprobs: int
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "max_tokens": int(max_new_tokens), "temperature": float(temperature)}
        # Said even where they are 1: vLLM otherwise takes them from the model's generation_config.json.
        body.update(top_p=float(top_p), logprobs=True)
        if stop:
            body["stop"] = list(stop)
        if top_logprobs:
            body["top_logprobs"] = int(top_logprobs)
        return body

    def _map(self, function: Callable[[_Job], T], jobs: Sequence[_Job]) -> list[T]:
        """In order; the first failure cancels what has not begun."""
        futures = [self._pool.submit(function, job) for job in jobs]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _complete(self, body: dict[str, Any]) -> list[Generation]:
        reply = self._send(body, lambda accepted: self._client.chat.completions.with_raw_response.create(**accepted))
        return self._read(reply.http_response.content, body)

    def _stream(self, body: dict[str, Any], stop: Sequence[str]) -> Iterator[str | Generation]:
        from openai import APIConnectionError, OpenAIError

        events = self._send(body, lambda accepted: self._client.chat.completions.create(**accepted))
        if "application/json" in events.response.headers.get("content-type", ""):
            events.close()
            # The server does not stream: ask for a whole completion, and give it as one piece.
            generation = self._complete({name: value for name, value in body.items() if name != "stream"})[0]
            if generation.text:
                yield generation.text
            yield generation
            return
        with events:
            text, given, reason, entries = "", 0, "", []
            try:
                for event in events:
                    choice = first_of(get(plain(event), "choices"))
                    piece = get(choice, "delta", "content")
                    text += piece if isinstance(piece, str) else ""
                    entries += logprob_entries(choice)
                    reason = get(choice, "finish_reason") or reason
                    safe = safe_length(text, stop)
                    if safe > given:
                        yield text[given:safe]
                        given = safe
            except APIConnectionError as error:
                raise ModelUnavailable(
                    f"{self.name} broke its stream off after {len(text)} characters: {clip(str(error))}; look at the "
                    "server's log, raise timeout, or use generate, which tries again"
                ) from error
            except OpenAIError as error:
                self._fail(error)
            except ValueError as error:
                raise ModelResponseError(f"{self.name} sent a stream that is not JSON: {clip(str(error))}") from error
        if not isinstance(reason, str) or not reason:
            raise ModelResponseError(
                f"{self.name} broke its stream off after {len(text)} characters without a finish reason; look at the "
                "server's log, or use generate, which tries again"
            )
        generation = read_generation(text, reason, entries, stop, 0)
        if len(generation.text) > given:
            yield generation.text[given:]
        yield generation

    def _send(self, body: dict[str, Any], create: Callable[[dict[str, Any]], Any]) -> Any:
        """Send, without the parameters that this server is known to refuse or now turns out to refuse."""
        from openai import APIStatusError, OpenAIError

        found: frozenset[str] = frozenset()
        while True:
            accepted = without(body, self._refused | found)
            try:
                response = create(accepted)
            except APIStatusError as error:
                refused = refused_parameter(error, accepted)
                if refused is None:
                    self._fail(error)
                found |= {refused}
            except OpenAIError as error:
                self._fail(error)
            else:
                # A refused number of top_logprobs does not mean that a smaller one would be.
                lasting = found - {"top_logprobs"} - self._refused
                if lasting:
                    logger.warning("%s refuses %s; going on without", self.name, ", ".join(sorted(lasting)))
                    self._refused |= lasting
                return response

    def _read(self, content: bytes, body: Mapping[str, Any]) -> list[Generation]:
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ModelResponseError(
                f"{self.name} answered with something that is not JSON: {clip(content.decode(errors='replace'))!r}; "
                "check that the URL is the API's (it usually ends in /v1) and not a web page's"
            ) from error
        if words := error_words(reply):
            if OVERFLOW.search(words):
                raise context_overflow(self.name, words)
            raise ModelResponseError(f"{self.name} answered with an error: {words}")
        choices = get(reply, "choices")
        if not isinstance(choices, list) or not choices:
            raise ModelResponseError(
                f"{self.name} answered without any choices: {clip(content.decode(errors='replace'))!r}; check that the "
                "server offers chat completions"
            )
        asked, used = body["max_tokens"], get(reply, "usage", "prompt_tokens")
        window = self._context_window
        if window is not None and isinstance(used, int) and used + asked > window:
            raise ContextOverflow(
                f"a prompt has {used} tokens as {self.name} counts and asks for {asked} more, but the context window is "
                f"{window}; shorten the prompt or lower max_new_tokens"
            )
        return [self._choice(choice, body) for choice in choices]

    def _choice(self, choice: object, body: Mapping[str, Any]) -> Generation:
        text, reason = get(choice, "message", "content"), get(choice, "finish_reason") or "stop"
        if not isinstance(text, str) or not isinstance(reason, str):
            thought = get(choice, "message", "reasoning_content") or get(choice, "message", "reasoning")
            mend = (
                "its reasoning took all of max_new_tokens, so raise that"
                if thought
                else f"its message is {clip(repr(get(choice, 'message')))}"
            )
            raise ModelResponseError(f"{self.name} answered without text (finish reason {reason!r}); {mend}")
        return read_generation(text, reason, logprob_entries(choice), body.get("stop", ()), body.get("top_logprobs", 0))

    def _served_models(self) -> dict[str, Any]:
        """What GET /models says of each model, by id; one short try."""
        client = self._client.with_options(timeout=min(self.timeout, 5.0), max_retries=0)
        try:
            listed = get(json.loads(client.models.with_raw_response.list().http_response.content), "data")
        except (ValueError, RecursionError) as error:
            raise ModelResponseError(f"{self.base_url}/models is not JSON") from error
        return {str(get(entry, "id")): entry for entry in listed} if isinstance(listed, list) else {}

    def _fail(self, error: Exception) -> NoReturn:
        """Raise what an error of the client library means."""
        raise explained(
            error, name=self.name, timeout=self.timeout, tries=self.max_retries + 1, what_is_served=self._what_is_served
        ) from error

    def _what_is_served(self) -> str:
        from openai import OpenAIError

        try:
            served = sorted(self._served_models())
        except (OpenAIError, HallucError):
            served = []
        if not served or self.model in served:
            return "correct the URL (it usually ends in /v1) or the model's name after '#'"
        more = f" and {len(served) - 10} more" if len(served) > 10 else ""
        return f"it serves {', '.join(served[:10])}{more}: put one of these after '#'"


@dataclass(frozen=True)
class _Job:
    """`count` samples of prompt `row`, the first of which is its sample number `first`."""

    row: int
    first: int
    count: int

    def singles(self, done: int) -> list[_Job]:
        """The samples after the first `done`, one by one."""
        return [_Job(self.row, self.first + j, 1) for j in range(done, self.count)]
