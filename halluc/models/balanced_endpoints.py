"""One language model behind several endpoints: requests go to the least busy one, and around those that fail.

Not covered: a single endpoint (endpoint.py), and a server that balances by itself, which is one endpoint.
"""

from __future__ import annotations

import contextvars
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.models.endpoint import EndpointModel
from halluc.models.language_model import Generation, Prompt, check_options, check_prompts

__all__ = ["BalancedEndpoints", "endpoint_specs"]

# Seconds for which an endpoint that failed is left alone; doubled with each further failure, up to the greatest.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


def endpoint_specs(name: str) -> list[str]:
    """The endpoints that a name lists: "http://a:8000/v1#m,http://b:8000/v1#m" has two."""
    return [spec.strip() for spec in re.split(r",(?=\s*https?://)", name, flags=re.IGNORECASE)]


class BalancedEndpoints:
    """`LanguageModel` on several OpenAI-compatible servers that serve the same model.

    A prompt goes to the endpoint with the fewest requests under way. If an endpoint is unavailable, after its own retries,
    its prompts go to the others, and it is left alone for a while: one second, doubled with each further failure up to a
    minute. A call fails only if all endpoints are unavailable for one of its prompts. Seeds do not depend on which endpoint
    answers.

    Args:
        specs: "http://host:port/v1#model-name" for each endpoint, at least two.
        options: of each `EndpointModel`; `max_concurrency` is for one endpoint.

    Raises:
        InvalidInput: a spec or an option is malformed, or a spec occurs twice. Nothing is sent until the first use.
    """

    def __init__(self, specs: Sequence[str], **options: Any) -> None:
        if len(specs) < 2 or len(set(specs)) < len(specs):
            raise InvalidInput(f"the endpoints are {', '.join(specs)}; name at least two, each once")
        self.endpoints = [EndpointModel(spec, **options) for spec in specs]
        self.name = ",".join(endpoint.name for endpoint in self.endpoints)
        self._states = [_State(endpoint) for endpoint in self.endpoints]
        self._lock = threading.Lock()
        slots = sum(endpoint.max_concurrency for endpoint in self.endpoints)
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="halluc-endpoints")

    def close(self) -> None:
        """Close the connections; using the model afterwards is an error."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for endpoint in self.endpoints:
            endpoint.close()

    def __enter__(self) -> BalancedEndpoints:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def context_window(self) -> int | None:
        """The smallest window that the endpoints report, or None."""
        windows = [endpoint.context_window for endpoint in self.endpoints]
        return min((window for window in windows if window is not None), default=None)

    def count_tokens(self, prompt: Prompt) -> int:
        """Estimate from above the tokens of the prompt; see `EndpointModel.count_tokens`."""
        return self.endpoints[0].count_tokens(prompt)

    def generate(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0, **options: Any) -> list[list[Generation]]:
        """Generate `n` completions of each prompt; see `EndpointModel.generate`.

        Raises:
            ModelUnavailable: no endpoint is available; the error of the last one tried.
            ModelResponseError, ContextOverflow, InvalidInput: as `EndpointModel.generate`.
        """
        checked = {"max_new_tokens": 64, "temperature": 0.0, "top_p": 1.0, "stop": (), "top_logprobs": 0, **options}
        check_options(n=n, seed=seed, **checked)
        check_prompts(prompts)
        samples = n if checked["temperature"] > 0 else 1

        def complete(row: int) -> list[Generation]:
            for state in self._attempts():
                with self._request(state):
                    return state.endpoint.generate([prompts[row]], n=n, seed=int(seed) + row * samples, **options)[0]
            raise self._unavailable()

        try:
            # Each with the context of the caller, for the spans of OpenTelemetry.
            futures = [self._pool.submit(contextvars.copy_context().run, complete, row) for row in range(len(prompts))]
        except RuntimeError as error:
            raise InvalidInput(f"{self.name} is closed; load the model again") from error
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[str | Generation]:
        """Yield pieces of text, then the `Generation`; another endpoint takes over only before the first piece."""
        # This checks the arguments; nothing is sent before the first piece is taken.
        self.endpoints[0].stream(prompt, **options)
        return self._stream(prompt, options)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Not supported; see `EndpointModel.score`."""
        return self.endpoints[0].score(prompts, completions)

    # -- private ---------------------------------------------------------------------------------------------------

    def _stream(self, prompt: Prompt, options: dict[str, Any]) -> Iterator[str | Generation]:
        for state in self._attempts():
            interruption: ModelUnavailable | None = None
            with self._request(state):
                pieces = state.endpoint.stream(prompt, **options)
                yield next(pieces)
                try:
                    yield from pieces
                except ModelUnavailable as error:
                    # The text that was shown cannot be taken back.
                    interruption = error
                else:
                    return
            if interruption is not None:
                raise interruption
        raise self._unavailable()

    def _attempts(self) -> Iterator[_State]:
        """The endpoints for one request, each once: those that are not left alone first, and the least busy of these."""
        remaining = list(self._states)
        while remaining:
            with self._lock:
                now = time.monotonic()
                state = min(remaining, key=lambda state: (max(state.resting_until - now, 0.0), state.busy, state.served))
                state.busy += 1
                state.served += 1
            remaining.remove(state)
            yield state

    @contextmanager
    def _request(self, state: _State) -> Iterator[None]:
        """Note how a request ends. That an endpoint is unavailable is not raised, so that the next one is tried."""
        try:
            yield
        except ModelUnavailable as error:
            with self._lock:
                state.failures += 1
                pause = min(_FIRST_PAUSE * 2 ** (state.failures - 1), _LONGEST_PAUSE)
                state.resting_until = time.monotonic() + pause
                state.error = error
        else:
            with self._lock:
                state.failures, state.resting_until, state.error = 0, 0.0, None
        finally:
            with self._lock:
                state.busy -= 1

    def _unavailable(self) -> ModelUnavailable:
        errors = [str(state.error) for state in self._states if state.error is not None]
        return ModelUnavailable(f"none of {len(self.endpoints)} endpoints is available: {'; '.join(errors)}")


@dataclass(eq=False)
class _State:
    """An endpoint with its requests under way, its number of requests, and how it failed."""

    endpoint: EndpointModel
    busy: int = 0
    served: int = 0
    failures: int = 0
    resting_until: float = 0.0
    error: ModelUnavailable | None = None
