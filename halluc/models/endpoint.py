"""A language model behind an OpenAI-compatible chat-completions endpoint: vLLM, llama.cpp server, Ollama, hosted ones.

The `openai` client handles HTTP, retries and backoff; this file hides the differences between servers (parameters they
refuse, an `n` they ignore, missing streams) and turns every failure into one sentence. Not covered: the content of requests,
replies and refusals (endpoint_protocol.py), models on this machine (transformers_model.py).
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelResponseError, ModelUnavailable
from halluc.models.endpoint_protocol import (
    OVERFLOW,
    clip,
    context_overflow,
    context_window_of,
    environment_key,
    error_words,
    estimated_tokens,
    explained,
    first_of,
    get,
    logprob_entries,
    plain,
    read_generation,
    refused_parameter,
    split_spec,
    whole_characters,
    without,
)
from halluc.models.language_model import Generation, Prompt, as_conversation, check_options, check_prompts
from halluc.models.stop_strings import until_stop

__all__ = ["EndpointModel"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class EndpointModel:
    """`LanguageModel` on an OpenAI-compatible server; a context manager that closes its connections.

    Log-probabilities are always requested, and are empty if the server sends none. `LanguageModel` specifies them at
    temperature 1: vLLM and llama.cpp send these by default, hosted servers do not document it. Options that the chat
    protocol does not have, such as vLLM's default top_k from a model's generation_config.json, keep the server's values. A
    finish_reason other than "stop" and "length" ("content_filter", "tool_calls") is passed on unchanged.

    Args:
        spec: "http://host:port/v1#model-name"; `/chat/completions` is appended to the URL.
        api_key: by default the environment's OPENAI_API_KEY; without either a placeholder, which local servers accept.
        named_by_user: whether the user chose this server, as an argument or on the command line. Pass False for a spec that
            was read from a file: OPENAI_API_KEY is then sent only if OPENAI_BASE_URL names the same server.
        timeout: seconds to wait for a reply to begin, and then for each further part of it.
        max_retries: further attempts, with increasing pauses, if the server is down, slow, busy (429) or failing (5xx).
        max_concurrency: maximum number of simultaneous requests of `generate`, over all threads that use this object.
        context_window: maximum number of tokens of a prompt and its completion; by default what the server reports. Set it
            for servers that truncate long prompts silently (Ollama): a completion whose reported usage shows that prompt
            and `max_new_tokens` did not fit is then refused.

    Raises:
        InvalidInput: the spec or an option is malformed. Nothing is sent until the first use.
    """

    def __init__(
        self,
        spec: str,
        *,
        api_key: str | None = None,
        named_by_user: bool = True,
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
        key = (api_key or "").strip() or environment_key(self.base_url, trusted=named_by_user) or "no-key"
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("the API key has characters that an HTTP header cannot contain; check api_key")

        from openai import OpenAI, Timeout

        self._client = OpenAI(
            base_url=self.base_url,
            api_key=key,
            timeout=Timeout(timeout, connect=min(timeout, 5.0)),
            max_retries=max_retries,
        )
        # Threads instead of asyncio: they also work inside a running event loop (Jupyter, a server).
        self._pool = ThreadPoolExecutor(max_concurrency, thread_name_prefix="halluc-endpoint")
        self._closed = False
        self._context_window = context_window
        self._window_known = context_window is not None
        self._window_lock = threading.Lock()
        self._refused: frozenset[str] = frozenset()
        self._ignores_n = False

    def close(self) -> None:
        """Close the connections; requests that have not begun are cancelled. Using the model afterwards is an error."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def __enter__(self) -> EndpointModel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def context_window(self) -> int | None:
        """The `context_window` argument, or what GET /models reports (vLLM, llama.cpp and some hosted servers), or None."""
        with self._window_lock:
            if not self._window_known:
                self._check_open()
                from openai import APIConnectionError, OpenAIError

                try:
                    self._context_window = context_window_of(self._served_models().get(self.model, {}))
                    self._window_known = True
                except APIConnectionError:
                    pass  # It may be up the next time.
                except (OpenAIError, HallucError):
                    self._window_known = True
            return self._context_window

    def count_tokens(self, prompt: Prompt) -> int:
        """Estimate from above the tokens of the prompt, chat template included; there is no tokenizer.

        A word of ASCII letters counts one token per three letters or part of it, every other character its UTF-8 bytes (so
        does a word with digits in it); each turn adds 8 tokens, and a template's own system prompt 40. Measured with the
        SmolLM2 tokenizer, that is 1.3 to 2.0 times the true count on English prose, sums and code, and 1.0 to 2.5 times on
        other scripts; only random letters (60 of them in a row) had more tokens than estimated, twice as many.

        Raises:
            InvalidInput: the prompt is unusable.
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
        """Generate `n` completions of each prompt; see `LanguageModel.generate`.

        Temperature 0 sends one request per prompt and returns its completion n times. Samples come from one request if the
        server honors n, else from n requests. Sample j of prompt i is drawn with seed + i·n + j, so that equal prompts get
        different samples; whether the same seed gives the same samples again is up to the server.

        Raises:
            ModelUnavailable: the server is down, slow or failing, or knows neither the model nor the key.
            ModelResponseError: it replied with something that is not a completion, or refused the request.
            ContextOverflow: it says that a prompt and `max_new_tokens` do not fit.
            InvalidInput: an option or a prompt is unusable, or the model is closed.
        """
        self._check_open()
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "stop": stop,
        }
        check_options(n=n, seed=seed, top_logprobs=top_logprobs, **options)
        check_prompts(prompts)
        samples = n if temperature > 0 else 1
        body = self._body(top_logprobs=top_logprobs, **options)
        messages = [as_conversation(prompt) for prompt in prompts]

        def complete(job: _Job) -> list[Generation]:
            request = {**body, "messages": messages[job.row], "seed": int(seed) + job.row * samples + job.first}
            if job.count > 1:
                request["n"] = job.count
            return self._complete(request)[: job.count]

        results: list[list[Generation]] = [[] for _ in prompts]
        jobs = [_Job(row, 0, samples) for row in range(len(prompts))]
        if self._ignores_n:
            jobs = [single for job in jobs for single in job.singles(0)]
        while jobs:
            missing: list[_Job] = []
            for job, generations in zip(jobs, self._map(complete, jobs), strict=True):
                results[job.row].extend(generations)
                # Jobs of one sample return one or raise, so there is no third round.
                missing += job.singles(len(generations))
            self._ignores_n = self._ignores_n or bool(missing)
            jobs = missing
        return results if samples == n else [completions * n for completions in results]

    def stream(
        self, prompt: Prompt, *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int = 0, stop: Sequence[str] = ()
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as the server sends them, then the complete `Generation`; raises as `generate` does.

        Streams do not count towards `max_concurrency`. An interrupted stream is not retried.
        """
        self._check_open()
        check_options(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, stop=stop)
        check_prompts([prompt])
        body = {
            **self._body(max_new_tokens=max_new_tokens, temperature=temperature, top_p=1.0, stop=stop, top_logprobs=0),
            "messages": as_conversation(prompt),
            "seed": int(seed),
            "stream": True,
        }
        return self._stream(body, stop)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Not supported: chat completions return log-probabilities of generated tokens, not of a given text.

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

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInput(f"{self.name} is closed; load the model again")

    def _body(
        self, *, max_new_tokens: int, temperature: float, top_p: float, stop: Sequence[str], top_logprobs: int
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "max_tokens": int(max_new_tokens), "temperature": float(temperature)}
        # Sent even if it is 1: vLLM otherwise takes it from the model's generation_config.json.
        body.update(top_p=float(top_p), logprobs=True)
        if stop:
            body["stop"] = list(stop)
        if top_logprobs:
            body["top_logprobs"] = int(top_logprobs)
        return body

    def _map(self, function: Callable[[_Job], T], jobs: Sequence[_Job]) -> list[T]:
        """Run the jobs and return their results in order; the first failure cancels those that have not begun."""
        try:
            futures = [self._pool.submit(function, job) for job in jobs]
        except RuntimeError:  # Another thread has closed the model.
            self._check_open()
            raise
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
        events = self._send(body, lambda accepted: self._client.chat.completions.create(**accepted))
        if "application/json" in events.response.headers.get("content-type", ""):
            events.close()
            # The server does not stream: request a complete reply, and yield it as one piece.
            generation = self._complete({name: value for name, value in body.items() if name != "stream"})[0]
            if generation.text:
                yield generation.text
            yield generation
            return
        received = _Received()
        with events:
            yield from until_stop(self._pieces(events, received), stop)
        yield read_generation(received.text, received.reason, received.entries, stop, 0)

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

    def _read(self, content: bytes, body: Mapping[str, Any]) -> list[Generation]:
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
        window = self._context_window
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

    def _served_models(self) -> dict[str, Any]:
        """Get the descriptions of GET /models by model id, in one short attempt."""
        client = self._client.with_options(timeout=min(self.timeout, 5.0), max_retries=0)
        try:
            entries = get(json.loads(client.models.with_raw_response.list().http_response.content), "data")
        except (ValueError, RecursionError) as error:
            raise ModelResponseError(f"{self.base_url}/models is not JSON") from error
        return {str(get(entry, "id")): entry for entry in entries} if isinstance(entries, list) else {}

    def _fail(self, error: Exception) -> NoReturn:
        """Raise an error of the client library as one of halluc's."""
        raise explained(
            error, name=self.name, timeout=self.timeout, tries=self.max_retries + 1, served_models=self._models_hint
        ) from error

    def _models_hint(self) -> str:
        from openai import OpenAIError

        try:
            served = sorted(self._served_models())
        except (OpenAIError, HallucError):
            served = []
        if not served or self.model in served:
            return "correct the URL (it usually ends in /v1) or the model's name after '#'"
        more = f" and {len(served) - 10} more" if len(served) > 10 else ""
        return f"it serves {clip(', '.join(served[:10]))}{more}: put one of these after '#'"


@dataclass(frozen=True)
class _Job:
    """`count` samples of prompt `row`, beginning with its sample number `first`."""

    row: int
    first: int
    count: int

    def singles(self, done: int) -> list[_Job]:
        """Split off the samples after the first `done`, one job each."""
        return [_Job(self.row, self.first + j, 1) for j in range(done, self.count)]


@dataclass
class _Received:
    """What a stream has sent so far."""

    text: str = ""
    reason: Any = ""
    entries: list[object] = field(default_factory=list)
