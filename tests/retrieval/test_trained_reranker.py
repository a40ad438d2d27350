"""Rerankers stored as differences from their base: written, read, refused when damaged; and the one that is packaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.errors import RerankerUnavailable
from retrieval.trained_reranker import TrainedReranker, default_reranker, new_network, save_trained_reranker

EXAMPLES = Path(__file__).parents[2] / "examples" / "xquad"
PAIRS = [
    ("Who led the Panthers in sacks?", "Kawann Short led the team in sacks with 11."),
    ("Who led the Panthers in sacks?", "The Broncos defeated the Pittsburgh Steelers."),
    ("What is DECnet?", "DECnet is a suite of network protocols created by Digital Equipment Corporation."),
]


@pytest.fixture(scope="module")
def network():
    """A network whose weights differ a little from those of the base."""
    with torch.random.fork_rng():
        # The weights of the new head are random.
        torch.manual_seed(0)
        model, _ = new_network()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "embeddings" not in name:
                weights += 0.01 * torch.randn(weights.shape, generator=generator)
        model.head[2].weight *= 20
    return model.eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "reranker"
    save_trained_reranker(path, network, base=None, max_tokens=64, facts={"questions": 3})
    return path


def raw_scores(network, pairs):
    _, tokenizer = new_network()
    encoded = [tokenizer([q], [t], truncation="longest_first", max_length=64, return_tensors="pt") for q, t in pairs]
    with torch.inference_mode():
        return [network(**row).item() for row in encoded]


def test_what_is_read_scores_as_what_was_saved_and_takes_little_room(network, folder):
    expected = raw_scores(network, PAIRS)
    scores = TrainedReranker(str(folder)).score(PAIRS)
    assert scores == pytest.approx(expected, abs=0.1 * float(np.ptp(expected)) + 0.02)
    assert np.argsort(scores).tolist() == np.argsort(expected).tolist()
    assert (folder / "weights.safetensors").stat().st_size < 7_000_000
    assert json.loads((folder / "reranker.json").read_text())["facts"] == {"questions": 3}


def test_scores_do_not_depend_on_the_other_pairs_or_their_order(folder):
    reranker = TrainedReranker(str(folder), batch_tokens=64)
    together = reranker.score(PAIRS)
    assert [reranker.score([pair])[0] for pair in PAIRS] == pytest.approx(together, abs=0.02)
    assert reranker.score(PAIRS[::-1])[::-1] == pytest.approx(together, abs=0.02)
    assert reranker.score([]) == []


def test_texts_longer_than_the_window_and_control_tokens_are_read(folder):
    reranker = TrainedReranker(str(folder))
    long = "word " * 2000
    assert np.isfinite(reranker.score([(long, "short"), ("short", long), (long, long)])).all()
    # "[SEP]" in a text is text, so that the passage cannot pose as the end of the query.
    assert reranker.score([("a [SEP] b", "c")]) != reranker.score([("a", "b [SEP] c")])


def test_search_takes_its_folder(index, folder):
    hits = index.search("Who led the Panthers in sacks?", k=3, rerank=str(folder), rerank_depth=5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_rank_and_similarity_are_weighed_with_the_score(index, folder, tmp_path):
    import shutil

    path = tmp_path / "fused"
    shutil.copytree(folder, path)
    _edit(path, "fusion", {"rank": 2.0, "similarity": 3.0})
    question = "Who led the Panthers in sacks?"
    plain = index.search(question, k=4)
    scores = TrainedReranker(str(path)).score([(question, hit.passage.text) for hit in plain])
    expected = {
        hit.passage.id: score - 2 * np.log(hit.rank) + 3 * hit.similarity for hit, score in zip(plain, scores, strict=True)
    }
    hits = index.search(question, k=4, rerank=str(path), rerank_depth=4)
    assert {hit.passage.id: hit.score for hit in hits} == pytest.approx(expected, abs=0.05)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_packaged_reranker_finds_what_the_search_ranks_lower(index):
    """Questions of XQuAD, on which it was not trained, that hybrid search answers with another passage first."""
    rows = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]
    known = {passage.id for passage in index}
    rows = [row for row in rows if row["passage_id"] in known]
    questions, gold = [row["question"] for row in rows], [row["passage_id"] for row in rows]

    def right(**options):
        hits = index.search(questions, **options)
        return sum(first.passage.id == passage for (first, *_), passage in zip(hits, gold, strict=True))

    assert len(rows) >= 3
    assert right(rerank="default", rerank_depth=10) >= right()
    assert default_reranker() is default_reranker()
    facts = json.loads((default_reranker().folder / "reranker.json").read_text())["facts"]
    assert "examples/xquad/passages.jsonl" in facts["settings"]["exclude"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "weights.safetensors").write_bytes(b"x"), "cannot be loaded: "),
        (lambda path: (path / "reranker.json").write_text("{"), "cannot be loaded: "),
        (lambda path: _edit(path, "format", 99), "format 99; this version reads format 1"),
        (lambda path: _edit(path, "fingerprint", "0"), "has the fingerprint 0, and the installed one"),
        (lambda path: _edit(path, "base", "/no/such/base"), "/no/such/base is not a folder"),
        (lambda path: _edit(path, "max_tokens", None), "cannot be loaded: "),
    ],
)
def test_damaged_files_are_named(folder, tmp_path, damage, message):
    import shutil

    path = tmp_path / "r"
    shutil.copytree(folder, path)
    damage(path)
    with pytest.raises(RerankerUnavailable, match=message):
        TrainedReranker(str(path)).score(PAIRS)


def _edit(path, key, value):
    file = path / "reranker.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
