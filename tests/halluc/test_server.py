"""The HTTP server with a scripted model: what clients send, who may send it, and what happens when they go away."""

import asyncio
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from served import ScriptedModel, Served, content, events, question, wait_until
from stand_in_verifiers import SharedWords

from halluc.errors import InvalidInput
from halluc.server import ServerOptions, create_app
from halluc.server.checks import _Interruptible
from halluc.server.connections import _LimitedProtocol
from halluc.server.worker import QueueFull, Worker

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture
def model():
    return ScriptedModel()


@pytest.fixture
def server(model):
    served = Served(create_app(model, options=ServerOptions(aliases=("gpt-4o-mini",), max_body=10_000)))
    yield served
    served.stop()


# -- what clients send -------------------------------------------------------------------------------------------------


def test_everything_that_openai_clients_send_is_accepted(server, model):
    body = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "developer", "content": "Be brief.", "name": "dev"},
            {"role": "user", "content": [{"type": "text", "text": "Hello."}, {"type": "text", "text": "Who?"}]},
            {"role": "assistant", "content": "I.", "refusal": None, "annotations": [], "tool_calls": None, "audio": None},
            {"role": "user", "content": "And?", "name": "me"},
        ],
        "temperature": 0.5, "top_p": 0.9, "n": 1, "stop": ["x"], "seed": 3, "max_completion_tokens": 9, "logprobs": True,
        "top_logprobs": 2, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "user": "u", "store": False,
        "metadata": {"a": "b"}, "tools": [], "tool_choice": "none", "parallel_tool_calls": True, "stream": False,
        "response_format": {"type": "text"}, "service_tier": "auto", "stream_options": None, "reasoning_effort": None,
    }  # fmt: skip
    reply = server.chat(body)
    assert reply.status_code == 200
    assert reply.json()["model"] == "gpt-4o-mini"
    assert model.prompts == [
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello.\nWho?"},
            {"role": "assistant", "content": "I."},
            {"role": "user", "content": "And?"},
        ]
    ]
    assert model.options == [
        {"max_new_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ("x",), "top_logprobs": 2}
    ]


def test_a_reply_has_usage_and_so_has_a_stream_that_asks_for_it(server):
    reply = server.chat(question("a b")).json()
    assert reply["choices"][0]["message"]["content"] == "one two three"
    assert reply["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    *parts, last = events(server.chat(question("a b", stream=True, stream_options={"include_usage": True})))
    assert content(parts) == "one two three"
    assert [part["usage"] for part in parts] == [None] * len(parts)
    assert (last["choices"], last["usage"]) == ([], reply["usage"])
    assert "usage" not in events(server.chat(question("a b", stream=True)))[0]


def test_seeds_vary_unless_one_is_sent(server, model):
    for _ in range(2):
        server.chat(question(temperature=1))
    assert model.options[0]["seed"] != model.options[1]["seed"]
    server.chat(question(temperature=1, n=3, seed=7))
    assert sorted(options["seed"] for options in model.options[2:]) == [7, 8, 9]


def test_n_completions_come_in_one_reply_or_one_stream(server):
    reply = server.chat(question(n=3)).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert reply["usage"]["completion_tokens"] == 9
    parts = events(server.chat(question(n=3, stream=True)))
    assert [content(parts, index) for index in range(3)] == ["one two three"] * 3
    assert len({part["id"] for part in parts}) == 1
    assert sum(part["choices"][0]["finish_reason"] == "stop" for part in parts) == 3


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the request is not JSON"),
        (b"[]", 400, "not an object"),
        (b"", 400, "the request is empty"),
        ({}, 400, "messages is missing"),
        ({"messages": []}, 400, "messages is []: list should have at least 1 item"),
        ({"messages": [{"role": "user"}]}, 400, "messages[0] has the content None"),
        ({"messages": [{"role": "user", "content": []}]}, 400, "messages[0] has the content []"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
            400,
            "messages[0].content[0] is empty",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "this server reads text only"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, 400, "messages[0].role is 'narrator'"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, 400, "messages[0] belongs to a tool call"),
        (question(" "), 400, "messages[0] is empty"),
        (question(temperature="hot"), 400, "temperature is 'hot': input should be a valid number"),
        (question(temperature=3), 400, "temperature is 3"),
        (question(temperature=1e-320), 400, "temperature is 1e-320"),
        (question(max_tokens=0), 400, "max_tokens is 0"),
        (question(max_tokens=10**6), 400, "max_tokens is 1000000; this server generates up to 4096"),
        (question(n=99), 400, "n is 99"),
        (question(seed=2**70), 400, "seed is"),
        (question(stop=[3]), 400, "stop[0] is 3: input should be a valid string"),
        (question(stop=3), 400, "stop is 3: input should be a valid string"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, 400, "messages[0].content[0].type is missing"),
        ({"messages": [{"role": "user", "content": [None]}]}, 400, "messages[0].content[0] is None"),
        (question(stop=[""]), 400, "stop is"),
        (question(top_logprobs=2), 400, "send logprobs as true with it"),
        (question(tools=[{"type": "function"}]), 400, "this server does not call tools"),
        (question(response_format={"type": "json_object"}), 400, "this server replies with plain text"),
        (question(frequency_penalty=1), 400, "frequency_penalty is 1"),
        (question(best_of=3), 400, "there is no parameter 'best_of' here; leave it out"),
        (question(best_of=3, halluc={"a": 1}, top_k=2), 400, "'halluc.a' or 'best_of' or 'top_k' here; leave them out"),
        (question(halluc={"filter": {"a": 1}}), 400, "this server has no index"),
        (question(halluc={"color": 1}), 400, "there is no parameter 'halluc.color'"),
        (question(model="gpt-99"), 404, "there is no model 'gpt-99'; this server has scripted and gpt-4o-mini"),
        (question("bad \ud83d half."), 400, "lone surrogate"),
        (question("why " * 3000), 413, "longer than 10000 bytes"),
    ],
)
def test_what_cannot_be_answered_is_a_clear_error(server, model, body, status, message):
    reply = server.chat(body)
    assert reply.status_code == status
    assert message in reply.json()["error"]["message"]
    assert model.prompts == []


def test_the_oldest_turns_are_dropped_when_a_conversation_is_longer_than_the_window(model):
    model.context_window = 40
    served = Served(create_app(model))
    turns = [("user", "old " * 30), ("assistant", "yes"), ("user", "b"), ("assistant", "c"), ("user", "d")]
    body = {"messages": [{"role": role, "content": text} for role, text in turns], "max_tokens": 10}
    reply = served.chat(body).json()
    assert reply["halluc"] == {"dropped_turns": 2}
    assert [message["content"] for message in model.prompts[0]] == ["b", "c", "d"]
    assert events(served.chat({**body, "stream": True}))[-1]["halluc"] == {"dropped_turns": 2}
    served.stop()


def test_the_model_is_listed_under_all_its_names(server):
    listed = server.get("/v1/models").json()["data"]
    assert [entry["id"] for entry in listed] == ["scripted", "gpt-4o-mini"]
    assert server.get("/v1/models/gpt-4o-mini").json() == listed[1]
    assert server.get("/v1/models/other").status_code == 404
    assert "/v1/chat/completions" in server.get("/openapi.json").json()["paths"]


def test_unknown_routes_and_methods_are_json_errors_too(server):
    assert server.get("/nothing").json()["error"]["message"] == "Not Found"
    assert server.get("/check").status_code == 405


def test_a_model_that_fails_is_a_server_error_in_a_reply_and_in_a_stream(server, model, caplog):
    def fails(prompt):
        raise RuntimeError("secret detail")

    model.text = fails
    for stream in (False, True):
        reply = server.chat(question(stream=stream))
        assert reply.status_code == 500
        assert reply.json()["error"]["message"] == "the server failed; see its log"
    assert "secret detail" in caplog.text


def test_one_bad_request_does_not_fail_the_others(server, model):
    def text(prompt):
        if "bad" in prompt[-1]["content"]:
            raise InvalidInput("this prompt is bad")
        return prompt[-1]["content"]

    model.text = text
    texts = ["a", "bad", "b", "c"]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda text: server.chat(question(text)), texts))
    assert [reply.status_code for reply in replies] == [200, 400, 200, 200]
    assert [reply.json()["choices"][0]["message"]["content"] for reply in replies if reply.status_code == 200] == [
        "a",
        "b",
        "c",
    ]


# -- who may send it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "localhost:1"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "192.168.1.7"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:9000"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_pages_of_others_cannot_use_the_server(server, headers, status):
    assert server.chat(question(), headers=headers).status_code == status


def test_hosts_and_origins_can_be_allowed(model):
    served = Served(create_app(model, options=ServerOptions(hosts=("bot.example",), origins=("https://app.example",))))
    assert served.chat(question(), headers={"host": "bot.example"}).status_code == 200
    reply = served.chat(question(), headers={"origin": "https://app.example"})
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    allowed = httpx.options(f"{served.url}/v1/chat/completions", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example")
    refused = httpx.options(f"{served.url}/v1/chat/completions", headers={**preflight, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers
    assert served.chat(question(), headers={"origin": "https://evil.example"}).status_code == 403
    served.stop()


def test_a_key_is_required_if_there_is_one(model):
    served = Served(create_app(model, options=ServerOptions(api_key="s3cret")))
    missing = served.chat(question())
    assert (missing.status_code, missing.json()["error"]["code"]) == (401, "invalid_api_key")
    assert served.chat(question(), headers={"authorization": "Bearer other"}).status_code == 401
    assert served.get("/v1/models").status_code == served.get("/metrics").status_code == 401
    assert served.get("/features").status_code == served.get("/passages/x").status_code == 401
    assert served.get("/health").status_code == served.get("/").status_code == 200
    assert served.chat(question(), headers={"authorization": "Bearer s3cret"}).status_code == 200
    served.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key": " "}, "the API key is empty"),
        ({"api_key": "two\nlines"}, "characters that no HTTP header can have"),
        ({"origins": ("example.com",)}, "'example.com' is no origin"),
        ({"max_rows": 0}, "max_rows is 0"),
        ({"on_unsupported": "hide"}, "on_unsupported is 'hide'"),
    ],
)
def test_unusable_options_are_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        ServerOptions(**options)


def test_requests_are_logged_and_counted_without_their_text(server, caplog):
    caplog.set_level(logging.INFO, "halluc.server.requests")
    server.chat(question("a secret question"))
    server.chat(question(best_of=1))
    wait_until(lambda: len(caplog.records) >= 2)
    assert "POST /v1/chat/completions 200" in caplog.text
    assert "secret" not in caplog.text
    metrics = server.get("/metrics").text
    assert 'halluc_requests_total{route="/v1/chat/completions",status="200"} 1.0' in metrics
    assert 'halluc_requests_total{route="/v1/chat/completions",status="400"} 1.0' in metrics
    assert 'halluc_tokens_total{kind="completion"} 3.0' in metrics


# -- clients that go away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_ends_its_generation(stream):
    model = ScriptedModel("word " * 2000, pause=0.01)
    served = Served(create_app(model))
    request = json.dumps(question(stream=stream, max_tokens=2000)).encode()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        head = HEAD + b"content-length: %d\r\n\r\n" % len(request)
        client.sendall(head + request)
        wait_until(lambda: len(model.generated) > 3)
    wait_until(lambda: served.get("/health").json()["running"] == 0, 20)
    count = len(model.generated)
    time.sleep(0.1)
    assert len(model.generated) == count < 2000
    assert 'status="499"} 1.0' in served.get("/metrics").text
    served.stop()


def test_jobs_of_clients_that_went_away_are_not_begun():
    done = []

    async def run():
        worker = Worker()
        begun, go_on = threading.Event(), threading.Event()

        def work(items):
            begun.set()
            go_on.wait(10)
            done.extend(items)
            return items

        first = asyncio.create_task(worker.run("k", work, "first"))
        await asyncio.to_thread(begun.wait)
        second = asyncio.create_task(worker.run("k", work, "second"))
        await asyncio.sleep(0)
        second.cancel()
        go_on.set()
        await first
        await worker.run("k", work, "third")
        assert worker.close(5)

    asyncio.run(run())
    assert done == ["first", "third"]


@pytest.mark.parametrize("kind", [InvalidInput, RuntimeError, UnicodeEncodeError])
def test_waiting_jobs_are_batched_and_a_bad_one_fails_alone(kind):
    """Whatever the exception."""
    batches = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items):
        batches.append(items)
        begun.set()
        go_on.wait(10)
        if "bad" in items:
            raise kind(*(("utf-8", "bad", 0, 1, "bad") if kind is UnicodeEncodeError else ("bad",)))
        return [item.upper() for item in items]

    async def run():
        worker = Worker(max_batch=3, max_queue=5)
        first = asyncio.create_task(worker.run("k", work, "a"))
        await asyncio.to_thread(begun.wait)
        rest = [asyncio.create_task(worker.run(key, work, item)) for key, item in (("k", "b"), ("k", "bad"), ("l", "c"))]
        rest += [asyncio.create_task(worker.run("k", work, item)) for item in ("d", "e")]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await worker.run("k", work, "f")
        go_on.set()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
        worker.close()
        return results

    results = asyncio.run(run())
    assert isinstance(results.pop(2), kind)
    assert results == ["A", "B", "C", "D", "E"]
    assert batches == [["a"], ["b", "bad", "d"], ["b"], ["bad"], ["d"], ["c"], ["e"]]


def test_jobs_before_a_first_token_are_gathered_and_come_before_others():
    batches = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items):
        batches.append(items)
        begun.set()
        go_on.wait(10)
        return items

    async def run():
        worker = Worker()

        async def later(key, item, delay, urgent):
            await asyncio.sleep(delay)
            await worker.run(key, work, item, urgent=urgent)

        prepared = [asyncio.create_task(later("prepare", n, 0.0005 * n, True)) for n in range(3)]
        await asyncio.to_thread(begun.wait)
        judged = asyncio.create_task(worker.run("judge", work, "sentence"))
        await asyncio.sleep(0)
        prepared.append(asyncio.create_task(worker.run("prepare", work, 3, urgent=True)))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*prepared, judged)
        worker.close()

    asyncio.run(run())
    assert batches == [[0, 1, 2], [3], ["sentence"]]


def test_a_work_function_that_loses_results_fails_instead_of_hanging():
    async def run():
        worker = Worker()
        try:
            return await asyncio.wait_for(worker.run("k", lambda items: [], "a"), 10)
        finally:
            worker.close()

    with pytest.raises(RuntimeError, match="got 0 results"):
        asyncio.run(run())


def test_more_requests_than_the_queue_holds_are_refused():
    model = ScriptedModel("word " * 50, pause=0.05)
    served = Served(create_app(model, options=ServerOptions(max_rows=1, max_queue=1)))
    with ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(lambda _: served.chat(question(max_tokens=50)), range(5)))
    assert sorted({reply.status_code for reply in replies}) == [200, 429]
    served.stop()


# -- connections -------------------------------------------------------------------------------------------------------


def limited(app, **limits):
    """The application behind connections with these limits."""
    return Served(app, http=type("Protocol", (_LimitedProtocol,), limits))


def test_a_silent_connection_is_closed(model):
    served = limited(create_app(model), silent_seconds=0.3)
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: local")
        client.settimeout(20)
        assert client.recv(1000) == b""
    assert served.get("/health").status_code == 200
    served.stop()


def test_silent_connections_do_not_keep_others_out(model):
    served = limited(create_app(model), silent_seconds=60.0, limit=5)
    clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    assert served.get("/health").status_code == 200
    assert served.chat(question()).status_code == 200
    for client in clients:
        client.close()
    served.stop()


def test_a_body_that_does_not_come_ends_the_request(model):
    served = Served(create_app(model, options=ServerOptions(body_seconds=0.3)))
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        client.settimeout(20)
        assert b" 408 " in client.recv(1000)
    served.stop()


# -- checks ------------------------------------------------------------------------------------------------------------


def test_an_answer_is_checked_against_a_context(server, model):
    assert "without a verifier" in server.post("/check", {"answer": "A.", "context": "c"}).json()["error"]["message"]
    options = ServerOptions(max_characters=1000, max_claims=3)
    served = Served(create_app(model, verifier=SharedWords(), options=options))
    claim = {"answer": "Alexander Fleming discovered penicillin."}
    report = served.post("/check", {**claim, "context": ["Nothing.", claim["answer"]]}).json()
    assert (report["mode"], report["verdicts"][0]["label"]) == ("faithfulness", "supported")
    for body, message in (
        (claim, "context is missing, and this server has no index"),
        ({**claim, "context": 5}, "context is 5"),
        ({**claim, "context": []}, "context is an empty list"),
        ({**claim, "context": ""}, "context is empty"),
        ({**claim, "context": ["c", "\ud83d"]}, "lone surrogate"),
        ({**claim, "context": "c", "extra": 1}, "there is no parameter 'extra'"),
        ({"context": "c"}, "answer is missing"),
        ({"answer": " ", "context": "c"}, "answer is empty"),
        ({**claim, "context": "c " * 600}, "answer and context have 1240 characters; this server checks up to 1000"),
        (
            {"answer": "Alice lives in Paris. Bob lives in Rome. Carol lives in Oslo. Dave lives in Bern.", "context": "c"},
            "the answer has 4 claims; this server checks up to 3",
        ),
    ):
        reply = served.post("/check", body)
        assert reply.status_code == 400, message
        assert message in reply.json()["error"]["message"]
    served.stop()


def test_a_check_ends_between_batches_when_its_client_is_gone():
    class Slow(SharedWords):
        def probabilities(self, pairs):
            gone.set()
            return super().probabilities(pairs)

    gone = threading.Event()
    verifier = Slow()
    pairs = [(f"evidence {i}", "claim") for i in range(200)]
    assert np.array_equal(_Interruptible(verifier, [threading.Event()]).probabilities(pairs), verifier.probabilities(pairs))
    gone.clear()
    verifier.calls = 0
    with pytest.raises(InvalidInput, match="cancelled"):
        _Interruptible(verifier, [gone]).probabilities(pairs)
    assert verifier.calls == 1
