"""What every store does in the same way, on a folder, on a real PostgreSQL server, and on Qdrant."""

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

from retrieval import Passage, build_store, copy_store, create_store, open_store, put_documents, sync_documents
from retrieval.errors import (
    DuplicateId,
    IndexClosed,
    IndexExists,
    IndexLocked,
    IndexMismatch,
    IndexNotFound,
    InvalidPassage,
    InvalidQuery,
    UnknownId,
)
from retrieval.filters import choices_of, passes

QUESTION = "How many points did the Panthers defense surrender?"
FACTS = [
    {"year": 1928, "tags": ["a", "b"], "open": True},
    {"year": 1929.0, "tags": "a", "open": 1},
    {"year": None, "tags": [], "nested": {"x": [1, "y"]}},
    {"tags": ["b", None, {"x": 1}], "title": 'quotes " and {braces} \\ é 東京'},
    {"year": "1928", "nested": {"x": [1, "y"], "z": 0}, "tags": [["a"]]},
    {"year": 2**63, "tags": [1, True], "ratio": 0.1},
]


def unit(rows, dimension=384, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def texts(count, first=0):
    return [Passage(f"p{i}", f"the passage of number {i}", document_id=f"d{i // 2}") for i in range(first, first + count)]


def ids(hits):
    return [hit.passage.id for hit in hits]


@pytest.fixture(params=["folder", "postgresql", "qdrant"])
def kind(request):
    return request.param


@pytest.fixture
def new_location(kind, tmp_path, request):
    """Gives a location at which there is no index."""
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        return lambda: server.url(server.new_name())
    names = iter(f"{number}.index" for number in range(9))
    if kind == "qdrant":
        # The embedded mode: no package carries the server.
        return lambda: f"qdrant://{tmp_path / 'qdrant'}#{next(names).removesuffix('.index')}"
    return lambda: tmp_path / next(names)


@pytest.fixture
def location(new_location):
    return new_location()


@pytest.fixture
def store(location, embedder, xquad, xquad_vectors):
    opened, _ = build_store(location, xquad, embedder=embedder, vectors=xquad_vectors)
    with opened:
        yield opened


@pytest.fixture(scope="session")
def xquad_vectors(embedder, xquad):
    return embedder.encode([passage.text for passage in xquad])


@pytest.fixture(scope="session")
def folder_store(tmp_path_factory, embedder, xquad, xquad_vectors):
    """The same passages in a folder, whose search is exact."""
    return build_store(tmp_path_factory.mktemp("same") / "x.index", xquad, embedder=embedder, vectors=xquad_vectors)[0]


# -- building and reading


def test_an_index_is_there_for_others_when_build_returns(store, location, xquad, xquad_vectors):
    with open_store(location) as other:
        assert list(other) == xquad
        assert len(other) == len(xquad)
        assert other.info().passages == len(xquad)
        assert other.content_hash == store.content_hash
        batches = list(other.batches(7))
    assert [passage for passages, _ in batches for passage in passages] == xquad
    assert max(len(passages) for passages, _ in batches) == 7
    assert np.concatenate([vectors for _, vectors in batches]) == pytest.approx(xquad_vectors, abs=1e-6)


def test_an_index_can_be_opened_once_more(store):
    with store.reopen() as other:
        store.add([Passage("new", "a new text")], vectors=unit(1))
        other.refresh()
        assert "new" in other
    assert len(store) == 31


def test_passages_come_back_exactly_as_they_were(location, embedder):
    passages = [
        Passage(
            f"id {i}\n'\"\\é", f"text {i} 東京 \U0001f600 \t\\N", "a title", facts, "a/file.txt:3", f"doc {i % 2}", i, i + 9
        )
        for i, facts in enumerate(FACTS)
    ]
    with build_store(location, passages, embedder=embedder, vectors=unit(len(passages)))[0] as store:
        assert list(store) == passages
        assert [store.get(passage.id) for passage in passages] == passages
        assert {type(store.get(passages[1].id).metadata["year"])} == {float}
        assert [(d.id, d.passages, d.title) for d in store.documents()] == [("doc 0", 3, "a title"), ("doc 1", 3, "a title")]
        assert passages[0].id in store
        assert not any(other in store for other in ("none", "\x00", "\ud800", 3))
        with pytest.raises(UnknownId, match=r"has no passage or document 'a\\x00b'"):
            store.get("a\x00b")


def test_an_empty_index_can_be_searched(location, embedder):
    with create_store(location, embedder=embedder) as store:
        assert [store.search(QUESTION, mode=mode) for mode in ("dense", "sparse", "hybrid")] == [[], [], []]
        assert store.search_vectors(unit(2)) == [[], []]
        assert list(store) == store.documents() == list(store.batches()) == []


def test_an_index_is_not_built_over_another_one(store, location, embedder, monkeypatch):
    monkeypatch.setattr("retrieval.locations.checked_embedder", lambda _: pytest.fail("loaded"))
    builds = (create_store, lambda place: build_store(place, [Passage("a", "b")]), lambda place: copy_store(place, place))
    for make in builds:
        with pytest.raises(IndexExists, match="already exists"):
            make(location)
    assert len(store) == 30


def test_a_build_that_fails_leaves_nothing(location, embedder):
    with pytest.raises((InvalidPassage, InvalidQuery)):
        build_store(location, texts(3), embedder=embedder, vectors=unit(3, 7))
    kind_of_store = type(build_store(location, texts(3), embedder=embedder, vectors=unit(3))[0])
    with pytest.raises(IndexExists):
        kind_of_store.check_vacant(location)


def test_no_index_at_a_location_is_one_sentence(location):
    with pytest.raises(IndexNotFound, match=r"there is no index at .*; build one with 'halluc index build'"):
        open_store(location)


# -- search


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_every_store_ranks_as_the_folder_does(store, folder_store, mode):
    queries = [QUESTION, "Warsaw university", "the of and", "zzz qqq", "Panthers Panthers Warsaw 308"]
    for theirs, ours in zip(folder_store.search(queries, 8, mode), store.search(queries, 8, mode), strict=True):
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], rel=1e-4)
        if len({round(hit.score, 5) for hit in theirs}) == len(theirs):
            assert ids(ours) == ids(theirs)
        for hit in ours:
            other = next(t for t in theirs if t.score == pytest.approx(hit.score, rel=1e-4))
            assert (hit.similarity is None) == (other.similarity is None)


def test_min_similarity_and_rerankers_work_on_every_store(store, folder_store):
    options = {"k": 30, "mode": "sparse", "min_similarity": 0.2}
    assert ids(store.search(QUESTION, **options)) == ids(folder_store.search(QUESTION, **options))
    from retrieval import ScoringReranker

    shortest = ScoringReranker(lambda pairs: [-len(text) for _, text in pairs])
    hits = store.search(QUESTION, 3, "dense", rerank=shortest, rerank_depth=10)
    lengths = [len(hit.passage.text) for hit in hits]
    assert lengths == sorted(len(hit.passage.text) for hit in store.search(QUESTION, 10, "dense"))[:3]


def test_k_beyond_the_passages_gives_all_of_them(store, xquad):
    for k in (30, 31, 5000):
        hits = store.search(QUESTION, k, "dense")
        assert sorted(ids(hits)) == sorted(passage.id for passage in xquad)
        assert [hit.rank for hit in hits] == list(range(1, 31))
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert len(store.search(QUESTION, k, "hybrid")) == 30
        assert 0 < len(store.search(QUESTION, k, "sparse")) < 30
        assert len(store.search_vectors(unit(1), k)[0]) == 30


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"year": 1928},
        {"year": [1928, "1928"]},
        {"year": {1929}},
        {"year": None},
        {"missing": None},
        {"missing": "x"},
        {"tags": "a"},
        {"tags": ["a", "b"]},
        {"tags": []},
        {"tags": None},
        {"tags": {"x": 1}},
        {"tags": [["a"]]},
        {"tags": True},
        {"tags": 1},
        {"open": True},
        {"open": 1},
        {"nested": {"x": [1, "y"]}},
        {"nested": {"z": 0, "x": [1, "y"]}},
        {"title": 'quotes " and {braces} \\ é 東京'},
        {"year": 2**63, "ratio": 0.1},
        {"year": 1928, "tags": "c"},
        {"year": float("nan")},
        {"year": "\x00"},
        {"year": "\ud800"},
        {"year": object()},
        {'a key with " and \\ and %s': 1},
    ],
    ids=lambda wanted: re.sub(r" at 0x\w+", "", repr(wanted)),
)
def test_filters_are_those_of_metadata_in_python(filtered, wanted):
    expected = [f"p{i}" for i, facts in enumerate(FACTS) if passes(facts, choices_of(wanted))]
    assert sorted(ids(filtered.search_vectors(unit(1, seed=3), 9, filter=wanted)[0])) == expected
    assert sorted(ids(filtered.search("the passage", 9, "sparse", filter=wanted))) == expected


@pytest.fixture
def filtered(kind, request, tmp_path_factory, embedder, _filtered={}):  # noqa: B006  # one index of each kind
    if kind not in _filtered:
        folder = tmp_path_factory.mktemp("filtered")
        server = request.getfixturevalue("postgres") if kind == "postgresql" else None
        place = (
            server.url(server.new_name()) if server else {"folder": folder / "x", "qdrant": f"qdrant://{folder}/x#x"}[kind]
        )
        passages = [Passage(f"p{i}", f"the passage of number {i}", None, facts) for i, facts in enumerate(FACTS)]
        _filtered[kind] = build_store(place, passages, embedder=embedder, vectors=unit(len(FACTS)))[0]
    return _filtered[kind]


def test_a_predicate_filters_every_mode(store):
    for mode in ("dense", "sparse", "hybrid"):
        hits = store.search(QUESTION, 5, mode, filter=lambda passage: passage.title == "Warsaw")
        assert hits
        assert {hit.passage.title for hit in hits} == {"Warsaw"}


def test_a_filter_that_few_of_many_passages_pass_still_finds_k(location, embedder, kind):
    """A graph that is searched first and filtered afterwards finds none of them."""
    # Qdrant's embedded mode has no graph, and writes slowly.
    count = 300 if kind == "qdrant" else 3000
    passages = [Passage(f"p{i}", f"number {i}", None, {"rare": i % (count // 6) == 7, "half": i % 2}) for i in range(count)]
    vectors = unit(count)
    with build_store(location, passages, embedder=embedder, vectors=vectors)[0] as store:
        query = unit(1, seed=9)
        for wanted, hit_count in (({"rare": True}, 6), ({"half": 1}, 10)):
            (hits,) = store.search_vectors(query, 10, filter=wanted)
            rows = [i for i, p in enumerate(passages) if passes(p.metadata, choices_of(wanted))]
            best = sorted(rows, key=lambda i: -float(query[0] @ vectors[i]))[:10]
            assert len(hits) == hit_count
            assert len({f"p{i}" for i in best} & set(ids(hits))) >= 0.9 * hit_count


# -- changes


def test_add_replaces_by_id_and_leaves_out_known_texts(store, xquad):
    new = [
        xquad[0],
        Passage(xquad[1].id, "another text"),
        Passage("new", "a new text"),
        Passage("copy", xquad[2].text),
        Passage("same", "a new text"),
    ]
    before = store.content_hash
    report = store.add(new)
    assert (report.added, report.replaced, report.unchanged) == (2, 1, 1)
    assert report.duplicates == (("copy", xquad[2].id), ("same", "new"))
    assert store.get(xquad[1].id).text == "another text"
    assert len(store) == 31
    assert store.content_hash != before
    assert ids(store.search("a new text", 1, "dense")) == ["new"]
    assert ids(store.search("another", 1, "sparse")) == [xquad[1].id]
    assert store.add([Passage("copy", xquad[2].text)], duplicates="keep").added == 1
    after = store.content_hash
    assert store.add([Passage("copy", xquad[2].text)]).unchanged == 1
    assert store.content_hash == after


def test_update_replaces_documents_whole_and_embeds_no_text_twice(location, embedder):
    with build_store(location, texts(6), embedder=embedder, vectors=unit(6))[0] as store:
        passages = [Passage("p0", "the passage of number 0", document_id="d0"), Passage("x", "new text", document_id="d9")]
        with pytest.raises(UnknownId, match="has no document 'd9'"):
            store.update(passages)
        assert sorted(p.id for p in store) == ["p0", "p1", "p2", "p3", "p4", "p5"]
        report = store.update(passages, delete=["d1", "p5"], on_missing="add")
        assert (report.new, report.changed, report.deleted) == (("d9",), ("d0", "d2"), ("d1",))
        assert (report.added, report.removed) == (1, 4)
        assert sorted(p.id for p in store) == ["p0", "p4", "x"]
        moved = Passage("renamed", "the passage of number 4", document_id="d2")
        store._embedder = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("retrieval.origin.load_embedder", lambda _: pytest.fail("embedded again"))
            assert store.update([moved]).changed == ("d2",)
        (hits,) = store.search_vectors(unit(6)[4:5], 1)
        assert (ids(hits), hits[0].score) == (["renamed"], pytest.approx(1))


def test_delete_removes_passages_and_documents_or_nothing(location, embedder):
    with build_store(location, texts(6), embedder=embedder, vectors=unit(6))[0] as store:
        with pytest.raises(UnknownId, match="has no passage or document 'p9'"):
            store.delete(["p0", "p9"])
        assert len(store) == 6
        store.delete(["p0", "d1"])
        assert sorted(p.id for p in store) == ["p1", "p4", "p5"]
        assert [(d.id, d.passages) for d in store.documents()] == [("d0", 1), ("d2", 2)]
        assert sorted(ids(store.search("passage", 9, "sparse"))) == ["p1", "p4", "p5"]
        store.delete(["p1", "p4", "p5"])
        assert len(store) == 0
        assert store.search_vectors(unit(1)) == [[]]
        store.add(texts(2), vectors=unit(2))
        assert [p.id for p in store] == ["p0", "p1"]


@pytest.mark.parametrize(
    ("passages", "error"),
    [
        ([Passage("a", "b"), Passage("a", "c")], DuplicateId),
        ([Passage("a", "b"), Passage("c", "d", None, {"x": float("nan")})], InvalidPassage),
    ],
)
def test_a_change_that_cannot_be_stored_changes_nothing(store, passages, error):
    with pytest.raises(error):
        store.add(passages)
    with pytest.raises(InvalidQuery, match="vectors have shape"):
        store.add([Passage("a", "b")], vectors=unit(1, 7))
    with pytest.raises(InvalidQuery, match=r"vectors have shape \(1, 7\); this index needs \(texts, 384\)"):
        store.search_vectors(unit(1, 7))
    assert store.info().generation == 1


def test_a_store_follows_its_files(location, embedder, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Whales breathe air.")
    (folder / "b.txt").write_text("Bees make honey.")
    with create_store(location, embedder=embedder) as store:
        assert len(sync_documents(store, folder).update.new) == 2
        (folder / "a.txt").write_text("Whales sing.")
        (folder / "b.txt").unlink()
        update = sync_documents(store, folder).update
        assert (len(update.changed), len(update.deleted)) == (1, 1)
        assert [passage.text for passage in store] == ["Whales sing."]
        assert put_documents(store, folder).update.unchanged == 1


# -- several processes


def test_several_writers_lose_nothing(location, embedder):
    """A folder has one writer at a time and refuses the others, who try again; on a server they wait for each other."""
    create_store(location, embedder=embedder).close()
    errors = []

    def write(number):
        try:
            with open_store(location, embedder=embedder) as mine:
                for i in range(4):
                    names = [f"{number}-{i}-{j}" for j in range(3)]
                    passages = [Passage(name, name) for name in [*names, f"shared-{i}"]]
                    while True:
                        try:
                            mine.add(passages, vectors=unit(4, seed=number))
                            break
                        except IndexLocked:
                            time.sleep(0.01)
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    with open_store(location) as store:
        expected = {f"{n}-{i}-{j}" for n in range(4) for i in range(4) for j in range(3)} | {f"shared-{i}" for i in range(4)}
        assert sorted(passage.id for passage in store) == sorted(expected)
        assert len(store) == len(expected)


WRITER = """
import sys, numpy as np
from retrieval import Passage, open_store
store = open_store(sys.argv[1])
rng = np.random.default_rng()
for i in range(10_000):
    vectors = rng.standard_normal((3, 384)).astype("float32")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{sys.argv[2]}-{i}-{j}" for j in range(3)]
    store.add([Passage(name, name) for name in names], vectors=vectors)
    print(*names, flush=True)
"""


def test_a_killed_client_loses_nothing_acknowledged_and_leaves_nothing_half_added(location, embedder):
    create_store(location, embedder=embedder).close()
    added, pauses = set(), random.Random(0)
    for number in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(location), str(number)], stdout=subprocess.PIPE, text=True
        )
        first = writer.stdout.readline()
        time.sleep(pauses.uniform(0, 0.4))
        writer.kill()
        for line in [first, *writer.stdout]:
            if line.endswith("\n"):
                added.update(line.split())
        writer.wait()
        with open_store(location) as store:
            present = {passage.id for passage in store}
            assert added <= present
            assert len(store) == len(present)
            sizes = Counter(name.rpartition("-")[0] for name in present)
            assert set(sizes.values()) <= {3}
            # The next writer is not locked out by the dead one.
            store.add([Passage(f"after-{number}-0", f"after {number}")], vectors=unit(1))
            store.delete([f"after-{number}-0"])
    assert len(added) > 3


# -- the life of an object


def test_a_closed_store_refuses_every_use(store):
    store.close()
    store.close()
    for use in (len, list, lambda s: s.search(QUESTION), lambda s: s.add([Passage("a", "b")]), lambda s: s.refresh()):
        with pytest.raises(IndexClosed, match="is closed; open it again with"):
            use(store)


def test_another_embedder_is_refused(store, location):
    class Narrow:
        name, fingerprint, dimension = "narrow", "x", 7

        def encode(self, texts):
            return unit(len(texts), 7)

    with pytest.raises(IndexMismatch, match=r"was built with .* \(384 dims\), not narrow \(7 dims\)"):
        open_store(location, embedder=Narrow())
    assert open_store(location).info().dimension == 384


def test_an_index_moves_between_stores_with_its_vectors(store, location, new_location, tmp_path, xquad, monkeypatch):
    monkeypatch.setattr("retrieval.origin.load_embedder", lambda _: pytest.fail("embedded again"))
    there, back = new_location(), tmp_path / "back.index"
    assert copy_store(location, there) == 30
    assert copy_store(there, back) == 30
    with open_store(back) as copy:
        assert list(copy) == xquad
        assert copy.info().fingerprint == store.info().fingerprint
        for ours, theirs in zip(copy.batches(), store.batches(), strict=True):
            assert ours[1] == pytest.approx(theirs[1], abs=1e-6)


@pytest.mark.parametrize("name", ["postgersql://x/y", "mysql://x", "Postgres+x://y", "s3://bucket/x"])
def test_an_unknown_scheme_names_the_nearest_one(name):
    with pytest.raises(InvalidQuery, match=r"no index can be at .*://; did you mean (postgres|postgresql|qdrants?)://\?"):
        open_store(name)


def test_the_command_line_takes_any_store(halluc, location, new_location, tmp_path, kind):
    (tmp_path / "a.txt").write_text("Whales breathe air. Bees make honey.")
    place, copy = str(location), str(new_location())
    code, out, err = halluc("index", "build", tmp_path / "a.txt", "--out", place, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["passages"] == 1
    code, out, err = halluc("index", "copy", place, copy, "--json")
    assert (code, json.loads(out)["passages"]) == (0, 1)
    code, out, _ = halluc("index", "search", "honey", "--index", copy, "--mode", "sparse", "--json")
    assert (code, json.loads(out)[0]["passage"]["text"]) == (0, "Whales breathe air. Bees make honey.")
    code, out, _ = halluc("index", "info", copy, "--json")
    assert (code, json.loads(out)["store"]) == (0, kind)
    assert "s3cret" not in out
    code, _, err = halluc("index", "copy", place, copy)
    assert code == 2
    assert "already exists" in err
    assert "s3cret" not in err
