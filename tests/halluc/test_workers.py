"""Work in several processes, on Ray with two workers: in order, whatever fails, and with the results of one process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra ray is not installed")

from halluc.errors import InvalidInput
from halluc.workers import _connect, start_workers
from retrieval import PassageIndex

ROOT = Path(__file__).parents[2]
FACT = "Zebras graze on the savannah of Kenya."
# Rows that one process checks in three batches.
ROWS = [{"id": f"row {n}", "answer": f"Zebra {n} does not graze.", "context": FACT} for n in range(40)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine with two cores, which every test connects to, as to a cluster."""
    import ray

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    context = ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000
    )
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture
def batch(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    lines[3], lines[20] = "{", json.dumps({"answer": " ", "context": FACT})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def results(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_numbers(value):
    """A result with its floats replaced, and the floats."""
    if isinstance(value, float):
        return "number", [value]
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, (list, tuple)):
        parts = [without_numbers(item) for item in value]
        return [part for part, _ in parts], [number for _, numbers in parts for number in numbers]
    return value, []


def test_more_workers_than_the_machine_has_cores_are_refused_before_any_starts(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InvalidInput, match=r"the number of workers is 100000, but this machine has [0-9]+ CPU cores"):
        _connect(None, 100_000)


def test_results_come_in_order_from_both_workers_while_batches_are_taken_as_needed():
    taken = []

    def load():
        def work(number):
            time.sleep(0.3 if number == 0 else 0.05)
            return number, os.getpid()

        return work

    def batches():
        for number in range(30):
            taken.append(number)
            yield number

    with start_workers(2, load) as workers:
        pairs = []
        for pair in workers.map(batches()):
            pairs.append(pair)
            assert len(taken) <= len(pairs) + 10
    assert [number for number, _ in pairs] == list(range(30))
    assert len({process for _, process in pairs}) == 2


def test_an_error_of_the_work_is_raised_as_it_is():
    def load():
        def work(number):
            if number == 2:
                raise InvalidInput("batch 2 cannot be used")
            return number

        return work

    received = []
    with start_workers(2, load) as workers, pytest.raises(InvalidInput, match="batch 2 cannot be used"):
        received += workers.map(range(5))


def test_a_batch_whose_worker_is_killed_is_done_again(tmp_path):
    marker = tmp_path / "killed"

    def load():
        def work(number):
            if number == 3 and not marker.exists():
                marker.write_text("")
                os._exit(9)
            return number

        return work

    with start_workers(2, load) as workers:
        assert list(workers.map(range(8))) == list(range(8))
    assert marker.exists()


def test_two_workers_write_what_one_process_writes(halluc, batch, tmp_path):
    outputs = {}
    for workers in (1, 2):
        out = tmp_path / f"{workers}.jsonl"
        code, printed, err = halluc("check", "--batch", batch, "--out", out, "--workers", workers)
        assert code == 2
        assert json.loads(printed)["checked"] == 38
        assert [line.split(" of ")[0] for line in err.splitlines()] == ["halluc: line 4", "halluc: line 21"]
        outputs[workers] = [without_numbers(row) for row in results(out)]
    one, two = outputs[1], outputs[2]
    assert [text for text, _ in two] == [text for text, _ in one]
    for (_, numbers), (_, expected) in zip(two, one, strict=True):
        assert numbers == pytest.approx(expected, abs=1e-4)


def test_a_run_with_workers_resumes(halluc, batch, tmp_path):
    out = tmp_path / "out.jsonl"
    halluc("check", "--batch", batch, "--out", out)
    complete = out.read_bytes()
    lines = complete.splitlines(keepends=True)
    # What a killed run leaves: complete lines, and the beginning of one.
    out.write_bytes(b"".join(lines[:17]) + lines[17][:40])
    _, printed, _ = halluc("check", "--batch", batch, "--out", out, "--workers", 2)
    assert (json.loads(printed)["resumed"], json.loads(printed)["checked"]) == (17, 21)
    assert [row["line"] for row in results(out)] == [json.loads(line)["line"] for line in lines]


def test_an_index_built_by_workers_finds_the_same(halluc, tmp_path, monkeypatch):
    monkeypatch.setattr("halluc.workers._TEXTS", 10)
    passages = (ROOT / "examples/xquad/passages.jsonl").read_text(encoding="utf-8").splitlines()[:35]
    (tmp_path / "passages.jsonl").write_text("\n".join(passages), encoding="utf-8")
    for workers in (1, 2):
        path = tmp_path / f"{workers}.index"
        code, _out, err = halluc("index", "build", tmp_path / "passages.jsonl", "--out", path, "--workers", workers)
        assert code == 0, err
    one, two = (PassageIndex.open(tmp_path / f"{workers}.index") for workers in (1, 2))
    assert one.info().fingerprint == two.info().fingerprint
    hits, expected = (index.search("Who led the team in sacks?", 5, "dense") for index in (two, one))
    assert [hit.passage.id for hit in hits] == [hit.passage.id for hit in expected]
    assert np.allclose([hit.similarity for hit in hits], [hit.similarity for hit in expected], atol=1e-4)


def test_a_process_of_its_own_starts_ray_or_uses_the_cluster_of_ray_address(cluster, tmp_path):
    batch = tmp_path / "rows.jsonl"
    batch.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:2]) + "{\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [str(Path(sys.executable).with_name("halluc")), "check", "--batch", str(batch), "--workers", "2"]
    for name, extra in (("own", {}), ("cluster", {"RAY_ADDRESS": cluster})):
        out = tmp_path / f"{name}.jsonl"
        done = subprocess.run(
            [*command, "--out", str(out)], env={**environment, **extra}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        assert json.loads(done.stdout)["checked"] == 2
        assert [line.split(" of ")[0] for line in done.stderr.splitlines()] == ["halluc: line 3"]
        assert [row["line"] for row in results(out)] == [1, 2]


def test_workers_that_cannot_work_are_refused(halluc, batch, tmp_path, monkeypatch):
    code, _, err = halluc("check", "Zebras graze.", "--context", batch, "--workers", 2)
    assert code == 2
    assert "--workers share the rows of --batch" in err
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = halluc("check", "--batch", batch, "--out", tmp_path / "x.jsonl", "--workers", 2)
    assert code == 2
    assert err == "halluc: ray is not installed; install it with pip install 'halluc[ray]'\n"
    assert not (tmp_path / "x.jsonl").exists()


def assert_same(value, expected):
    """The floats of models are equal to a tolerance, since a batch may have other rows; all else is equal."""
    (value, numbers), (expected, expected_numbers) = without_numbers(value), without_numbers(expected)
    assert value == expected
    assert numbers == pytest.approx(expected_numbers, abs=1e-3)


@pytest.mark.parametrize("benchmark", ["wmdp", "nq"])
def test_benchmarks_have_the_outcomes_of_one_process_and_resume(halluc, tmp_path, monkeypatch, benchmark):
    """One benchmark of likelihoods, and one of generation."""
    monkeypatch.setattr("halluc.evaluation.runner._CHUNK", 4)
    path = tmp_path / "rows.jsonl"
    rows = [
        {"question": f"What is {n} plus {n}?", "choices": ["1", "2", "3", "4"], "answer": n % 4}
        if benchmark == "wmdp"
        else {"question": f"What is {n} plus {n}?", "answer": [str(2 * n)]}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    runs = {}
    for workers in (1, 2):
        out = tmp_path / f"{workers}.json"
        options = ["--data", path, "--cache", tmp_path / f"cache {workers}", "--out", out, "--max-new-tokens", 4]
        code, _, err = halluc("eval", benchmark, *options, "--workers", workers)
        assert (code, err) == (0, "")
        runs[workers] = json.loads(out.read_text(encoding="utf-8"))
    assert_same(runs[2]["rows"], runs[1]["rows"])
    # Half of the outcomes of the second run are lost; the rest are not computed again.
    (cache,) = (tmp_path / "cache 2").glob("*.jsonl")
    lines = cache.read_bytes().splitlines(keepends=True)
    cache.write_bytes(b"".join(lines[:7]) + lines[7][:10])
    code, printed, _ = halluc("eval", benchmark, *options, "--workers", 2)
    assert (code, json.loads(printed)["cached"]) == (0, 6)
    assert_same(json.loads(out.read_text(encoding="utf-8"))["rows"], runs[2]["rows"])
    monkeypatch.setattr("halluc.workers.start_workers", lambda *_: pytest.fail("there is nothing to do"))
    assert halluc("eval", benchmark, *options, "--workers", 2)[0] == 0


@pytest.mark.parametrize("command", [["detect"], ["eval", "detectors", "--data"]], ids=["detect", "eval detectors"])
def test_detection_has_the_scores_of_one_process(halluc, tmp_path, monkeypatch, command):
    rows = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n + n % 2)} for n in range(20)]
    if command[0] == "eval":
        rows = [{**row, "response": row["answer"], "hallucinated": n % 2 == 1} for n, row in enumerate(rows)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr("halluc.detectors.detect_batches._BATCH_ROWS", 8)
    options = ["--detectors", "perplexity,eccentricity", "--n-samples", 2, "--max-new-tokens", 4]
    reports = {}
    for workers in (1, 2):
        code, out, err = halluc(*command, path, *options, "--workers", workers)
        assert (code, err) == (0, "")
        reports[workers] = json.loads(out)
    assert_same(strip_times(reports[2]), strip_times(reports[1]))


def strip_times(value):
    if isinstance(value, dict):
        return {key: strip_times(item) for key, item in value.items() if "seconds" not in key}
    return [strip_times(item) for item in value] if isinstance(value, list) else value
