"""EndpointModel against a real HTTP server on this machine whose behavior each test writes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelResponseError, ModelUnavailable
from halluc.models import load_model
from halluc.models.endpoint import EndpointModel
from halluc.models.language_model import Generation, LanguageModel

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Server:
    """Answers POST /v1/chat/completions with `behavior(body)` and GET /v1/models with `models`; keeps all requests.

    A reply is (status, JSON value or bytes[, headers]). `most_at_once` is the peak of requests under way together.
    """

    def __init__(self) -> None:
        self.behavior: Callable[[dict[str, Any]], Reply] = lambda body: (200, completion("hello"))
        self.models: Reply = (200, {"data": [{"id": "tiny"}]})
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/v1/models"
                self.send(server.models if known else (404, {"detail": "Not Found"}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path != "/v1/chat/completions":
                    self.send((404, {"detail": "Not Found"}))
                    return
                with server._lock:
                    server.requests.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                try:
                    reply = server.behavior(body)
                finally:
                    with server._lock:
                        server._at_once -= 1
                self.send(reply)

            def send(self, reply: Reply) -> None:
                status, payload, *rest = reply
                content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                headers = {"content-type": "application/json", "content-length": str(len(content))}
                headers |= rest[0] if rest else {}
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except ConnectionError:
                    pass  # The client gave up waiting, as some tests want.

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def model(self, **options: Any) -> EndpointModel:
        return EndpointModel(f"{self.url}#tiny", **{"timeout": 5.0, "max_retries": 0, **options})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The client library's own pauses, which start at half a second.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    running = Server()
    yield running
    running.close()


def choice(text: str | None, reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason, **more}


def completion(*texts: str, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [choice(text) for text in texts], **more}


def token(text: str, logprob: float, **more: Any) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": [], **more}


def with_logprobs(text: str, *tokens: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    return {"choices": [choice(text, reason, logprobs={"content": list(tokens)})]}


def events(*chunks: Any, end: bytes = b"data: [DONE]\n\n") -> Reply:
    lines = b"".join(b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\n\n" for c in chunks)
    return 200, lines + end, {"content-type": "text/event-stream"}


def delta(text: str | None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason, **more}]}


def error(status: int, message: str, **more: Any) -> Reply:
    return status, {"error": {"message": message, "type": "some_error", **more}}


# -- what is sent and what comes back


def test_a_string_is_one_user_turn_and_every_option_reaches_the_server(server: Server) -> None:
    model = server.model()
    out = model.generate(["hi"], max_new_tokens=7, temperature=0.5, top_p=0.9, seed=3, stop=["\n"], top_logprobs=2, n=1)
    assert out == [[Generation("hello")]]
    assert server.requests == [
        {
            "messages": [{"role": "user", "content": "hi"}],
            "model": "tiny",
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "stop": ["\n"],
            "logprobs": True,
            "top_logprobs": 2,
        }
    ]


def test_a_conversation_is_sent_as_it_is(server: Server) -> None:
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    server.model().generate([turns])
    assert server.requests[0]["messages"] == turns


def test_load_model_returns_it_for_a_url(server: Server) -> None:
    model = load_model(f"{server.url}/#org/tiny:1b", max_retries=0)
    assert isinstance(model, EndpointModel)
    assert isinstance(model, LanguageModel)
    assert model.name == f"{server.url}#org/tiny:1b"
    model.generate(["hi"])
    assert server.requests[0]["model"] == "org/tiny:1b"


def test_no_prompts_give_no_results_and_no_requests(server: Server) -> None:
    assert server.model().generate([]) == []
    assert server.requests == []


def test_results_keep_the_order_of_prompts_that_finish_out_of_order(server: Server) -> None:
    def later_ones_first(body: dict[str, Any]) -> Reply:
        text = body["messages"][0]["content"]
        time.sleep(0.15 - 0.02 * int(text))
        return 200, completion(f"answer {text}")

    server.behavior = later_ones_first
    out = server.model().generate([str(i) for i in range(7)])
    assert [completions[0].text for completions in out] == [f"answer {i}" for i in range(7)]


@pytest.mark.parametrize(
    ("option", "environment", "sent"),
    [("mine", "theirs", "Bearer mine"), (None, "theirs\n", "Bearer theirs"), (None, "", "Bearer no-key")],
)
def test_the_key_is_the_option_or_the_environments_or_a_placeholder(
    server: Server, monkeypatch: pytest.MonkeyPatch, option: str | None, environment: str, sent: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", environment)
    server.model(api_key=option).generate(["hi"])
    assert server.headers[0]["authorization"] == sent


@pytest.mark.parametrize(
    ("given", "kept"),
    [("stop", "stop"), ("length", "length"), (None, "stop"), ("content_filter", "content_filter")],
)
def test_the_finish_reason_is_that_of_the_server(server: Server, given: str | None, kept: str) -> None:
    server.behavior = lambda body: (200, {"choices": [choice("hello", given)]})
    assert server.model().generate(["hi"])[0][0].finish_reason == kept


def test_a_stop_string_that_the_server_leaves_in_is_cut(server: Server) -> None:
    server.behavior = lambda body: (
        200,
        with_logprobs("one\ntwo", token("one", -0.5), token("\n", -1.0), token("two", -2.0), reason="length"),
    )
    assert server.model().generate(["hi"], stop=["\n"])[0][0] == Generation("one", token_logprobs=(-0.5,))


def test_an_empty_completion_is_a_completion(server: Server) -> None:
    server.behavior = lambda body: (200, completion(""))
    assert server.model().generate(["hi"]) == [[Generation("")]]


# -- log-probabilities


def test_logprobs_ids_and_alternatives_are_read_without_the_end_of_turn(server: Server) -> None:
    likely = [{"token": " sky", "logprob": -0.25}, {"token": " sea", "logprob": -1.5}, {"token": "x", "logprob": None}]
    server.behavior = lambda body: (
        200,
        with_logprobs(
            "The sky",
            token("The", -0.125, id=5, top_logprobs=[{"token": "The", "logprob": -0.125}]),
            token(" sky", -0.25, id=6, top_logprobs=likely),
            token("<|im_end|>", -0.5, id=2),
        ),
    )
    assert server.model().generate(["hi"], top_logprobs=3)[0][0] == Generation(
        "The sky", (5, 6), (-0.125, -0.25), "stop", ((("The", -0.125),), ((" sky", -0.25), (" sea", -1.5)))
    )


def test_tokens_that_are_parts_of_a_character_are_joined_by_their_bytes(server: Server) -> None:
    first, second = "é".encode()
    halves = [token("�", -1.0) | {"bytes": [first]}, token("�", -2.0) | {"bytes": [second]}]
    server.behavior = lambda body: (200, with_logprobs("é", *halves, token("</s>", -3.0)))
    assert server.model().generate(["hi"])[0][0].token_logprobs == (-1.0, -2.0)


def test_logprobs_of_hidden_reasoning_are_left_out(server: Server) -> None:
    tokens = [token("<think>4?</think>", -9.0), token("\n", -8.0), token("4", -0.5), token("</s>", -1.0)]
    server.behavior = lambda body: (200, with_logprobs("4", *tokens))
    assert server.model().generate(["hi"])[0][0].token_logprobs == (-0.5,)


def test_logprobs_in_the_older_form_are_read(server: Server) -> None:
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}
    server.behavior = lambda body: (200, {"choices": [choice("ab", logprobs=logprobs)]})
    assert server.model().generate(["hi"])[0][0].token_logprobs == (-1.0, -2.0)


@pytest.mark.parametrize("content", [[{"token": "hello", "logprob": None}], [7], "soon", [{"logprob": -1.0}]])
def test_unusable_logprobs_are_ignored(server: Server, content: Any) -> None:
    server.behavior = lambda body: (200, {"choices": [choice("hello", logprobs={"content": content})]})
    assert server.model().generate(["hi"], top_logprobs=1) == [[Generation("hello")]]


@pytest.mark.parametrize("words", ["logprobs is not supported", "Bad Request"])
def test_logprobs_are_not_requested_again_from_a_server_that_refused_them(server: Server, words: str) -> None:
    server.behavior = lambda body: error(400, words) if "logprobs" in body else (200, completion("hello"))
    model = server.model()
    assert model.generate(["hi"]) == [[Generation("hello")]]
    assert ["logprobs" in body for body in server.requests] == [True, False]
    model.generate(["hi"], top_logprobs=5)
    assert len(server.requests) == 3
    assert not {"logprobs", "top_logprobs"} & set(server.requests[2])


def test_a_refused_number_of_top_logprobs_is_left_out_of_this_request_only(server: Server) -> None:
    def at_most_five(body: dict[str, Any]) -> Reply:
        if body.get("top_logprobs", 0) > 5:
            return error(400, "top_logprobs must be at most 5")
        return 200, with_logprobs("a", token("a", -1.0, top_logprobs=[{"token": "a", "logprob": -1.0}]))

    server.behavior = at_most_five
    model = server.model()
    assert model.generate(["hi"], top_logprobs=20)[0][0].token_logprobs == (-1.0,)
    assert model.generate(["hi"], top_logprobs=5)[0][0].top_logprobs == ((("a", -1.0),),)
    assert len(server.requests) == 3


def test_max_completion_tokens_replaces_a_refused_max_tokens(server: Server) -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.behavior = lambda body: error(400, words) if "max_tokens" in body else (200, completion("hello"))
    assert server.model().generate(["hi"], max_new_tokens=9) == [[Generation("hello")]]
    assert server.requests[-1]["max_completion_tokens"] == 9


# -- samples


def test_samples_come_from_one_request_if_the_server_honors_n(server: Server) -> None:
    server.behavior = lambda body: (200, completion(*(f"s{i}" for i in range(body["n"]))))
    out = server.model().generate(["hi", "ho"], n=3, temperature=1.0, seed=10)
    assert [[g.text for g in completions] for completions in out] == [["s0", "s1", "s2"]] * 2
    assert sorted((body["n"], body["seed"]) for body in server.requests) == [(3, 10), (3, 13)]


def test_missing_samples_are_requested_with_other_seeds_if_the_server_ignores_n(server: Server) -> None:
    server.behavior = lambda body: (200, completion(f"seed {body['seed']}"))
    model = server.model()
    out = model.generate(["hi", "ho"], n=3, temperature=1.0)
    assert [[g.text for g in completions] for completions in out] == [
        ["seed 0", "seed 1", "seed 2"],
        ["seed 3", "seed 4", "seed 5"],
    ]
    assert len(server.requests) == 6
    server.requests.clear()
    assert [g.text for g in model.generate(["hi"], n=3, temperature=1.0)[0]] == ["seed 0", "seed 1", "seed 2"]
    assert ["n" in body for body in server.requests] == [False] * 3


def test_single_samples_are_requested_if_the_server_refuses_n(server: Server) -> None:
    words = "Only one completion choice is allowed"
    server.behavior = lambda body: error(400, words) if "n" in body else (200, completion("hello"))
    model = server.model()
    assert model.generate(["hi"], n=3, temperature=1.0) == [[Generation("hello")] * 3]
    assert [body.get("n") for body in server.requests] == [3, None, None, None]
    assert all("logprobs" in body for body in server.requests)


def test_more_choices_than_requested_are_dropped(server: Server) -> None:
    server.behavior = lambda body: (200, completion("a", "b", "c"))
    assert [g.text for g in server.model().generate(["hi"], n=2, temperature=1.0)[0]] == ["a", "b"]


def test_a_server_that_stops_giving_samples_ends_in_an_error_not_a_loop(server: Server) -> None:
    server.behavior = lambda body: (200, completion("only") if "n" in body else completion())
    with pytest.raises(ModelResponseError, match="without any choices"):
        server.model().generate(["hi"], n=4, temperature=1.0)
    assert len(server.requests) <= 4


def test_greedy_asks_once_and_gives_n_equal_completions(server: Server) -> None:
    assert server.model().generate(["hi"], n=4) == [[Generation("hello")] * 4]
    assert len(server.requests) == 1
    assert "n" not in server.requests[0]


# -- concurrency


def test_all_threads_together_send_at_most_max_concurrency_requests_at_a_time(server: Server) -> None:
    def slowly(body: dict[str, Any]) -> Reply:
        time.sleep(0.05)
        return 200, completion("hello")

    server.behavior = slowly
    model = server.model(max_concurrency=3)
    with ThreadPoolExecutor(2) as callers:
        list(callers.map(model.generate, [["hi"] * 6] * 2))
    assert len(server.requests) == 12
    assert server.most_at_once == 3


def test_it_works_inside_a_running_event_loop(server: Server) -> None:
    async def cell() -> list[list[Generation]]:
        return server.model().generate(["hi"])

    assert asyncio.run(cell()) == [[Generation("hello")]]


def test_the_first_failure_cancels_what_has_not_begun(server: Server) -> None:
    server.behavior = lambda body: error(401, "bad key")
    with pytest.raises(ModelUnavailable):
        server.model(max_concurrency=1).generate(["hi"] * 200)
    assert len(server.requests) < 100


# -- failures, each one sentence


def fails(model: EndpointModel, kind: type[HallucError], *words: str, **options: Any) -> None:
    with pytest.raises(kind) as caught:
        model.generate(["hi"], **options)
    message = str(caught.value)
    assert type(caught.value) is kind
    for word in (model.base_url, model.model, *words):
        assert word in message
    assert "\n" not in message


def test_an_unreachable_server_is_named_with_the_fix(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    model = EndpointModel(f"http://127.0.0.1:{port}/v1#tiny", max_retries=2)
    fails(model, ModelUnavailable, "cannot be reached after 3 attempts", "refused", "start the server")


def test_a_slow_server_times_out_after_its_retries(server: Server) -> None:
    done = threading.Event()

    def never(body: dict[str, Any]) -> Reply:
        done.wait(5)
        return 200, completion("late")

    server.behavior = never
    began = time.monotonic()
    fails(server.model(timeout=0.1, max_retries=1), ModelUnavailable, "0.1 s after 2 attempts", "raise timeout")
    assert time.monotonic() - began < 2
    assert len(server.requests) == 2
    done.set()


def test_a_host_that_accepts_no_connections_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # Fill the queue, so that the next one gets no answer at all.
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        model = EndpointModel(f"http://127.0.0.1:{address[1]}/v1#tiny", timeout=0.2, max_retries=0)
        fails(model, ModelUnavailable, "cannot be reached in one attempt", "start the server")
        for one in waiting:
            one.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_failing_server_is_retried_and_may_recover(server: Server, status: int) -> None:
    server.behavior = lambda body: error(status, "wait") if len(server.requests) < 3 else (200, completion("hello"))
    assert server.model(max_retries=2).generate(["hi"]) == [[Generation("hello")]]
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "fix"), [(429, "lower max_concurrency"), (500, "server's log")])
def test_a_server_that_does_not_recover_is_unavailable(server: Server, status: int, fix: str) -> None:
    server.behavior = lambda body: error(status, "no room")
    fails(server.model(max_retries=1), ModelUnavailable, "after 2 attempts", "no room", fix)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_says_how_to_pass_one(server: Server, status: int) -> None:
    server.behavior = lambda body: error(status, "Incorrect API key provided")
    fails(server.model(max_retries=2), ModelUnavailable, "Incorrect API key", "OPENAI_API_KEY", "api_key=")
    assert len(server.requests) == 1


def test_an_unknown_model_names_those_that_are_served(server: Server) -> None:
    server.models = 200, {"data": [{"id": "small"}, {"id": "large"}]}
    server.behavior = lambda body: error(404, "The model `tiny` does not exist.")
    fails(server.model(), ModelUnavailable, "does not exist", "it serves large, small")


def test_a_wrong_path_says_what_the_url_looks_like(server: Server) -> None:
    model = EndpointModel(server.url.removesuffix("/v1") + "#tiny", max_retries=0)
    fails(model, ModelUnavailable, "404: Not Found", "usually ends in /v1")


OVERFLOWS = {
    "vllm": "This model's maximum context length is 64 tokens. However, you requested 90 tokens.",
    "vllm long prompt": "The decoder prompt (length 90) is longer than the maximum model length of 64.",
    "llama.cpp": "request (90 tokens) exceeds the available context size (64 tokens), try increasing it",
    "openai": "Please reduce the length of the messages. (context_length_exceeded)",
}


@pytest.mark.parametrize("words", OVERFLOWS.values(), ids=OVERFLOWS)
def test_a_prompt_that_does_not_fit_is_a_context_overflow_and_not_retried(server: Server, words: str) -> None:
    server.behavior = lambda body: error(400, words)
    fails(server.model(max_retries=2), ContextOverflow, words, "lower max_new_tokens")
    assert len(server.requests) == 1


def test_a_silently_truncated_prompt_is_noticed_if_the_window_is_known(server: Server) -> None:
    server.behavior = lambda body: (200, completion("hello", usage={"prompt_tokens": 60}))
    fails(server.model(context_window=64), ContextOverflow, "60 tokens", "may have 5", max_new_tokens=5)
    assert server.model(context_window=64).generate(["hi"], max_new_tokens=4) == [[Generation("hello")]]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, b"<html>Welcome to nginx</html>", {"content-type": "text/html"}), "not JSON"),
        ((200, b'{"choices": [{"mess'), "not JSON"),
        ((200, b"\xff\xfe\x00"), "not JSON"),
        ((200, b"["), "not JSON"),
        ((200, b""), "not JSON"),
        ((200, {"object": "chat.completion"}), "without any choices"),
        ((200, {"choices": []}), "without any choices"),
        ((200, {"choices": "many"}), "without any choices"),
        ((200, [1, 2]), "without any choices"),
        ((200, None), "without any choices"),
        ((200, {"choices": [None]}), "without text"),
        ((200, {"choices": [{"finish_reason": "stop"}]}), "without text"),
        ((200, {"choices": [choice(None)]}), "without text"),
        ((200, {"choices": [choice("hello", 7)]}), "without text"),  # type: ignore[arg-type]
        ((200, {"error": {"message": "model crashed"}}), "model crashed"),
        ((418, {"message": "I'm a teapot"}), "I'm a teapot"),
        ((400, b"no"), "refused the request (400: no)"),
        ((400, b""), "refused the request (400: no reason given)"),
    ],
)
def test_an_unusable_reply_is_explained_in_one_sentence(server: Server, reply: Reply, words: str) -> None:
    server.behavior = lambda body: reply
    fails(server.model(), ModelResponseError, words)


def test_reasoning_that_took_all_the_tokens_says_so(server: Server) -> None:
    said = {"role": "assistant", "content": None, "reasoning_content": "hmm"}
    server.behavior = lambda body: (200, {"choices": [{"message": said, "finish_reason": "length"}]})
    fails(server.model(), ModelResponseError, "reasoning took all of max_new_tokens")


def test_a_reply_shorter_than_its_content_length_is_a_failure_of_the_server(server: Server) -> None:
    server.behavior = lambda body: (200, b'{"choices"', {"content-length": "500", "connection": "close"})
    fails(server.model(), ModelUnavailable, "cannot be reached")


# -- arguments


@pytest.mark.parametrize(
    "spec",
    [
        "http://host/v1",
        "http://host/v1#",
        "http://host/v1# ",
        "http://#m",
        "ftp://host/v1#m",
        "host:8000/v1#m",
        "http://host:port/v1#m",
        "http://host:99999/v1#m",
        "http://ho st/v1#m",
        "http://[::1/v1#m",
        "http://user:secret@host/v1#m",
        "http://host/v1?a=b#m",
    ],
)
def test_a_malformed_spec_is_refused_without_showing_secrets(spec: str) -> None:
    with pytest.raises(InvalidInput, match="pass") as caught:
        EndpointModel(spec)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": float("inf")},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_concurrency": 0},
        {"max_concurrency": None},
        {"context_window": 0},
        {"context_window": "8k"},
        {"api_key": "clé"},
    ],
)
def test_a_malformed_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        EndpointModel("http://127.0.0.1/v1#m", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"stop": "\n"},
        {"stop": [""]},
        {"top_logprobs": -1},
    ],
)
def test_an_option_out_of_range_is_refused_before_anything_is_sent(server: Server, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        server.model().generate(["hi"], **options)
    assert server.requests == []


@pytest.mark.parametrize(
    "prompts",
    [
        "hi",
        {"role": "user", "content": "hi"},
        [""],
        [[]],
        [7],
        [None],
        [{"role": "user", "content": "hi"}],
        [[{"role": "user"}]],
        [[{"content": "hi"}]],
        [[{"role": "narrator", "content": "hi"}]],
        [[{"role": 3, "content": "hi"}]],
        [[{"role": ["user"], "content": "hi"}]],
        [[{"role": "user", "content": None}]],
        [[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]],
        [["user"]],
        ["\ud800"],
    ],
)
def test_an_unusable_prompt_is_refused_before_anything_is_sent(server: Server, prompts: Any) -> None:
    with pytest.raises(InvalidInput):
        server.model().generate(prompts)
    assert server.requests == []


# -- streams


def test_a_stream_yields_pieces_then_the_generation(server: Server) -> None:
    server.behavior = lambda body: events(
        {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]},
        delta("The", logprobs={"content": [token("The", -0.5)]}),
        delta(" sky", logprobs={"content": [token(" sky", -1.0)]}),
        delta(None, "length"),
        {"choices": [], "usage": {"prompt_tokens": 3}},
    )
    out = list(server.model().stream("hi", max_new_tokens=2, stop=["."]))
    assert out == ["The", " sky", Generation("The sky", (), (-0.5, -1.0), "length")]
    assert server.requests[0]["stream"] is True
    assert server.requests[0]["stop"] == ["."]


def test_a_stream_holds_back_what_may_become_a_stop_string(server: Server) -> None:
    server.behavior = lambda body: events(delta("one#"), delta("two##"), delta("three"), delta(None, "length"))
    assert list(server.model().stream("hi", stop=["##"])) == ["one", "#two", Generation("one#two")]
    server.behavior = lambda body: events(delta("one#"), delta(None, "stop"))
    assert list(server.model().stream("hi", stop=["##"])) == ["one", "#", Generation("one#")]


def test_a_server_that_does_not_stream_yields_one_piece(server: Server) -> None:
    assert list(server.model().stream("hi")) == ["hello", Generation("hello")]


def test_a_stream_does_without_logprobs_if_the_server_refuses_them(server: Server) -> None:
    server.behavior = lambda body: error(400, "logprobs") if "logprobs" in body else events(delta("hello", "stop"))
    assert list(server.model().stream("hi")) == ["hello", Generation("hello")]


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (events(delta("hel"), end=b""), ModelResponseError, "interrupted its stream after 3 characters"),
        (events(delta("hel")), ModelResponseError, "interrupted its stream"),
        (events(delta("hel"), b'{"choi'), ModelResponseError, "not JSON"),
        (events(delta("hel"), [1], 7, {"choices": [None]}), ModelResponseError, "interrupted its stream"),
        (events(delta("hel"), {"error": {"message": "out of memory"}}), ModelResponseError, "out of memory"),
        (events({"error": {"message": OVERFLOWS["vllm"]}}), ContextOverflow, "maximum context length"),
        ((200, b"<html></html>", {"content-type": "text/html"}), ModelResponseError, "interrupted its stream"),
        (error(401, "bad key"), ModelUnavailable, "OPENAI_API_KEY"),
        (
            (200, b"data: {}\n\n", {"content-type": "text/event-stream", "content-length": "500", "connection": "close"}),
            ModelUnavailable,
            "interrupted its stream",
        ),
    ],
)
def test_a_broken_stream_ends_in_one_sentence(server: Server, reply: Reply, kind: type[HallucError], words: str) -> None:
    server.behavior = lambda body: reply
    with pytest.raises(kind, match=words) as caught:
        list(server.model().stream("hi"))
    assert server.url in str(caught.value)


def test_a_stream_refuses_bad_options_when_it_is_called(server: Server) -> None:
    with pytest.raises(InvalidInput):
        server.model().stream("")


# -- text that UTF-8 cannot encode


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        (["fine", "bad \ud83d half."], {}, r"prompt 1 has a lone surrogate, '\\ud83d', at character 5"),
        ([[{"role": "user", "content": "\udc00"}]], {}, "message 0 of prompt 0 has a lone surrogate"),
        (["hi"], {"stop": ["\n", "\ud83d"]}, "stop\\[1\\] has a lone surrogate"),
    ],
)
def test_lone_surrogates_in_a_request_are_refused_and_named(
    server: Server, prompts: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        server.model().generate(prompts, **options)
    assert server.requests == []


def test_lone_surrogates_in_a_reply_are_replaced_and_pairs_joined(server: Server) -> None:
    logprob = token("x", -1.0) | {"token": "\ud83d", "bytes": None}
    server.behavior = lambda body: (200, {"choices": [choice("a\ud83d \ud83d\ude00.", logprobs={"content": [logprob]})]})
    generation = server.model().generate(["hi"])[0][0]
    assert generation == Generation("a\ufffd \U0001f600.")
    server.behavior = lambda body: events(delta("a\ud83d"), delta("\ude00b"), delta("\ud83d"), delta(None, "stop"))
    assert list(server.model().stream("hi")) == ["a", "\U0001f600b", "\ufffd", Generation("a\U0001f600b\ufffd")]
    server.behavior = lambda body: error(400, "\ud83d is no model")
    with pytest.raises(ModelResponseError) as caught:
        server.model().generate(["hi"])
    str(caught.value).encode()


# -- keys


def test_a_server_named_by_a_file_does_not_get_the_environments_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    def sent(**options: Any) -> str:
        server.headers.clear()
        server.model(**options).generate(["hi"])
        return server.headers[0]["authorization"]

    assert sent() == "Bearer secret"
    assert sent(named_by_user=False) == "Bearer no-key"
    assert sent(named_by_user=False, api_key="mine") == "Bearer mine"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert sent(named_by_user=False) == "Bearer no-key"
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    assert sent(named_by_user=False) == "Bearer secret"


def test_a_server_named_by_a_file_gets_no_other_header_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "organization")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: secret\nauthorization: Bearer secret\nAuthorization: secret")
    for model in (server.model(named_by_user=False), server.model(named_by_user=False, api_key="mine")):
        model.generate(["hi"])
        assert not {"x-secret", "openai-organization", "openai-project"} & set(server.headers[-1])
        assert "secret" not in str(server.headers[-1])
    assert server.headers[-1]["authorization"] == "Bearer mine"
    server.model().generate(["hi"])
    assert server.headers[-1]["x-secret"] == "secret"
    assert server.headers[-1]["openai-organization"] == "organization"


# -- chat templates behind the server


@pytest.mark.parametrize(
    "words", ["System role not supported", "Conversation roles must alternate user/assistant/user/assistant/..."]
)
def test_a_server_without_a_system_role_gets_the_system_text_in_the_first_user_turn(server: Server, words: str) -> None:
    server.behavior = lambda body: (
        error(400, words) if body["messages"][0]["role"] == "system" else (200, completion("hello"))
    )
    model = server.model()
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert model.generate([turns]) == [[Generation("hello")]]
    assert server.requests[-1]["messages"] == [{"role": "user", "content": "be brief\n\nhi"}]
    assert "logprobs" in server.requests[-1]
    model.generate([turns])
    assert len(server.requests) == 3


# -- closing


def test_a_closed_model_refuses_every_use(server: Server) -> None:
    with server.model() as model:
        model.generate(["hi"])
    for use in (lambda: model.generate(["hi"]), lambda: model.stream("hi"), lambda: model.context_window):
        with pytest.raises(InvalidInput, match="is closed; load the model again"):
            use()
    model.close()
    assert len(server.requests) == 1


def test_closing_ends_the_threads_of_the_pool(server: Server) -> None:
    model = server.model(max_concurrency=2)
    model.generate(["hi"] * 4)
    before = threading.active_count()
    model.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before - 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() < before


# -- window, counting, scoring


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"id": "tiny", "max_model_len": 4096}, 4096),
        ({"id": "tiny", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}, 2048),
        ({"id": "tiny"}, None),
        ({"id": "other", "max_model_len": 4096}, None),
        ("garbage", None),
    ],
)
def test_the_window_is_what_the_server_reports_for_this_model(server: Server, entry: Any, window: int | None) -> None:
    server.models = 200, {"data": [entry]}
    model = server.model()
    assert model.context_window == window
    server.models = 500, {}
    assert model.context_window == window


@pytest.mark.parametrize("models", [(500, {}), (404, {}), (401, {}), (200, b"<html>"), (200, [])])
def test_the_window_is_unknown_if_the_server_lists_no_models(server: Server, models: Reply) -> None:
    server.models = models
    assert server.model().context_window is None


def test_a_window_that_was_passed_is_not_requested(server: Server) -> None:
    server.models = 200, {"data": [{"id": "tiny", "max_model_len": 4096}]}
    assert server.model(context_window=100).context_window == 100


def test_count_tokens_is_the_documented_estimate(server: Server) -> None:
    model = server.model()
    # what 2, is 1, 2 digits, a line end, é 2 bytes; a9b 3 bytes with the space before it 4; "?" 1.
    assert model.count_tokens("what is 42\né a9b?") == 48 + 2 + 1 + 3 + 1 + 2 + 4 + 1
    turns = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    assert model.count_tokens(turns) == 40 + 2 * 9


def test_scoring_is_refused_with_what_to_use_instead(server: Server) -> None:
    model = server.model()
    assert model.score([], []) == []
    with pytest.raises(InvalidInput, match="load the model with transformers"):
        model.score(["hi"], ["hello"])
    assert server.requests == []
