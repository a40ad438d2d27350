"""What only Qdrant can do wrong: no transactions, locks that expire, a folder that serves one process."""

import subprocess
import sys
import time

import numpy as np
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException

from retrieval import Passage, build_store, create_store, open_store
from retrieval.errors import (
    IndexExists,
    IndexLocked,
    IndexNotFound,
    IndexReplaced,
    IndexVersion,
    IndexWriteFailed,
    InvalidQuery,
    StoreUnavailable,
)
from retrieval.qdrant import facts
from retrieval.qdrant.address import parse_address
from retrieval.qdrant.connection import Connection


def unit(rows, dimension=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Fixed:
    """An embedder whose vectors depend on the length of the text alone."""

    name, fingerprint, dimension, max_tokens = "fixed", "f", 8, 100

    def encode(self, texts):
        return np.concatenate([unit(1, seed=len(text)) for text in texts])


PASSAGES = [Passage(f"p{i}", f"the passage of number {i}") for i in range(5)]
IDS = sorted(passage.id for passage in PASSAGES)


@pytest.fixture
def url(tmp_path):
    return f"qdrant://{tmp_path}/q#docs"


@pytest.fixture
def store(url):
    with build_store(url, PASSAGES, embedder=Fixed())[0] as opened:
        yield opened


def lose(monkeypatch, condition):
    """Lose the connection at, and after, the first call that meets a condition."""
    call, lost = Connection.call, []

    def or_lose(connection, method, *arguments, **options):
        if lost or condition(method, arguments, options):
            lost.append(method)
            raise ResponseHandlingException(ConnectionError("Connection reset by peer"))
        return call(connection, method, *arguments, **options)

    monkeypatch.setattr(Connection, "call", or_lose)
    return lost


def test_a_connection_that_is_lost_in_the_middle_of_an_add_leaves_nothing_of_it(store, url, monkeypatch):
    """The points that were sent already are never found, and the next writer removes them."""
    uploads = []

    def second_upload(method, arguments, options):
        if method == "upsert" and arguments[0] == "docs":
            uploads.append(len(options["points"]))
        return len(uploads) == 2

    passages = [Passage(f"n{i}", f"new number {i}") for i in range(600)]
    lose(monkeypatch, second_upload)
    with pytest.raises(IndexWriteFailed, match=r"Connection reset by peer\); nothing of the change counts; make it again"):
        store.add(passages, vectors=unit(600))
    monkeypatch.undo()
    with open_store(url) as other:
        assert sorted(p.id for p in other) == IDS
        assert len(other) == len(other.search_vectors(unit(1), 50)[0]) == 5
        assert len(other.search("number", 50, "sparse")) == 5
        assert other.documents() == store.documents()
        assert "n0" not in other
    # The lock of the lost connection expires.
    monkeypatch.setattr(facts.time, "time", lambda now=time.time: now() + 61)
    assert store.add(passages[:3], vectors=unit(3)).added == 3
    assert store._connection.call("count", "docs").count == len(store) == 8


@pytest.mark.parametrize("step", ["delete", "delete_payload", "set_payload"])
def test_a_commit_that_is_recorded_is_finished_by_whoever_comes_next(store, url, monkeypatch, step):
    recorded = []

    def after_the_record(method, arguments, options):
        if method == "set_payload" and "commit" in options["payload"] and options["payload"]["commit"]:
            recorded.append(method)
            return False
        return bool(recorded) and method == step

    lose(monkeypatch, after_the_record)
    with pytest.raises(
        IndexWriteFailed, match="either all of the change counts or nothing; make it again, which does no harm"
    ):
        store.add([Passage("p0", "another text"), Passage("new", "a new text")])
    monkeypatch.undo()
    monkeypatch.setattr(facts.time, "time", lambda now=time.time: now() + 61)
    with open_store(url, embedder=Fixed()) as other:
        assert sorted(p.id for p in other) == ["new", *IDS]
        assert other.get("p0").text == "another text"
        assert len(other) == 6
        assert other.add([Passage("new", "a new text")]).unchanged == 1
        assert other._connection.call("count", "docs").count == 6


def test_a_writer_whose_lock_was_taken_changes_nothing(store, monkeypatch):
    with store._writing() as contents:
        monkeypatch.setattr(facts.time, "time", lambda now=time.time: now() + 61)
        other = facts.Lock(store._connection)
        other.acquire()
        with pytest.raises(IndexLocked, match="lost the lock"):
            store._commit(contents, [Passage("late", "too late")], unit(1), [])
        other.release()
    assert sorted(p.id for p in store) == IDS
    store.add([Passage("new", "a new text")])
    assert store._connection.call("count", "docs").count == 6


def test_a_build_that_fails_leaves_no_collection(url, monkeypatch, store):
    place = url.replace("#docs", "#other")
    with pytest.raises(ValueError, match=r"shorter|longer"):
        type(store).fill(place, store._origin, [(PASSAGES, unit(4))])
    assert not store._connection.call("collection_exists", "other")
    assert not store._connection.call("collection_exists", "other.facts")
    create_store(place, embedder=Fixed()).close()


def test_what_a_killed_build_left_is_built_over_when_its_lease_is_over(url, monkeypatch, store):
    place = url.replace("#docs", "#other")
    connection = store._connection
    connection.call("create_collection", "other.facts", vectors_config={})
    other = Connection(parse_address(place))
    facts.write_payload(other, {"building": facts.lease()})
    with pytest.raises(IndexLocked, match="another process builds"):
        create_store(place, embedder=Fixed())
    with pytest.raises(IndexNotFound):
        open_store(place)
    monkeypatch.setattr(facts.time, "time", lambda now=time.time: now() + 61)
    create_store(place, embedder=Fixed()).close()
    other.close()


def test_a_server_that_cannot_be_reached_is_one_sentence_without_the_key(monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    for use in (open_store, lambda place: create_store(place, embedder=Fixed())):
        with pytest.raises(StoreUnavailable, match=r"qdrant://127\.0\.0\.1:1#docs cannot be reached or refuses") as error:
            use("qdrant://127.0.0.1:1#docs")
        assert "s3cret" not in str(error.value)
        assert "\n" not in str(error.value)


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    with pytest.MonkeyPatch.context() as patch:
        options = {}
        patch.setattr("qdrant_client.QdrantClient", lambda **given: options.update(given))
        Connection(parse_address("qdrants://example.org#docs"))
    assert (options["url"], options["api_key"]) == ("https://example.org:6333", "s3cret")


def test_urls_are_shown_with_their_defaults():
    assert str(parse_address("qdrants://example.org#docs")) == "qdrants://example.org:6333#docs"
    assert str(parse_address("qdrant://[::1]:7000")) == "qdrant://[::1]:7000#halluc"
    assert str(parse_address("qdrant:///a%20b/c#x").folder) == "/a b/c"


@pytest.mark.parametrize(
    "bad",
    [
        "qdrant://u:s3cret@host:port#x",
        "qdrant://host/path#x",
        "qdrant://:s3cret#1@host",
        "qdrant://",
        "qdrant://host#a b",
        "qdrants://:s3cret@host#x",
        "qdrant://s3cret@host",
        "qdrant://s3cret:@host",
    ],
)
def test_a_url_with_a_key_is_refused_without_it(bad):
    with pytest.raises(InvalidQuery) as error:
        open_store(bad)
    assert "s3cret" not in str(error.value)


def test_a_folder_serves_one_process_and_says_so(store, url):
    code = f"from retrieval import open_store; open_store({url!r})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "IndexLocked: another process uses qdrant://" in printed
    assert "a server serves many" in printed


def test_collections_of_another_version_or_program_are_refused(store, url):
    connection = store._connection
    for version, remedy in ((0, "build the index again"), (99, "upgrade halluc")):
        connection.call("set_payload", "docs.facts", payload={"format_version": version}, points=[1])
        with pytest.raises(IndexVersion, match=f"has format {version}, but this halluc reads format 1; {remedy}"):
            open_store(url)
    connection.call("create_collection", "theirs", vectors_config={})
    with pytest.raises(IndexExists, match="already exists; open it, or choose another name after the #"):
        create_store(url.replace("#docs", "#theirs"), embedder=Fixed())
    with pytest.raises(IndexNotFound):
        open_store(url.replace("#docs", "#theirs"))


def test_an_index_that_is_removed_or_replaced_is_noticed(store, url):
    for name in ("docs", "docs.facts"):
        store._connection.call("delete_collection", name)
    with pytest.raises(IndexNotFound, match="there is no index at qdrant://"):
        store.search("number")
    create_store(url, embedder=Fixed()).close()
    for use in (len, lambda s: s.add([Passage("a", "b")]), lambda s: s.refresh()):
        with pytest.raises(IndexReplaced, match="was removed and another one created there"):
            use(store)
