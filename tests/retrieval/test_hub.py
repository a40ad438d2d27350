"""An unknown name is refused within seconds, even without a network."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from halluc import load_model, load_verifier
from halluc.errors import InvalidInput, ModelUnavailable
from halluc.evaluation.rows import read_benchmark_rows
from halluc.evaluation.table import load_benchmark
from retrieval import load_embedder
from retrieval.errors import EmbedderUnavailable
from retrieval.hub import require_hub
from training.rows import read_rows


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """A hub that refuses connections, and an empty cache."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return url


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (lambda: load_embedder("no-such-embedder").dimension, EmbedderUnavailable),
        (lambda: load_model("no-such-org/no-such-model"), ModelUnavailable),
        (lambda: load_verifier("no-such-org/no-such-verifier"), ModelUnavailable),
        (lambda: read_benchmark_rows(load_benchmark("nq"), ["no-such-org/no-such-rows"]), InvalidInput),
        (lambda: read_rows("hf://no-such-org/no-such-rows"), InvalidInput),
    ],
)
def test_without_a_hub_an_unknown_name_is_refused_in_seconds(no_hub, load, error):
    import datasets  # noqa: F401  Importing is not what is timed.
    import sentence_transformers  # noqa: F401

    start = time.perf_counter()
    with pytest.raises(error, match=rf"no-such-.* not in the cache, and {no_hub} cannot be reached"):
        load()
    assert time.perf_counter() - start < 5


def test_what_is_in_a_folder_or_in_the_cache_needs_no_hub(no_hub, tmp_path):
    require_hub(tmp_path)
    (tmp_path / "models--sentence-transformers--some-model" / "snapshots").mkdir(parents=True)
    require_hub("some-model")
    require_hub("sentence-transformers/some-model")
    # A folder that only remembers that a file does not exist.
    (tmp_path / "models--some--other" / ".no_exist").mkdir(parents=True)
    with pytest.raises(OSError, match="cannot be reached"):
        require_hub("some/other")


def test_a_data_set_in_either_cache_needs_no_hub(no_hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "tables"))
    with pytest.raises(OSError, match="cannot be reached"):
        require_hub("some/rows", kind="dataset")
    (tmp_path / "tables" / "some___rows").mkdir(parents=True)
    require_hub("some/rows", kind="dataset")
    (tmp_path / "datasets--other--rows" / "snapshots").mkdir(parents=True)
    require_hub("other/rows", kind="dataset")


def test_a_hub_that_answers_is_left_to_the_loader(no_hub):
    """The loader knows best what to make of "not found"."""
    port = int(no_hub.rsplit(":", 1)[1])
    with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        require_hub("some/model")
