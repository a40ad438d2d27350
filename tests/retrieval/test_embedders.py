import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from retrieval import Embedder, Passage, PassageIndex, load_embedder
from retrieval.errors import EmbedderUnavailable, InvalidQuery


class Embeddings(BaseHTTPRequestHandler):
    """Counts letters: enough for texts of the same letters to be near, over real HTTP."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [[1.0 + text.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in body["input"]]
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
        # Out of order, which the protocol allows.
        reply = json.dumps({"object": "list", "model": body["model"], "data": data[::-1], "usage": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Embeddings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#letters"
    server.shutdown()
    server.server_close()


def test_the_default_embedder_gives_unit_vectors_that_tell_meanings_apart(embedder):
    assert isinstance(embedder, Embedder)
    vectors = embedder.encode(["Who found penicillin?", "Fleming discovered an antibiotic.", "The stock market fell."])
    assert vectors.shape == (3, embedder.dimension) == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_an_index_can_be_built_with_an_endpoint(endpoint, tmp_path):
    index = PassageIndex.create(tmp_path / "x", embedder=endpoint)
    index.add([Passage("z", "zzzz zz"), Passage("q", "qqqq qq")])
    opened = PassageIndex.open(tmp_path / "x", embedder=endpoint)
    assert opened.info().dimension == 26
    assert opened.search("zz", k=1, mode="dense")[0].passage.id == "z"


@pytest.mark.parametrize("name", [None, "http://127.0.0.1:9/v1#m"])
@pytest.mark.parametrize("method", ["encode", "token_offsets"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("Hi", "texts is one string, 'Hi'; pass a list"),
        (None, "texts is None"),
        (["fine", 3], r"texts\[1\] is 3, not a text"),
        (["half \ud83d"], r"texts\[0\] has a lone surrogate"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(name, method, texts, message):
    """The letters of a text were taken for texts."""
    with pytest.raises(InvalidQuery, match=message):
        getattr(load_embedder(name), method)(texts)


def test_no_texts_give_no_vectors(embedder):
    assert embedder.encode([]).shape == (0, 384)
    assert embedder.token_offsets([]) == []


def test_embedders_that_are_unavailable_say_what_to_do(tmp_path, monkeypatch):
    # The environment variable is read at import only.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EmbedderUnavailable, match="no-such-org/none cannot be loaded"):
        load_embedder("no-such-org/none").encode(["x"])
    with pytest.raises(InvalidQuery, match="the name of the embedder is empty"):
        load_embedder("")
    with pytest.raises(EmbedderUnavailable, match="has a user name or password, which would be saved") as error:
        load_embedder("http://u:s3cret@127.0.0.1/v1#m")
    assert "s3cret" not in str(error.value)
    with pytest.raises(EmbedderUnavailable, match="names no model"):
        load_embedder("http://127.0.0.1:9/v1")
    with pytest.raises(EmbedderUnavailable, match="check that the server runs"):
        load_embedder("http://127.0.0.1:9/v1#m").encode(["x"])
