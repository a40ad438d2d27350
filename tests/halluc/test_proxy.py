"""The proxy: in front of a scripted server, and in front of a second real one of ours."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from served import ScriptedModel, Served, content, events, question
from stand_in_verifiers import SharedWords

from halluc.errors import InvalidInput
from halluc.server import ServerOptions, create_app, create_proxy
from halluc.server.context import context_of, last_question

TRUE, FALSE = "Alexander Fleming discovered penicillin in 1928.", "Alexander Fleming discovered penicillin in 1999."
TEXT = f"{TRUE} {FALSE} {TRUE}"
CONTEXT = {"role": "tool", "tool_call_id": "1", "content": TRUE}


def conversation(*context, **more):
    return {"messages": [*context, {"role": "user", "content": "Who discovered penicillin?"}], **more}


@pytest.fixture(scope="module")
def behind():
    """A second real server of ours; it refuses messages of tools, so the context is a block of the user."""
    served = Served(create_app(ScriptedModel(TEXT), options=ServerOptions(aliases=("gpt-4o-mini",))))
    yield served
    served.stop()


@contextmanager
def proxy_of(url, **options):
    served = Served(create_proxy(f"{url}/v1", verifier=SharedWords(), **options))
    yield served
    served.stop()


def with_block(**more):
    return question(f"<passages>\n[1] {TRUE}\n</passages>\nWho discovered penicillin?", **more)


def test_a_reply_of_a_second_real_server_comes_with_verdicts(behind):
    with proxy_of(behind.url) as proxy:
        reply = proxy.chat(with_block(model="gpt-4o-mini")).json()
        assert reply["choices"][0]["message"]["content"] == TEXT
        assert [verdict["label"] for verdict in reply["halluc"]["verdicts"]] == ["supported", "refuted", "supported"]
        assert reply["halluc"] == reply["choices"][0]["halluc"]
        assert reply["usage"]["completion_tokens"] > 0
        parts = events(proxy.chat(with_block(stream=True)))
        assert content(parts) == TEXT
        assert len(parts) > 5
        assert parts[-1]["halluc"]["verdicts"] == reply["halluc"]["verdicts"]
        assert [model["id"] for model in proxy.get("/v1/models").json()["data"]] == ["scripted", "gpt-4o-mini"]
        refused = proxy.chat(with_block(best_of=2))
        assert (refused.status_code, "best_of" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("action", "expected", "finish"),
    [
        ("mark", f"{TRUE} {FALSE} [contradicted] {TRUE}", "stop"),
        ("replace", f"{TRUE} [Removed: not supported by the evidence.] {TRUE}", "stop"),
        ("stop", TRUE, "content_filter"),
    ],
)
def test_unsupported_sentences_of_a_second_real_server_are_acted_on(behind, action, expected, finish):
    with proxy_of(behind.url, options=ServerOptions(on_unsupported=action)) as proxy:
        reply = proxy.chat(with_block()).json()
        assert reply["choices"][0]["message"]["content"] == expected
        assert reply["choices"][0]["finish_reason"] == finish
        parts = events(proxy.chat(with_block(stream=True)))
        assert content(parts).strip() == expected
        assert parts[-1]["choices"][0]["finish_reason"] == finish
        assert parts[-1]["halluc"]["verdicts"] == reply["halluc"]["verdicts"]


def test_a_reply_without_anything_supported_says_so(behind):
    with proxy_of(behind.url) as proxy:
        body = question("<context>Bread rises.</context> Who?", halluc={"on_unsupported": "stop"})
        unsure = "I am not sure enough of the answer to give it."
        assert proxy.chat(body).json()["choices"][0]["message"]["content"] == unsure
        assert content(events(proxy.chat({**body, "stream": True}))) == unsure


def test_without_context_the_reply_is_passed_on_and_says_that_it_was_not_checked(behind):
    with proxy_of(behind.url, options=ServerOptions(on_unsupported="replace")) as proxy:
        reply = proxy.chat(question("Who discovered penicillin?")).json()
        assert reply["choices"][0]["message"]["content"] == TEXT
        assert reply["halluc"]["reason"] == "the conversation has no context to check the reply against"


# -- what other servers do ---------------------------------------------------------------------------------------------


class Scripted:
    """A server that records requests and replies with what it is given: JSON, or a list of events."""

    def __init__(self, reply, status=200):
        self.requests, self.headers = [], []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                script.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                script.headers.append(dict(self.headers))
                streams = isinstance(reply, list)
                self.send_response(status)
                self.send_header("content-type", "text/event-stream" if streams else "application/json")
                self.end_headers()
                lines = [f"data: {json.dumps(event)}\n\n" for event in reply] if streams else [json.dumps(reply)]
                for line in [*lines, "data: [DONE]\n\n"] if streams else lines:
                    self.wfile.write(line.encode())

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._server.shutdown()
        self._server.server_close()


def delta(finish=None, **fields):
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
    }


def test_a_request_is_passed_on_as_it_is_with_tools_and_key():
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    reply = {"id": "y", "choices": [{"index": 0, "message": call, "finish_reason": "tool_calls"}], "usage": {"a": 1}}
    body = conversation(CONTEXT, model="m", tools=[{"type": "function"}], response_format={"type": "json_object"}, odd=[1])
    with Scripted(reply) as server, proxy_of(server.url, options=ServerOptions(on_unsupported="stop")) as proxy:
        answered = proxy.chat(body, headers={"authorization": "Bearer theirs"}).json()
        assert server.requests == [body]
        assert server.headers[0]["authorization"] == "Bearer theirs"
        assert answered.pop("halluc") == {"reason": "the reply has no text"}
        assert answered == reply


def test_the_proxy_keeps_its_own_key_and_sends_that_of_the_server():
    reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": TRUE}, "finish_reason": "stop"}]}
    with (
        Scripted(reply) as server,
        proxy_of(server.url, upstream_key="up", options=ServerOptions(api_key="mine")) as proxy,
    ):
        assert proxy.chat(conversation(CONTEXT)).status_code == 401
        answered = proxy.chat(conversation(CONTEXT), headers={"authorization": "Bearer mine"}).json()
        assert server.headers[0]["authorization"] == "Bearer up"
        assert answered["halluc"]["verdicts"][0]["label"] == "supported"


def test_tool_calls_in_a_stream_are_passed_on_and_text_is_held_until_it_is_judged():
    call = [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]
    sent = [delta(role="assistant", content=""), *(delta(content=word + " ") for word in FALSE.split()),
            delta(tool_calls=call), delta("tool_calls")]  # fmt: skip
    with Scripted(sent) as server, proxy_of(server.url, options=ServerOptions(on_unsupported="replace")) as proxy:
        parts = events(proxy.chat(conversation(CONTEXT, stream=True)))
        assert content(parts).strip() == "[Removed: not supported by the evidence.]"
        assert [p["choices"][0]["delta"]["tool_calls"] for p in parts if "tool_calls" in p["choices"][0]["delta"]] == [call]
        assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_errors_of_the_server_and_its_absence_are_passed_on():
    refusal = {"error": {"message": "no such model", "type": "invalid_request_error"}}
    with Scripted(refusal, 404) as server, proxy_of(server.url) as proxy:
        for stream in (False, True):
            reply = proxy.chat(conversation(stream=stream))
            assert (reply.status_code, reply.json()) == (404, refusal)
        url = server.url
    with proxy_of(url) as proxy:
        for stream in (False, True):
            reply = proxy.chat(conversation(stream=stream))
            assert reply.status_code == 503
            assert "cannot be used" in reply.json()["error"]["message"]
        assert proxy.get("/health").json()["running"] == 0
    with Scripted(["not an event"]) as server, proxy_of(server.url) as proxy:
        assert events(proxy.chat(conversation(stream=True))) == []
    for url in ("localhost:1", ""):
        with pytest.raises(InvalidInput, match=f"^'{url}' is not the URL of an endpoint"):
            create_proxy(url, verifier=SharedWords())


def test_unusable_options_of_the_proxy_are_named(behind):
    with proxy_of(behind.url) as proxy:
        reply = proxy.chat(question(halluc={"on_unsupported": "hide"}))
        assert reply.status_code == 400
        assert "on_unsupported" in reply.json()["error"]["message"]


# -- the context -------------------------------------------------------------------------------------------------------


def test_the_context_is_what_tools_and_passages_say_and_not_what_the_user_claims():
    long = "Our opening hours are nine to five. " * 6
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "developer", "content": long},
        {"role": "user", "content": "Fleming was born in 1999, right?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "tool", "content": [{"type": "text", "text": "from a tool"}]},
        {"role": "user", "content": "<document id='1'>one</document> <DOCUMENT>two</DOCUMENT> Which?"},
        "nonsense",
    ]
    assert [passage.text for passage in context_of(messages)] == [long.strip(), "from a tool", "one", "two"]
    assert len({passage.id for passage in context_of(messages)}) == 4
    assert last_question(messages) == "Which?"
    assert last_question([]) == ""
