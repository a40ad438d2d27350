"""What a search takes and refuses, each with one sentence."""

import numpy as np
import pytest

from retrieval import Passage, PassageIndex, evaluate_retrieval
from retrieval.errors import InvalidPassage, InvalidQuery, UnknownId

QUESTION = "Who led the Panthers in sacks?"
PASSAGE = Passage("a", "b")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "queries is None; pass a list of strings"),
        (7, "queries is 7"),
        (b"bread", "queries is one string"),
        ([None], r"queries\[0\] is None, not a text"),
        (["fine", 3], r"queries\[1\] is 3, not a text"),
        ("\ud800 bread", r"the query has a lone surrogate, '\\ud800', at character 1"),
        (["fine", "bread \ud83d"], r"queries\[1\] has a lone surrogate, '\\ud83d', at character 7"),
    ],
)
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_a_query_that_is_no_text_is_refused(index, query, message, mode):
    with pytest.raises(InvalidQuery, match=message):
        index.search(query, mode=mode)


@pytest.mark.parametrize("k", [2.0, None, "3", True, -1, float("nan")])
def test_k_must_be_a_whole_number(index, k):
    with pytest.raises(InvalidQuery, match=rf"k is {k!r}; pass a whole number"):
        index.search(QUESTION, k=k)
    with pytest.raises(InvalidQuery, match=rf"k is {k!r}; pass a whole number"):
        index.search_vectors(np.eye(1, 384, dtype=np.float32), k=k)


def test_whole_numbers_of_numpy_are_taken(index):
    assert len(index.search(QUESTION, k=np.int64(2))) == 2


@pytest.mark.parametrize("vectors", [None, "text", 3, [1.0] * 384, [["a"] * 384]])
def test_vectors_that_are_none_are_refused(index, vectors):
    with pytest.raises(InvalidQuery, match="vectors"):
        index.search_vectors(vectors)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory, embedder):
    metadata = [
        {"tags": ["a", "b"], "year": 1928, "checked": True, "rating": 1},
        {"tags": ["b"], "year": 1928.0, "checked": False, "rating": 2},
        {"tags": "a", "checked": 1, "author": {"name": "Fleming"}},
        {"tags": [], "author": None},
    ]
    passages = [Passage(str(i), f"passage number {i}", metadata=m) for i, m in enumerate(metadata)]
    index = PassageIndex.create(tmp_path_factory.mktemp("tagged") / "x", embedder=embedder)
    index.add(passages, vectors=np.eye(4, 384, dtype=np.float32))
    return index


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"tags": "a"}, "02"),
        ({"tags": {"a"}}, "02"),
        ({"tags": ["a", "b"]}, "012"),
        ({"tags": frozenset({"c"})}, ""),
        ({"tags": ("b",)}, "01"),
        ({"tags": []}, ""),
        ({"year": 1928}, "01"),
        ({"year": range(1900, 1930)}, "01"),
        ({"year": np.array([1928])}, "01"),
        ({"checked": True}, "0"),
        ({"checked": 1}, "2"),
        ({"rating": 1, "tags": "a"}, "0"),
        ({"author": {"name": "Fleming"}}, "2"),
        ({"author": None}, "013"),
        ({}, "0123"),
        (lambda passage: passage.metadata.get("rating") == 2, "1"),
    ],
)
@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_filters_match_values_elements_of_lists_and_any_collection_of_choices(tagged, wanted, ids, mode):
    """A set gave a TypeError, and a text did not match a list that has it."""
    hits = tagged.search("passage number", k=9, mode=mode, filter=wanted)
    assert sorted(hit.passage.id for hit in hits) == sorted(ids)


@pytest.mark.parametrize("wanted", ["tags", ["tags"], 3, {1: 2}])
def test_a_filter_of_another_type_is_refused(index, wanted):
    with pytest.raises(InvalidQuery, match=r"filter is .*pass a mapping"):
        index.search(QUESTION, filter=wanted)


def test_ids_that_no_passage_can_have_are_unknown(index):
    for unknown in ("\ud800", 3, None):
        assert unknown not in index
        with pytest.raises(UnknownId):
            index.get(unknown)
    for ids, message in (
        ("abc", "ids is one string"),
        (None, "ids is None"),
        ([3], r"ids\[0\] is 3"),
        (["\ud800"], "surrogate"),
    ):
        with pytest.raises(InvalidQuery, match=message):
            index.delete(ids)


@pytest.mark.parametrize(
    ("passages", "message"),
    [
        ("just a text", "passages is a str; pass a list"),
        (Passage("a", "b"), "passages is a Passage; pass a list"),
        (None, "passages is a NoneType"),
        ([Passage("a", None)], "its text is None, not a text"),
        ([Passage(3, "b")], "its id is 3, not a text"),
        ([Passage("a", "b", title=3)], "its title is 3"),
        ([Passage("a", "b", start=1.5)], "its start is 1.5, not a whole number"),
        ([Passage("a", "b", end=2**63)], "its end is 9223372036854775808, not a position in a text"),
        ([Passage("a", "b", start=-1)], "its start is -1, not a position in a text"),
        ([Passage("a", "b", metadata=None)], "its metadata is a NoneType"),
        ([Passage("a", "b", metadata={1: 2})], "a key of its metadata is not a text"),
        ([Passage("a", "b", metadata={"x": float("nan")})], "its metadata is not JSON"),
        ([Passage("a", "b", metadata={"x": "\ud83d"})], "its metadata has a lone surrogate"),
        ([Passage("a", "b", metadata={"\ud83d": "x"})], "its metadata has a lone surrogate"),
    ],
)
def test_what_is_no_list_of_passages_is_refused_before_anything_is_written(index, passages, message):
    """A lone surrogate in the metadata gave a raw error, NaN was stored and printed as invalid JSON."""
    for change in (index.add, index.update):
        with pytest.raises(InvalidPassage, match=message):
            change(passages)
    assert index.info().generation == 1


@pytest.mark.parametrize(
    "make", [PassageIndex.create, PassageIndex.open, lambda path, **options: PassageIndex.build(path, [PASSAGE], **options)]
)
def test_a_path_or_embedder_of_another_type_is_refused(index, tmp_path, make):
    for path in (None, 3, "", b"x.index"):
        with pytest.raises(InvalidQuery, match=r"path is .*; name the folder of an index"):
            make(path)
    path = index.path if make == PassageIndex.open else tmp_path / "new"
    with pytest.raises(InvalidQuery, match="embedder is 3; pass an Embedder"):
        make(path, embedder=3)


def test_an_unknown_way_to_treat_duplicates_is_refused(index, tmp_path):
    with pytest.raises(InvalidQuery, match="duplicates is 'drop'; pass 'skip' or 'keep'"):
        index.add([Passage("a", "b")], duplicates="drop")
    with pytest.raises(InvalidQuery, match="duplicates is 'drop'"):
        PassageIndex.build(tmp_path / "y", [Passage("a", "b")], duplicates="drop")


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_min_similarity_holds_in_every_mode(index, mode):
    """Sparse search answered whatever the similarity was."""
    all_hits = index.search("Panthers in Warsaw", k=30, mode=mode, min_similarity=-1)
    assert all(-1 <= hit.similarity <= 1 for hit in all_hits)
    near = index.search("Panthers in Warsaw", k=30, mode=mode, min_similarity=0.3)
    assert [hit.passage.id for hit in near] == [hit.passage.id for hit in all_hits if hit.similarity >= 0.3]
    assert 0 < len(near) < len(all_hits)
    assert [hit.rank for hit in near] == list(range(1, len(near) + 1))
    assert index.search("Panthers in Warsaw", mode=mode, min_similarity=1.0) == []
    with pytest.raises(InvalidQuery, match="min_similarity is 30"):
        index.search("x", mode=mode, min_similarity=30)


def test_a_sparse_search_needs_no_embedder(index, monkeypatch):
    opened = PassageIndex.open(index.path)
    monkeypatch.setattr("retrieval.origin.load_embedder", None)
    assert opened.search(QUESTION, mode="sparse")[0].similarity is None


def test_a_hit_that_only_its_words_found_has_its_true_similarity(tmp_path, embedder):
    """More passages than the depth of the fusion, so that BM25 alone finds the one with the rare word."""
    query = "Where does the zebra graze?"
    (near,) = embedder.encode([query])
    rng = np.random.default_rng(0)
    vectors = near + 0.02 * rng.standard_normal((200, 384)).astype(np.float32)
    vectors[150] = -near
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    passages = [Passage(str(i), "the zebra" if i == 150 else f"passage number {i}") for i in range(200)]
    index = PassageIndex.create(tmp_path / "x", embedder=embedder)
    index.add(passages[:120], vectors=vectors[:120])
    index.add(passages[120:], vectors=vectors[120:])
    hits = {hit.passage.id: hit.similarity for hit in index.search(query, k=5)}
    assert hits["150"] == pytest.approx(-1, abs=1e-4)
    assert all(value > 0.8 for passage_id, value in hits.items() if passage_id != "150")
    assert "150" not in {hit.passage.id for hit in index.search(query, k=5, min_similarity=0.0)}
    assert "150" not in {hit.passage.id for hit in index.search(query, k=60, mode="dense")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"questions": "abc", "gold": "abc"}, "questions is one string"),
        ({"gold": "a"}, "gold is one string"),
        ({"gold": ["a", "b"]}, "1 questions and 2 gold ids"),
        ({"questions": [], "gold": []}, "there are no questions"),
        ({"ks": ()}, "ks is"),
        ({"ks": (0, 5)}, "ks is"),
        ({"modes": "dense"}, "modes is one string"),
        ({"modes": ["dnse"]}, "mode is 'dnse'"),
    ],
)
def test_arguments_of_the_evaluation_are_checked(index, arguments, message):
    """A text taken for a list."""
    with pytest.raises(InvalidQuery, match=message):
        evaluate_retrieval(index, **{"questions": ["x"], "gold": ["a"], **arguments})
