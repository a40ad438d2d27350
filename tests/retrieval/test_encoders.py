"""MPNet from wheels as an embedder; a small random MPNet in small wheels replaces the real one, which has 400 MB."""

import shutil

import pytest

from retrieval import PassageIndex, encoders, load_embedder
from retrieval.embedders import SentenceTransformerEmbedder
from retrieval.errors import EmbedderUnavailable, PackagedModelUnavailable


def test_a_pulled_encoder_embeds_as_the_folder_it_was_made_of(small_mpnet):
    encoders.pull_encoder("mpnet")
    pulled, original = load_embedder("mpnet"), SentenceTransformerEmbedder(str(small_mpnet))
    texts = ["what is a verb?", "a verb is a word.", "<pad> </s>"]
    assert pulled.encode(texts) == pytest.approx(original.encode(texts), abs=1e-6)
    assert pulled.max_tokens == 126
    assert pulled.token_offsets(["ab."]) == [[(0, 1), (1, 2), (2, 3)]]


def test_only_the_files_of_the_model_are_unpacked(small_mpnet):
    folder = encoders.pull_encoder("mpnet")
    unpacked = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert unpacked == {*encoders._FILES, "hashes.json"}


def test_the_fingerprint_does_not_depend_on_the_folder_and_changes_with_the_weights(small_mpnet, tmp_path, monkeypatch):
    encoders.pull_encoder("mpnet")
    fingerprint = load_embedder("mpnet").fingerprint
    shutil.copytree(tmp_path / "home", tmp_path / "elsewhere")
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "elsewhere"))
    assert load_embedder("mpnet").fingerprint == fingerprint
    assert SentenceTransformerEmbedder(str(small_mpnet)).fingerprint == fingerprint
    weights = small_mpnet / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert SentenceTransformerEmbedder(str(small_mpnet)).fingerprint != fingerprint


def test_an_index_names_the_encoder_and_opens_wherever_it_was_pulled(small_mpnet, xquad, tmp_path, monkeypatch):
    encoders.pull_encoder("mpnet")
    with PassageIndex.create(tmp_path / "x.index", embedder="mpnet") as index:
        index.add(xquad[:3])
    (tmp_path / "home").rename(tmp_path / "moved")
    with PassageIndex.open(tmp_path / "x.index") as index, pytest.raises(EmbedderUnavailable, match="models pull mpnet'"):
        index.search([xquad[0].text])
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "moved"))
    with PassageIndex.open(tmp_path / "x.index") as index:
        assert index.search([xquad[0].text], k=1, mode="dense")[0][0].passage.id == xquad[0].id


def test_an_encoder_that_is_missing_or_damaged_is_one_sentence_with_the_command(small_mpnet):
    with pytest.raises(EmbedderUnavailable, match=r"^mpnet \(all-mpnet-base-v2\) has not been pulled; fetch it with"):
        load_embedder("mpnet").encode(["x"])
    folder = encoders.pull_encoder("mpnet")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EmbedderUnavailable, match=r"tokenizer.json is missing\); replace it with 'halluc models pull"):
        load_embedder("mpnet").fingerprint  # noqa: B018
    encoders.pull_encoder("mpnet")
    assert load_embedder("mpnet").encode(["x"]).shape == (1, 32)


def test_weights_with_another_hash_are_refused(small_mpnet, monkeypatch):
    monkeypatch.setitem(encoders._WEIGHTS_SHA256, "mpnet", "0" * 64)
    with pytest.raises(PackagedModelUnavailable, match=r"model\.safetensors in all-mpnet-base-v2\.zip has the SHA-256"):
        encoders.pull_encoder("mpnet")
    with pytest.raises(EmbedderUnavailable, match="has not been pulled"):
        encoders.encoder_folder("mpnet")


def test_the_index_command_refuses_an_encoder_that_is_not_pulled_before_any_work(small_mpnet, halluc, tmp_path):
    (tmp_path / "a.txt").write_text("a verb is a word.")
    code, _, error = halluc("index", "build", tmp_path / "a.txt", "--out", tmp_path / "x.index", "--embedder", "mpnet")
    assert (code, error.count("\n")) == (2, 1)
    assert "fetch it with 'halluc models pull mpnet'" in error
    assert not (tmp_path / "x.index").exists()


def test_the_command_pulls_an_encoder_and_an_index_is_built_and_searched_with_it(small_mpnet, halluc, tmp_path):
    (tmp_path / "a.txt").write_text("a verb is a word.")
    code, out, error = halluc("models", "pull", "mpnet", "--json")
    assert code == 0, error
    assert "license Apache-2.0" in error.splitlines()[0]
    assert halluc("index", "build", tmp_path / "a.txt", "--out", tmp_path / "x.index", "--embedder", "mpnet")[0] == 0
    code, out, error = halluc("index", "search", "--index", tmp_path / "x.index", "what is a verb?")
    assert code == 0, error
    assert "a verb is a word." in out
