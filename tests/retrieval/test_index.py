import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from retrieval import AddReport, Passage, PassageIndex, evaluate_retrieval
from retrieval.embedders import SentenceTransformerEmbedder
from retrieval.errors import (
    DuplicateId,
    EmptyCorpus,
    IndexDamaged,
    IndexExists,
    IndexLocked,
    IndexMismatch,
    IndexNotFound,
    IndexVersion,
    IndexWriteFailed,
    InvalidPassage,
    InvalidQuery,
    UnknownId,
)

QUESTION = "Who led the Panthers in sacks?"


def unit(rows, dimension=384, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def numbered(rows, prefix="p"):
    return [Passage(f"{prefix}{i}", f"passage number {prefix} {i}") for i in range(rows)]


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_the_passage_with_the_answer_comes_first(index, mode):
    hits = index.search(QUESTION, k=3, mode=mode)
    assert hits[0].passage.id == "Super_Bowl_50#0"
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_dense_scores_are_cosine_similarities(index, embedder, xquad):
    hit = index.search(QUESTION, k=1, mode="dense")[0]
    question, passage = embedder.encode([QUESTION, xquad[0].text])
    assert hit.similarity == hit.score == pytest.approx(float(question @ passage), abs=1e-5)


def test_hybrid_hits_carry_their_similarity_even_if_only_words_found_them(index):
    dense = {hit.passage.id: hit.similarity for hit in index.search(QUESTION, k=30, mode="dense")}
    for hit in index.search(QUESTION, k=30, mode="hybrid"):
        assert hit.similarity == pytest.approx(dense[hit.passage.id], abs=1e-5)


def test_a_list_of_queries_gives_a_list_of_lists(index):
    both = index.search([QUESTION, "Who sang the national anthem?"], k=2)
    alone = index.search(QUESTION, k=2)
    assert [hit.passage for hit in both[0]] == [hit.passage for hit in alone]
    # Texts that are embedded in a batch of another size differ in the last bits.
    assert [hit.similarity for hit in both[0]] == pytest.approx([hit.similarity for hit in alone], abs=1e-5)
    assert [len(hits) for hits in both] == [2, 2]
    assert index.search([]) == []


def test_k_beyond_the_corpus_gives_all_of_it_once(index):
    hits = index.search(QUESTION, k=1000)
    assert sorted(hit.passage.id for hit in hits) == sorted(passage.id for passage in index)


def test_what_is_added_is_there_after_opening_again(index, xquad):
    opened = PassageIndex.open(index.path)
    assert list(opened) == xquad
    assert opened.search(QUESTION) == index.search(QUESTION)
    assert opened.get("Super_Bowl_50#2") == xquad[2]
    assert opened.info().passages == len(opened) == 30


def test_deleted_passages_no_longer_match(index):
    best = index.search(QUESTION, k=1)[0].passage.id
    index.delete([best])
    for mode in ("dense", "sparse", "hybrid"):
        assert best not in {hit.passage.id for hit in index.search(QUESTION, k=100, mode=mode)}
    assert len(PassageIndex.open(index.path)) == 29
    with pytest.raises(UnknownId, match="has no passage or document 'Super_Bowl_50#0'"):
        index.get(best)


def test_an_update_replaces_the_text_under_the_same_id(index):
    index.update([Passage("Super_Bowl_50#0", "Zebras graze on the savannah.")])
    assert len(index) == 30
    assert index.search("What do zebras eat?", k=1)[0].passage.id == "Super_Bowl_50#0"
    assert "308" not in PassageIndex.open(index.path).get("Super_Bowl_50#0").text


def test_everything_can_be_deleted_and_added_again(index, xquad):
    index.delete([passage.id for passage in xquad])
    assert len(index) == 0
    assert index.search(QUESTION) == []
    index.add(xquad[:3])
    assert index.search(QUESTION, k=1)[0].passage == xquad[0]


def test_unknown_ids_change_nothing(index):
    for change in (lambda: index.delete(["nobody", "Super_Bowl_50#0"]), lambda: index.update([Passage("nobody", "x")])):
        with pytest.raises(UnknownId, match="nobody"):
            change()
    assert len(PassageIndex.open(index.path)) == 30


def test_adding_again_replaces_and_an_id_that_occurs_twice_is_refused(index, xquad, monkeypatch):
    """Adding again was an error that named another call."""
    generation = index.info().generation
    monkeypatch.setattr(index, "_embed", lambda _texts: pytest.fail("embedded"))
    assert index.add(xquad) == AddReport(0, unchanged=30)
    assert index.info().generation == generation
    monkeypatch.undo()
    report = index.add([Passage("new", "a new text"), Passage("Super_Bowl_50#0", "other text")])
    assert (report.added, report.replaced, report.duplicates) == (2, 1, ())
    assert PassageIndex.open(index.path).get("Super_Bowl_50#0").text == "other text"
    index.delete(["new"])
    with pytest.raises(DuplicateId, match="twice in one call"):
        index.add([Passage("a", "one"), Passage("a", "two")])
    assert len(PassageIndex.open(index.path)) == 30


def test_duplicate_texts_are_left_out_and_reported(index, xquad):
    report = index.add([Passage("again", xquad[4].text), Passage("new", "a new text"), Passage("twin", "a new text")])
    assert report.added == 1
    assert report.duplicates == (("again", xquad[4].id), ("twin", "new"))
    assert index.add([Passage("kept", xquad[4].text)], duplicates="keep").added == 1


def test_filters_hold_in_every_mode(index, xquad):
    subjects = {passage.title for passage in xquad}
    assert len(subjects) > 1
    for mode in ("dense", "sparse", "hybrid"):
        hits = index.search("Which year was it?", k=30, mode=mode, filter={"subject": "Warsaw"})
        assert {hit.passage.title for hit in hits} == {"Warsaw"}
    short = index.search("year", k=30, filter=lambda passage: len(passage.text) < 500)
    assert short
    assert all(len(hit.passage.text) < 500 for hit in short)
    assert index.search("year", filter={"subject": "nothing"}) == []


def test_many_small_adds_stay_few_segments_and_search_as_one(tmp_path, embedder):
    vectors = unit(64)
    passages = numbered(64)
    index = PassageIndex.create(tmp_path / "x", embedder=embedder)
    for i in range(64):
        index.add(passages[i : i + 1], vectors=vectors[i : i + 1])
    assert index.info().segments <= 7
    assert len(list((index.path / "segments").iterdir())) == index.info().segments
    for i, hits in enumerate(index.search_vectors(vectors, k=5)):
        assert hits[0].passage.id == f"p{i}"
        expected = np.sort(vectors @ vectors[i])[::-1][:5]
        assert [hit.score for hit in hits] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_every_kind_finds_the_nearest_also_after_deleting_and_merging(tmp_path, embedder, kind):
    vectors = unit(600)
    index = PassageIndex.create(tmp_path / "x", embedder=embedder, kind=kind)
    index.add(numbered(500), vectors=vectors[:500])
    index.delete([f"p{i}" for i in range(0, 500, 5)])
    index.add(numbered(100, "q"), vectors=vectors[500:])
    opened = PassageIndex.open(index.path)
    assert len(opened) == 500
    hit_lists = opened.search_vectors(vectors, k=1)
    names = [f"p{i}" for i in range(500)] + [f"q{i}" for i in range(100)]
    correct = [hits[0].passage.id == name for hits, name in zip(hit_lists, names, strict=True)]
    deleted = [name[0] == "p" and int(name[1:]) % 5 == 0 for name in names]
    assert not any(is_correct for is_correct, is_deleted in zip(correct, deleted, strict=True) if is_deleted)
    # IVF looks at a part of the lists only.
    assert sum(correct) >= (500 if kind != "ivf" else 450)


def test_opening_does_not_read_the_vectors_into_memory(tmp_path, embedder):
    import psutil

    rows = 60_000
    index = PassageIndex.create(tmp_path / "x", embedder=embedder)
    index.add(numbered(rows), vectors=unit(rows))
    query = unit(1)
    del index
    before = psutil.Process().memory_info().rss
    opened = PassageIndex.open(tmp_path / "x")
    grown = psutil.Process().memory_info().rss - before
    assert grown < 0.2 * rows * 384 * 4
    assert opened.search_vectors(query, k=1)[0][0].passage.id == "p0"


def test_retrieval_is_scored_by_the_rank_of_the_gold_passage(index, xquad):
    questions = [xquad[i].text[:80] for i in range(5)]
    for score in evaluate_retrieval(index, questions, [xquad[i].id for i in range(5)]):
        assert score.hit_at[5] == 1.0
        assert score.hit_at[1] <= score.mrr <= 1.0
    assert evaluate_retrieval(index, questions, ["nothing"] * 5)[0].hit_at == {1: 0.0, 3: 0.0, 5: 0.0}


@pytest.mark.parametrize("query", ["", "  \n", ["fine", " "]])
def test_an_empty_query_is_refused(index, query):
    with pytest.raises(InvalidQuery, match="is empty"):
        index.search(query)


def test_options_out_of_range_are_named(index, tmp_path):
    with pytest.raises(InvalidQuery, match="k is 0"):
        index.search("x", k=0)
    with pytest.raises(InvalidQuery, match="mode is 'fuzzy'"):
        index.search("x", mode="fuzzy")
    with pytest.raises(InvalidQuery, match="kind is 'tree'"):
        PassageIndex.create(tmp_path / "y", kind="tree")
    with pytest.raises(InvalidQuery, match=r"vectors have shape \(1, 3\)"):
        index.add([Passage("a", "b")], vectors=unit(1, 3))
    with pytest.raises(InvalidQuery, match="has length 2"):
        index.add([Passage("a", "b")], vectors=2 * unit(1))
    with pytest.raises(InvalidQuery, match="has length nan"):
        index.search_vectors(np.full((1, 384), np.nan))


def test_passages_that_cannot_be_stored_are_named(index):
    with pytest.raises(InvalidPassage, match=r"'a' cannot be stored.*not JSON serializable"):
        index.add([Passage("a", "b", metadata={"x": object()})])
    with pytest.raises(InvalidPassage, match=r"'a' cannot be stored: its text has a lone surrogate.*character 19"):
        index.add([Passage("a", "half a character: \ud83d")])
    with pytest.raises(InvalidPassage, match=r"passages\[0\] is a str"):
        index.add(["just a text"])
    assert len(index) == 30


def test_an_empty_corpus_is_refused(index):
    with pytest.raises(EmptyCorpus, match="no passages"):
        index.add([])
    with pytest.raises(EmptyCorpus, match="'blank' has no text"):
        index.add([Passage("blank", " \n")])


def test_a_missing_index_and_a_taken_path_are_told_apart(index, tmp_path):
    with pytest.raises(IndexNotFound, match="there is no index"):
        PassageIndex.open(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("This is no index.")
    with pytest.raises(IndexNotFound, match=r"notes\.txt is a file, and an index is a folder; build one with"):
        PassageIndex.open(tmp_path / "notes.txt")
    with pytest.raises(IndexExists, match="already exists"):
        PassageIndex.create(index.path)


@pytest.mark.parametrize("name", ["passages.arrow", "vectors.faiss", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_refused_by_name(index, name, damage):
    (path,) = index.path.rglob(name)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    with pytest.raises(IndexDamaged, match=name):
        PassageIndex.open(index.path)


def test_damaged_bm25_is_rebuilt_as_it_is_only_derived(index):
    before = index.search(QUESTION, mode="sparse")
    (scores,) = index.path.rglob("data.csc.index.npy")
    scores.write_bytes(b"nonsense")
    assert PassageIndex.open(index.path).search(QUESTION, mode="sparse") == before


def test_an_index_of_a_newer_format_is_refused(index):
    manifest = index.path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    with pytest.raises(IndexVersion, match="index format 99"):
        PassageIndex.open(index.path)


def test_another_embedder_is_refused_with_both_names(index, tmp_path, embedder):
    from retrieval.encoders import encoder_folder

    class Narrow(SentenceTransformerEmbedder):
        dimension = 12

    with pytest.raises(IndexMismatch, match=r"built with all-MiniLM-L6-v2 \(384 dims\), not all-MiniLM-L6-v2 \(12 dims\)"):
        PassageIndex.open(index.path, embedder=Narrow())
    # A copy under another path is the same embedder; with one weight changed only the fingerprint can tell.
    copy = tmp_path / "copy"
    shutil.copytree(encoder_folder(), copy)
    assert PassageIndex.open(index.path, embedder=str(copy)).info().passages == 30
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    with pytest.raises(IndexMismatch):
        PassageIndex.open(index.path, embedder=str(copy))


def test_vectors_of_the_embedder_are_checked_like_those_of_the_caller(index):
    class Long(SentenceTransformerEmbedder):
        def encode(self, texts):
            return 3 * super().encode(texts)

    opened = PassageIndex.open(index.path, embedder=Long())
    with pytest.raises(InvalidQuery, match="has length 3"):
        opened.add([Passage("new", "a new text")])
    assert len(PassageIndex.open(index.path)) == 30


def test_deleting_needs_no_embedder(index, monkeypatch):
    opened = PassageIndex.open(index.path)
    monkeypatch.setattr("retrieval.origin.load_embedder", None)
    opened.delete(["Super_Bowl_50#0"])
    assert len(opened) == 29


def test_a_second_writer_is_refused_and_readers_are_not(index):
    from retrieval.storage import writing

    with writing(index.path):
        with pytest.raises(IndexLocked, match="another process is writing"):
            PassageIndex.open(index.path).delete(["Super_Bowl_50#0"])
        assert PassageIndex.open(index.path).search(QUESTION)


def test_a_reader_keeps_its_state_until_it_is_refreshed(index):
    reader = PassageIndex.open(index.path)
    index.delete(["Super_Bowl_50#0"])
    assert reader.search(QUESTION, k=1, mode="dense")[0].passage.id == "Super_Bowl_50#0"
    reader.refresh()
    assert reader.search(QUESTION, k=1, mode="dense")[0].passage.id != "Super_Bowl_50#0"


def test_a_reader_outlives_a_merge_that_removes_its_files(index):
    reader = PassageIndex.open(index.path)
    before = {path.name for path in (index.path / "segments").iterdir()}
    index.add([Passage(f"n{i}", f"a new text {i}") for i in range(20)])
    assert not before & {path.name for path in (index.path / "segments").iterdir()}
    for mode in ("dense", "sparse", "hybrid"):
        assert reader.search(QUESTION, k=1, mode=mode)[0].passage.id == "Super_Bowl_50#0"
    assert len(reader) == 30
    reader.refresh()
    assert len(reader) == 50


def test_opening_while_a_writer_merges_retries_with_the_new_manifest(index, monkeypatch):
    from retrieval import manifest

    old = manifest.read_manifest(index.path)
    index.add([Passage(f"n{i}", f"a new text {i}") for i in range(20)])
    answers = iter([old])
    present = manifest.read_manifest
    monkeypatch.setattr(manifest, "read_manifest", lambda folder: next(answers, None) or present(folder))
    assert len(PassageIndex.open(index.path)) == 50


def test_a_change_reads_only_the_segments_that_it_writes(index, monkeypatch):
    """Else a small add to a large index would read all of it."""
    from retrieval import manifest, search

    opened, compared = [], []
    open_segment, compare = search.OpenSegment, manifest.verify_contents

    def open_and_count(folder, segment, dimension):
        opened.append(segment.name)
        return open_segment(folder, segment, dimension)

    def compare_and_count(folder, segments):
        compared.extend(segment.name for segment in segments)
        compare(folder, segments)

    other = PassageIndex.open(index.path)
    monkeypatch.setattr(search, "OpenSegment", open_and_count)
    monkeypatch.setattr(manifest, "verify_contents", compare_and_count)
    index.delete(["Super_Bowl_50#0"])
    assert (opened, compared) == ([], [])
    index.add([Passage("new", "a new text")])
    assert (opened, compared) == (["00000003"], [])
    other.refresh()
    assert (opened, compared) == (["00000003", "00000003"], ["00000003"])
    assert [passage.id for passage in other] == [passage.id for passage in index]
    assert len(other) == 30


def test_two_handles_that_write_in_turn_see_each_others_work(index):
    other = PassageIndex.open(index.path)
    index.add([Passage("one", "the first text")])
    other.add([Passage("two", "the second text")])
    index.refresh()
    assert "one" in index
    assert "two" in index


def test_a_full_disk_leaves_the_index_unchanged(index, monkeypatch):
    def full(*_arguments):
        raise OSError(28, os.strerror(28))

    for step in ("storage.write_files", "segment.build_vectors"):
        with monkeypatch.context() as patched:
            patched.setattr(f"retrieval.{step}", full)
            with pytest.raises(IndexWriteFailed, match=r"No space left on device.*the index is unchanged"):
                index.add([Passage("new", "a new text")])
    with monkeypatch.context() as patched:
        patched.setattr("retrieval.files.os.fsync", full)
        with pytest.raises(IndexWriteFailed):
            index.add([Passage("new", "a new text")])
    assert len(PassageIndex.open(index.path)) == len(index) == 30
    assert not list((index.path / "segments").glob(".*.partial-*"))
    assert index.add([Passage("new", "a new text")]).added == 1


FULL_DISK = """
import resource, sys
from retrieval import Passage, PassageIndex
from retrieval.errors import IndexWriteFailed
import numpy as np
index = PassageIndex.open(sys.argv[1])
vectors = np.eye(384, dtype="float32")
passages = [Passage(f"e{i}", f"unit vector {i}") for i in range(384)]
size = 384 * 384 * 4
# Also where only the last buffer of the vectors does not fit.
for limit in (1_000, 50_000, size // 2, size - 10, size + 40):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        index.add(passages, vectors=vectors)
    except IndexWriteFailed as error:
        assert "File too large" in str(error), error
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len(PassageIndex.open(sys.argv[1])) == 0
index.add(passages, vectors=vectors)
assert len(PassageIndex.open(sys.argv[1])) == 384
"""


def test_a_real_limit_on_file_size_is_reported_and_harmless(tmp_path, embedder):
    PassageIndex.create(tmp_path / "x", embedder=embedder)
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path / "x")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 5


def test_faiss_and_torch_work_in_one_process_whichever_comes_first():
    search = "import faiss, numpy as np; i = faiss.IndexFlatIP(8); i.add(np.eye(8, dtype='float32')); "
    search += "i.search(np.random.rand(64, 8).astype('float32'), 2)"
    embed = "from retrieval import load_embedder; load_embedder().encode(['one', 'two'] * 40)"
    for code in (f"{search}\n{embed}\n{search}", f"{embed}\n{search}\n{embed}"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_importing_retrieval_loads_no_heavy_library():
    code = "import sys, retrieval; print({'numpy', 'faiss', 'torch', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
