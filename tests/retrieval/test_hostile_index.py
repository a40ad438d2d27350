"""An index from someone else reaches nothing outside its folder, contacts no one, and fails with one sentence."""

import json
import os
import shutil

import numpy as np
import pytest

from retrieval import Passage, PassageIndex
from retrieval.errors import EmbedderUnavailable, IndexDamaged, IndexVersion, RetrievalError
from retrieval.manifest import _manifest_checksum

QUESTION = "Who led the Panthers in sacks?"


def rewrite(folder, change):
    """Change the manifest, with a checksum that is right, as someone who means harm would."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    change(values)
    path.write_text(json.dumps({**values, "checksum": _manifest_checksum(values)}))


def set_name(name):
    return lambda values: values["segments"][0].update(name=name)


def set_file(name):
    return lambda values: values["segments"][0]["files"].update({name: values["segments"][0]["files"].pop("vectors.faiss")})


@pytest.mark.parametrize(
    "change",
    [
        set_name("../../outside"),
        set_name("/etc"),
        set_name(".."),
        set_name("00000001/../../outside"),
        set_name(7),
        set_file("../../../secret"),
        set_file("/etc/passwd"),
        lambda values: values["segments"][0].update(rows="30"),
        lambda values: values["segments"][0].update(deleted=[31]),
        lambda values: values["segments"][0].update(deleted=[1, 1]),
        lambda values: values["segments"][0].update(deleted=[-1]),
        lambda values: values.update(dimension=-1),
        lambda values: values.update(dimension=True),
        lambda values: values.update(generation="1"),
        lambda values: values.update(segments=None),
        lambda values: values.update(segments=[[]]),
        lambda values: values.update(embedder=None),
        lambda values: values.update(id=3),
        lambda values: values.update(something="else"),
    ],
)
def test_a_manifest_that_names_what_cannot_be_part_of_an_index_is_refused(index, tmp_path, change):
    """A segment `../../x` was read, and what the manifest did not name was removed."""
    outside = tmp_path / "outside"
    shutil.copytree(next((index.path / "segments").iterdir()), outside)
    rewrite(index.path, change)
    for use in (PassageIndex.open, lambda _: index.add([Passage("new", "a new text")])):
        with pytest.raises(IndexDamaged, match=r"manifest\.json is damaged"):
            use(index.path)
    assert len(list(outside.iterdir())) == 2


@pytest.mark.parametrize(
    "part", ["manifest.json", "segments", "segments/*", "segments/*/vectors.faiss", "sparse", "sparse/1"]
)
@pytest.mark.parametrize("when", ["opening", "writing"])
def test_an_index_with_a_link_in_it_is_refused_and_nothing_outside_is_read_or_removed(index, tmp_path, part, when):
    """With `segments` a link, the next write removed all folders beside what it points to."""
    index.search(QUESTION, mode="sparse")
    (path,) = index.path.glob(part)
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(IndexDamaged, match="neither a regular file nor a folder"):
        PassageIndex.open(index.path) if when == "opening" else index.add([Passage("new", "a new text")])
    assert sorted(outside.rglob("*")) == before
    assert outside.exists()


@pytest.mark.parametrize("part", ["manifest.json", "segments/*/vectors.faiss", "sparse/1/vocab.index.json"])
def test_a_pipe_among_the_files_does_not_hang(index, part):
    index.search(QUESTION, mode="sparse")
    (path,) = index.path.glob(part)
    path.unlink()
    os.mkfifo(path)
    if part.startswith("sparse"):
        # BM25 is derived, so it is built again.
        assert PassageIndex.open(index.path).search(QUESTION, mode="sparse")
    else:
        with pytest.raises(IndexDamaged, match="neither a regular file nor a folder"):
            PassageIndex.open(index.path)


def test_links_among_leftovers_are_not_followed_when_they_are_swept(index, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (index.path / "segments" / "00000009").symlink_to(outside)
    index.add([Passage("new", "a new text")])
    assert (outside / "precious").read_text() == "x"


@pytest.mark.parametrize("name", ["passages.arrow", "vectors.faiss"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9, 0.999])
def test_damage_under_a_right_checksum_gives_an_error_and_no_crash(index, name, share):
    """Without a comparison of checksums, a damaged file crashed the process."""
    from retrieval.files import checksum

    (path,) = index.path.rglob(name)
    content = bytearray(path.read_bytes())
    position = int(share * len(content))
    content[position : position + 64] = b"\xff" * len(content[position : position + 64])
    path.write_bytes(content)

    def forge(values):
        values["segments"][0]["files"][name][1] = checksum(path)

    rewrite(index.path, forge)
    # What still parses may give wrong results, but nothing but an error of ours.
    try:
        opened = PassageIndex.open(index.path)
        list(opened)
        for mode in ("dense", "sparse", "hybrid"):
            opened.search(QUESTION, k=30, mode=mode)
    except RetrievalError:
        pass


def test_metadata_that_is_no_json_is_reported_when_it_is_read(index):
    from retrieval.files import checksum

    (path,) = index.path.rglob("passages.arrow")
    path.write_bytes(path.read_bytes().replace(b'{"subject": "', b'["subject": "'))
    rewrite(index.path, lambda values: values["segments"][0]["files"]["passages.arrow"].__setitem__(1, checksum(path)))
    opened = PassageIndex.open(index.path)
    assert len(opened) == 30
    for use in (lambda: list(opened), lambda: opened.search(QUESTION, mode="sparse", filter={"subject": "Warsaw"})):
        with pytest.raises(IndexDamaged, match="the metadata of a passage is not JSON"):
            use()


def test_bm25_that_leads_to_rows_that_are_not_there_is_built_again(index):
    from retrieval.files import checksum

    before = index.search(QUESTION, mode="sparse")
    folder = index.path / "sparse" / "1"
    indices = np.load(folder / "indices.csc.index.npy")
    np.save(folder / "indices.csc.index.npy", indices + 1_000_000)
    recorded = json.loads((folder / "checksums.json").read_text())
    recorded["files"]["indices.csc.index.npy"] = checksum(folder / "indices.csc.index.npy")
    (folder / "checksums.json").write_text(json.dumps(recorded))
    assert PassageIndex.open(index.path).search(QUESTION, mode="sparse") == before


def test_files_of_another_size_than_the_manifest_says_are_refused(index):
    """Rows of the manifest beyond those of the files were read."""
    rewrite(index.path, lambda values: values["segments"][0].update(rows=31))
    with pytest.raises(IndexDamaged, match="30 passages and 30 vectors of 384 dimensions instead of 31 of 384"):
        PassageIndex.open(index.path)


@pytest.mark.parametrize("url", ["http://host/v1#m", "HTTPS://host/v1#m"])
def test_an_endpoint_that_only_the_index_names_is_not_contacted(index, monkeypatch, url):
    """The question and OPENAI_API_KEY went to whatever host the index named."""
    import openai

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr(openai, "OpenAI", lambda **_: pytest.fail("contacted"))
    rewrite(index.path, lambda values: values.update(embedder=url))
    opened = PassageIndex.open(index.path)
    for use in (lambda: opened.search(QUESTION), lambda: opened.add([Passage("new", "a new text")])):
        with pytest.raises(EmbedderUnavailable, match=f"only the index names it.*embedder='{url}'"):
            use()
    # What needs no embedder works.
    assert opened.search(QUESTION, mode="sparse")
    assert len(opened) == 30


def test_an_older_format_is_refused_with_what_to_do(index):
    rewrite(index.path, lambda values: values.update(format_version=1))
    with pytest.raises(IndexVersion, match=r"index format 1.*build the index again"):
        PassageIndex.open(index.path)
