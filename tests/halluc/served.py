"""An application behind the real HTTP server in a thread, and a language model that follows a script."""

import json
import socket
import threading
import time

import httpx
import uvicorn

from halluc.models.language_model import Generation


class Served:
    """An application behind uvicorn in a thread, on a free port."""

    def __init__(self, app, **options):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **options))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def post(self, path, body, **options):
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(self.url + path, content=content, headers=headers, timeout=600, **options)

    def chat(self, body, **options):
        return self.post("/v1/chat/completions", body, **options)

    def put(self, path, content, **options):
        return httpx.put(self.url + path, content=content, timeout=60, **options)

    def delete(self, path, **options):
        return httpx.delete(self.url + path, timeout=60, **options)

    def get(self, path, **options):
        return httpx.get(self.url + path, timeout=60, **options)

    def stop(self):
        self._server.should_exit = True
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()


class ScriptedModel:
    """Says a text word by word; the text may be a function of the prompt. `generated` has the words that were taken."""

    name = "scripted"
    special_tokens = ()

    def __init__(self, text="one two three", *, window=10_000, pause=0.0):
        self.text, self.context_window, self.pause = text, window, pause
        self.prompts, self.options, self.generated = [], [], []

    def count_tokens(self, prompt):
        return len(prompt.split()) if isinstance(prompt, str) else sum(len(m["content"].split()) for m in prompt)

    def stream(self, prompt, **options):
        self.prompts.append(prompt)
        self.options.append(options)
        text = self.text(prompt) if callable(self.text) else self.text
        words = [word + " " for word in text.split(" ")]
        words[-1] = words[-1][:-1]
        for word in words[: options["max_new_tokens"]]:
            self.generated.append(word)
            yield word
            time.sleep(self.pause)
        yield Generation(text, tuple(range(len(words))), (-0.1,) * len(words))

    def generate(self, prompts, *, n=1, **options):
        return [[[*self.stream(prompt, **options)][-1] for _ in range(n)] for prompt in prompts]


def question(text="Who discovered penicillin?", **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def events(response):
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def content(parts, index=0):
    choices = [choice for part in parts for choice in part["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
