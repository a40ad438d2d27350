"""Rerankers: the interface, a cross-encoder from a folder, and any function of pairs."""

import json

import pytest

from retrieval import CrossEncoderReranker, ScoringReranker, evaluate_retrieval
from retrieval.errors import InvalidQuery, RerankerUnavailable

QUESTION = "Who led the Panthers in sacks?"


def shared_words(pairs):
    """The number of words that query and text share, negative: the least similar comes first."""
    return [-len(set(query.lower().split()) & set(text.lower().split())) for query, text in pairs]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A cross-encoder with random weights on the base of the embedder."""
    from sentence_transformers import CrossEncoder

    from retrieval.encoders import encoder_folder

    folder = tmp_path_factory.mktemp("reranker")
    CrossEncoder(str(encoder_folder()), num_labels=1).save_pretrained(str(folder))
    return str(folder)


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_the_first_hits_are_put_in_the_order_of_the_scores(index, mode):
    plain = index.search(QUESTION, k=6, mode=mode)
    hits = index.search(QUESTION, k=4, mode=mode, rerank=ScoringReranker(shared_words), rerank_depth=6)
    scores = shared_words([(QUESTION, hit.passage.text) for hit in plain])
    order = sorted(range(len(plain)), key=lambda i: (-scores[i], i))[:4]
    assert [hit.passage.id for hit in hits] == [plain[i].passage.id for i in order]
    assert [hit.score for hit in hits] == [scores[i] for i in order]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert [hit.similarity for hit in hits] == [plain[i].similarity for i in order]


def test_all_queries_of_a_batch_are_scored_in_one_call(index):
    calls = []

    def score(pairs):
        calls.append(len(pairs))
        return shared_words(pairs)

    both = index.search([QUESTION, "Who sang?"], k=2, rerank=ScoringReranker(score), rerank_depth=5)
    assert calls == [10]
    assert [len(hits) for hits in both] == [2, 2]
    assert index.search("xylophone", mode="sparse", rerank=ScoringReranker(score)) == []
    assert calls == [10]


def test_k_may_be_more_than_the_depth(index):
    hits = index.search(QUESTION, k=8, rerank=ScoringReranker(shared_words), rerank_depth=2)
    assert len(hits) == 8


def test_a_cross_encoder_is_loaded_from_its_folder(index, cross_encoder):
    plain = index.search(QUESTION, k=3)
    hits = index.search(QUESTION, k=3, rerank=cross_encoder, rerank_depth=3)
    expected = CrossEncoderReranker(cross_encoder).score([(QUESTION, hit.passage.text) for hit in plain])
    assert sorted(hit.score for hit in hits) == pytest.approx(sorted(expected), abs=1e-5)
    (score,) = evaluate_retrieval(
        index, [QUESTION], ["Super_Bowl_50#0"], modes=["dense"], rerank=cross_encoder, rerank_depth=5
    )
    assert 0 < score.mrr <= 1


def test_the_command_line_reranks(index, cross_encoder, halluc):
    arguments = ("--index", index.path, "--rerank", cross_encoder)
    code, out, err = halluc("index", "search", QUESTION, *arguments, "-k", "2", "--json")
    assert code == 0, err
    expected = index.search(QUESTION, k=2, rerank=cross_encoder)
    assert [hit["passage"]["id"] for hit in json.loads(out)] == [hit.passage.id for hit in expected]
    code, out, err = halluc("index", "search", QUESTION, "--index", index.path, "--rerank", "/no/such/folder")
    assert (code, out) == (2, "")
    assert "reranker /no/such/folder cannot be loaded" in err


@pytest.mark.parametrize("scores", [[1.0], [[1.0]] * 3, [float("nan")] * 3])
def test_scores_that_are_not_one_number_for_each_pair_are_refused(index, scores):
    with pytest.raises(InvalidQuery, match="reranker odd returned"):
        index.search(QUESTION, k=3, rerank=ScoringReranker(lambda _pairs: scores, name="odd"), rerank_depth=3)


def test_what_is_no_reranker_is_refused_before_the_search(index, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_embed", lambda _texts: pytest.fail("searched"))
    with pytest.raises(InvalidQuery, match="rerank is 3; pass a Reranker"):
        index.search(QUESTION, rerank=3)
    with pytest.raises(InvalidQuery, match="rerank_depth is 0"):
        index.search(QUESTION, rerank=ScoringReranker(shared_words), rerank_depth=0)
    with pytest.raises(InvalidQuery, match="function is 'x'"):
        ScoringReranker("x")
    with pytest.raises(InvalidQuery, match="name of the reranker is empty"):
        CrossEncoderReranker(" ")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RerankerUnavailable, match="cannot be loaded"):
        CrossEncoderReranker(str(tmp_path)).score([("a", "b")])
