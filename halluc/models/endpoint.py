"""A language model behind an OpenAI-compatible chat-completions endpoint: vLLM, llama.cpp server, Ollama, hosted ones.

Not covered: the connection to the server (endpoint_client.py), the content of requests, replies and refusals
(endpoint_protocol.py), models on this machine (transformers_model.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from halluc.errors import HallucError, InvalidInput, check_integer, check_number
from halluc.models.endpoint_client import ChatClient
from halluc.models.endpoint_protocol import context_window_of, estimated_tokens, is_trusted, split_spec
from halluc.models.generation_span import traced_generation
from halluc.models.language_model import Generation, Prompt, as_conversation, check_options, check_prompts

__all__ = ["EndpointModel"]

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
            was read from a file: what the environment has for OpenAI (OPENAI_API_KEY, OPENAI_ORG_ID, OPENAI_PROJECT_ID and
            OPENAI_CUSTOM_HEADERS) is then sent only if OPENAI_BASE_URL names the same server.
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
        check_number("timeout", timeout, 0.001)
        check_integer("max_retries", max_retries, 0)
        check_integer("max_concurrency", max_concurrency, 1)
        if context_window is not None:
            check_integer("context_window", context_window, 1)
        self.timeout, self.max_retries, self.max_concurrency = timeout, max_retries, max_concurrency
        trusted = is_trusted(self.base_url, named_by_user=named_by_user)
        key = (api_key or (trusted and os.environ.get("OPENAI_API_KEY")) or "").strip() or "no-key"
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("the API key has characters that an HTTP header cannot contain; check api_key")
        self._client = ChatClient(
            self.base_url, self.model, key=key, environment_headers=trusted, timeout=timeout, max_retries=max_retries
        )
        # Threads instead of asyncio: they also work inside a running event loop (Jupyter, a server).
        self._pool = ThreadPoolExecutor(max_concurrency, thread_name_prefix="halluc-endpoint")
        self._closed = False
        self._context_window = context_window
        self._window_known = context_window is not None
        self._window_lock = threading.Lock()
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
                    self._context_window = context_window_of(self._client.served_models().get(self.model, {}))
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

    @traced_generation
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
            return self._client.complete(request, context_window=self._context_window)[: job.count]

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
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as the server sends them, then the complete `Generation`; raises as `generate` does.

        Streams do not count towards `max_concurrency`. An interrupted stream is not retried. Closing the iterator closes
        the connection, which makes most servers stop.
        """
        self._check_open()
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "stop": stop,
            "top_logprobs": top_logprobs,
        }
        check_options(seed=seed, **options)
        check_prompts([prompt])
        body = {**self._body(**options), "messages": as_conversation(prompt), "seed": int(seed), "stream": True}
        return self._client.stream(body)

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


@dataclass(frozen=True)
class _Job:
    """`count` samples of prompt `row`, beginning with its sample number `first`."""

    row: int
    first: int
    count: int

    def singles(self, done: int) -> list[_Job]:
        """Split off the samples after the first `done`, one job each."""
        return [_Job(self.row, self.first + j, 1) for j in range(done, self.count)]
