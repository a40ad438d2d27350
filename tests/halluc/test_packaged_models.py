"""Packaged language models: conversion and the command line. Pulling is tested in tests/retrieval/test_packaged.py."""

import json
import re
from dataclasses import replace
from functools import partial

import pytest
from wheelhouse import packaged, write_split_file

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.models import load_model
from halluc.models import packaged_models as pulling
from retrieval.packaged import models_directory


@pytest.fixture
def small(wheelhouse, tmp_path, monkeypatch):
    """A model in a small wheel in place of the default model, "converted" to zeros."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    model = packaged(write_split_file(wheelhouse, b"gguf", name="small.gguf", parts=1))
    monkeypatch.setitem(pulling.PACKAGED_MODELS, pulling.default_model(), model)
    monkeypatch.setitem(pulling.LANGUAGE_MODELS, pulling.default_model(), model)

    def convert(gguf, folder, dtype):
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(1000))

    monkeypatch.setattr("halluc.models.gguf_conversion.convert_gguf", convert)
    return model


def test_a_pulled_model_is_an_ordinary_safetensors_folder(lm):
    folder = pulling.pulled_path("smollm2-135m")
    assert (folder / "model.safetensors").stat().st_size > 5e8
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert pulling.pull("smollm2-135m") == folder


def test_a_model_that_cannot_be_fetched_is_one_sentence_with_what_to_do(small, monkeypatch):
    wheel = replace(small.file.wheels[0], version="99.9.9")
    missing = replace(small, file=replace(small.file, wheels=(wheel,)))
    monkeypatch.setitem(pulling.LANGUAGE_MODELS, pulling.default_model(), missing)
    with pytest.raises(ModelUnavailable, match=r"99\.9\.9' failed .* check pip's index settings .* name another") as caught:
        load_model("default")
    assert "\n" not in str(caught.value)
    assert pulling.pulled_path() is None


def test_an_encoder_is_refused_as_a_language_model():
    with pytest.raises(InvalidInput, match=r"^mpnet is no language model \(embedder, .*pass one of: smollm2-135m, "):
        load_model("mpnet")


def test_a_damaged_folder_of_the_user_is_one_sentence(lm, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in pulling.pulled_path("smollm2-135m").iterdir():
        if path.name == "model.safetensors":
            (folder / path.name).write_bytes(path.read_bytes()[:100_000])
        else:
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelUnavailable, match="could not be loaded as a folder") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    (folder / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelUnavailable, match="could not be loaded as a folder"):
        load_model(folder)


def test_the_command_line_lists_models_with_sizes_and_licenses(small, halluc):
    code, out, _ = halluc("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)["models"]}
    assert code == 0
    assert [name for name, row in rows.items() if row["default"]] == [pulling.default_model()]
    assert {row["path"] for row in rows.values()} == {None}
    assert rows["qwen2.5-coder-0.5b"]["disk_bytes"] == 999_537_000
    assert rows["mpnet"]["license"] == "Apache-2.0"
    assert rows["mpnet"]["download_bytes"] == 404_534_822
    assert len(rows["mpnet"]["packages"]) == 5
    _, out, _ = halluc("models", "list", "--no-json")
    assert "halluc models pull NAME" in out
    assert re.search(r"smollm2-135m \* .* language .* Apache-2\.0 .* 0 MB .* 0 MB .* no ", out)
    assert re.search(r"mpnet .* Apache-2\.0 .* 405 MB .* 438 MB .* no ", out)


def test_the_environment_says_what_default_stands_for(small, halluc, monkeypatch):
    monkeypatch.setenv("HALLUC_MODEL", "qwen2.5-coder-1.5b")
    rows = json.loads(halluc("models", "list", "--json")[1])["models"]
    assert [row["name"] for row in rows if row["default"]] == ["qwen2.5-coder-1.5b"]
    monkeypatch.setenv("HALLUC_MODEL", "gpt-99")
    with pytest.raises(InvalidInput, match="HALLUC_MODEL is 'gpt-99'; set it to one of: smollm2-135m, "):
        load_model("default")


def test_a_model_that_is_fetched_in_part_is_listed_as_such(small, halluc):
    partial = models_directory() / f".{small.name}.partial"
    partial.mkdir(parents=True)
    (partial / "small-model-part1-1.0.whl").write_bytes(bytes(10))
    assert "in part" in halluc("models", "list", "--no-json")[1]
    rows = json.loads(halluc("models", "list")[1])["models"]
    assert rows[0]["interrupted_bytes"] == small.file.download_bytes


def test_a_model_that_is_not_packaged_is_refused_with_the_names_of_those_that_are(halluc):
    code, _, error = halluc("models", "pull", "gpt-99")
    assert code == 2
    assert error.startswith("halluc: there is no packaged model 'gpt-99'; pull one of: smollm2-135m, ")


def test_the_command_line_fetches_again_by_force_and_says_why_a_copy_is_replaced(small, halluc, caplog):
    pull = partial(halluc, "models", "pull")
    for arguments, fetched in (([], True), ([], False), (["--force"], True)):
        code, out, error = pull(*arguments)
        assert code == 0
        assert json.loads(out)["path"] == str(pulling.pulled_path())
        assert error.startswith("halluc: small: 0 MB to download; ") == fetched
    (pulling.pulled_path() / "model.safetensors").write_bytes(b"0")
    assert json.loads(halluc("models", "list")[1])["models"][0]["path"] is None
    code, _, error = pull()
    assert code == 0
    assert "fetching small-model-part1" in error
    assert "is damaged (model.safetensors does not have its stored hash); fetching it again" in caplog.text
