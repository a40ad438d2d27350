"""Which index an object stands for: closed, removed, created again, or built by a process that was killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retrieval import Passage, PassageIndex
from retrieval.errors import IndexClosed, IndexExists, IndexNotFound, IndexReplaced

QUERY = "Who led the Panthers in sacks?"
NEW = [Passage("new", "One more passage.")]

USES = {
    "add": lambda index: index.add(NEW),
    "update": lambda index: index.update([Passage("Super_Bowl_50#0", "other text")]),
    "delete": lambda index: index.delete(["Super_Bowl_50#0"]),
    "search": lambda index: index.search(QUERY),
    "search for nothing": lambda index: index.search([]),
    "search_vectors": lambda index: index.search_vectors(np.eye(1, 384, dtype=np.float32)),
    "len": len,
    "iter": lambda index: next(iter(index)),
    "in": lambda index: "Super_Bowl_50#0" in index,
    "get": lambda index: index.get("Super_Bowl_50#0"),
    "info": lambda index: index.info(),
    "refresh": lambda index: index.refresh(),
    "embedder": lambda index: index.embedder,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_index_refuses_every_use(index, use):
    """Adding to a closed index replaced all that was in it."""
    index.close()
    with pytest.raises(IndexClosed, match=r"x\.index is closed; open it again"):
        use(index)
    assert len(PassageIndex.open(index.path)) == 30


def test_leaving_the_with_block_closes_and_closing_twice_is_fine(tmp_path, embedder, xquad):
    with PassageIndex.create(tmp_path / "x", embedder=embedder) as index:
        index.add(xquad[:3])
    index.close()
    with pytest.raises(IndexClosed):
        index.add(NEW)
    assert list(PassageIndex.open(tmp_path / "x")) == xquad[:3]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("writes", [0, 1], ids=["empty", "as many writes"])
def test_an_object_of_an_index_that_was_removed_and_created_again_refuses_every_use(index, embedder, use, writes):
    """Its writes damaged the new index, and its reads showed what was no longer there."""
    shutil.rmtree(index.path)
    created = PassageIndex.create(index.path, embedder=embedder)
    for _ in range(writes):
        created.add([Passage("other", "Another index.")])
    with pytest.raises(IndexReplaced, match=r"x\.index was removed and another one created there"):
        use(index)
    assert [passage.id for passage in PassageIndex.open(index.path)] == ["other"] * writes


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_object_of_an_index_that_was_removed_refuses_every_use_and_creates_nothing(index, use):
    shutil.rmtree(index.path)
    with pytest.raises(IndexNotFound, match="there is no index"):
        use(index)
    assert not index.path.exists()


def test_bm25_of_another_index_at_the_same_path_is_not_used(index, embedder):
    """BM25 was looked up by the generation alone."""
    index.search("Panthers", mode="sparse")
    saved = index.path / "sparse" / "1"
    copy = index.path.with_name("bm25")
    shutil.copytree(saved, copy)
    shutil.rmtree(index.path)
    created = PassageIndex.create(index.path, embedder=embedder)
    created.add([Passage("zebra", "Zebras graze on the savannah.")])
    shutil.copytree(copy, saved)
    (hit,) = created.search("zebras", mode="sparse")
    assert hit.passage.id == "zebra"


def test_an_index_opened_by_a_relative_path_is_the_same_after_a_change_of_folder(index, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    opened = PassageIndex.open("x.index")
    monkeypatch.chdir("/")
    assert len(opened) == 30


def test_build_makes_an_index_with_all_passages_and_reports_duplicates(tmp_path, embedder, xquad):
    passages = [*xquad[:3], Passage("again", xquad[0].text)]
    index, report = PassageIndex.build(tmp_path / "x", passages, embedder=embedder)
    assert list(index) == list(PassageIndex.open(tmp_path / "x")) == xquad[:3]
    assert (report.added, report.duplicates) == (3, (("again", xquad[0].id),))
    assert index.add(NEW).added == 1
    with pytest.raises(IndexExists):
        PassageIndex.build(tmp_path / "x", passages, embedder=embedder)


def test_a_build_that_fails_leaves_nothing(tmp_path, embedder, monkeypatch):
    monkeypatch.setattr(type(embedder), "encode", lambda self, texts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        PassageIndex.build(tmp_path / "x", NEW, embedder=embedder)
    assert list(tmp_path.iterdir()) == []


BUILD = """
import sys, time
from retrieval import Passage, PassageIndex
from retrieval.embedders import SentenceTransformerEmbedder
class Slow(SentenceTransformerEmbedder):
    def encode(self, texts):
        print("embedding", flush=True)
        time.sleep(60)
PassageIndex.build(sys.argv[1], [Passage("a", "a text")], embedder=Slow())
"""


def test_a_build_that_is_killed_leaves_nothing_and_can_be_repeated(tmp_path, embedder):
    """It left an empty index, and the next attempt said that it exists."""
    path = tmp_path / "x.index"
    with subprocess.Popen([sys.executable, "-c", BUILD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "embedding\n"
        assert not path.exists()
        # Another attempt leaves the running one alone.
        PassageIndex.create(tmp_path / "other.index", embedder=embedder)
        (unfinished,) = tmp_path.glob(".x.index.partial-*")
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert unfinished.exists()
    index, report = PassageIndex.build(path, NEW, embedder=embedder)
    assert report.added == len(index) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.index", "x.index"]


def test_a_build_does_not_remove_another_that_is_still_running(tmp_path, embedder):
    from retrieval import storage
    from retrieval.manifest import Manifest

    path = tmp_path / "x"
    manifest = Manifest(embedder.name, embedder.fingerprint, embedder.dimension, "auto")
    running = storage.new_index(path, manifest)
    unfinished = running.__enter__()
    PassageIndex.build(path, NEW, embedder=embedder)
    assert (unfinished / "manifest.json").exists()
    with pytest.raises(IndexExists):
        running.__exit__(None, None, None)
    # The one that was done first stays.
    assert list(PassageIndex.open(path)) == NEW
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_folder_of_the_user_with_a_similar_name_is_not_removed(tmp_path, embedder):
    """Only what this program left is swept."""
    PassageIndex.create(tmp_path / ".x.index", embedder=embedder)
    PassageIndex.create(tmp_path / "x", embedder=embedder)
    assert len(PassageIndex.open(tmp_path / ".x.index")) == 0


def test_searching_costs_no_reading_of_the_manifest_while_nothing_changes(index, monkeypatch):
    """A replaced index is noticed by the manifest's place on disk, which costs microseconds."""
    len(index)
    monkeypatch.setattr("retrieval.manifest.read_manifest", lambda folder: pytest.fail("read again"))
    start = time.process_time()
    for _ in range(1000):
        len(index)
    assert time.process_time() - start < 1
    assert Path(os.fspath(index.path)).is_absolute()
