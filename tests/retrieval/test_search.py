"""The searches below the index: FAISS, BM25 and their fusion."""

import numpy as np
import pytest

from retrieval.ranking import reciprocal_rank_fusion
from retrieval.sparse import open_sparse, search_sparse
from retrieval.vectors import build_vectors, choose_kind, open_vectors, search_vectors

TEXTS = ["the cat sat", "a dog ran", "cats and a dog", "nothing else"]


def unit(rows, dimension=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_kind_follows_the_size_unless_it_is_given():
    assert [choose_kind(n) for n in (1, 200_000, 200_001, 2_000_000, 2_000_001)] == ["flat", "flat", "hnsw", "hnsw", "ivf"]
    assert choose_kind(1, "ivf") == "ivf"


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_a_filter_of_any_share_still_gives_k_of_the_nearest_rows(tmp_path, kind, share):
    vectors, queries = unit(3000), unit(20, seed=1)
    with (tmp_path / "v").open("wb") as file:
        build_vectors(vectors, file.write, kind)
    allowed = np.random.default_rng(2).random(3000) < share
    similarity, rows = search_vectors(open_vectors(tmp_path / "v"), queries, 10, allowed)
    assert (rows >= 0).all()
    assert allowed[rows].all()
    exact = np.where(allowed, queries @ vectors.T, -1)
    best = np.argsort(-exact, 1)[:, :10]
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), best.tolist(), strict=True)])
    assert overlap >= (0.5 if kind == "ivf" and share > 0.125 else 0.99)
    assert similarity == pytest.approx(np.take_along_axis(exact, rows, 1), abs=1e-5)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_k_of_all_rows_gives_all_rows_whatever_the_kind(tmp_path, kind):
    with (tmp_path / "v").open("wb") as file:
        build_vectors(unit(500), file.write, kind)
    _, rows = search_vectors(open_vectors(tmp_path / "v"), unit(2, seed=1), 500, None)
    assert [sorted(query_rows) for query_rows in rows.tolist()] == [list(range(500))] * 2


def test_fused_scores_are_the_papers_formula():
    assert reciprocal_rank_fusion([[7, 8], [8, 9]]) == [
        (8, pytest.approx(1 / 62 + 1 / 61)),
        (7, pytest.approx(1 / 61)),
        (9, pytest.approx(1 / 62)),
    ]


def test_bm25_finds_only_what_shares_a_word_and_is_allowed(tmp_path):
    retriever = open_sparse(tmp_path / "sparse" / "1", "an-id", len(TEXTS), lambda: TEXTS)
    (dog, none) = search_sparse(retriever, ["Dog?", "zebra"], 4, None)
    assert sorted(row for row, _ in dog) == [1, 2]
    assert none == []
    ((only,),) = search_sparse(retriever, ["dog"], 4, np.array([True, False, True, True]))
    assert only[0] == 2


def test_bm25_is_read_again_from_where_it_was_saved(tmp_path):
    first = open_sparse(tmp_path / "sparse" / "1", "an-id", len(TEXTS), lambda: TEXTS)
    second = open_sparse(tmp_path / "sparse" / "1", "an-id", len(TEXTS), lambda: pytest.fail("built again"))
    assert search_sparse(second, ["dog"], 4, None) == search_sparse(first, ["dog"], 4, None)


def test_bm25_of_texts_without_words_finds_nothing(tmp_path):
    assert search_sparse(open_sparse(tmp_path / "s" / "1", "an-id", 2, lambda: ["the of a", "- ."]), ["x"], 2, None) == [[]]
