"""The pytest plugin, in test runs of its own."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from halluc import load_verifier
from halluc.integrations.pytest_plugin import assert_grounded

ROOT = Path(__file__).parents[2]
FACT = "Zebras graze on the savannah of Kenya."

TESTS = """
seen = []

def test_grounded(assert_grounded, halluc_verifier):
    seen.append(halluc_verifier)
    report = assert_grounded("Zebras graze in Kenya.", "Zebras graze on the savannah of Kenya.")
    assert report.verifier == halluc_verifier.name

def test_not_grounded(assert_grounded, halluc_verifier):
    assert seen == [halluc_verifier]
    assert_grounded("Zebras do not graze.", "Zebras graze on the savannah of Kenya.")
"""


def run_pytest(folder, *options):
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "halluc.integrations.pytest_plugin", *options, "test_answers.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_test_run_has_one_verifier_and_names_what_is_not_supported(tmp_path):
    (tmp_path / "test_answers.py").write_text(TESTS)
    done = run_pytest(tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Zebras do not graze." in done.stdout
    assert "evidence: Zebras graze on the savannah of Kenya." in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_the_verifier_is_chosen_by_option_and_by_configuration(tmp_path):
    (tmp_path / "test_answers.py").write_text("def test_it(halluc_verifier):\n    pass\n")
    assert re.search("ModelUnavailable: .*nowhere", run_pytest(tmp_path, "--halluc-verifier", "./nowhere").stdout)
    (tmp_path / "pytest.ini").write_text("[pytest]\nhalluc_verifier = ./elsewhere\n")
    assert re.search("ModelUnavailable: .*elsewhere", run_pytest(tmp_path).stdout)


def test_loading_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, time, pytest; t = time.process_time(); import halluc.integrations.pytest_plugin;"
        "heavy = {'torch', 'transformers', 'faiss', 'numpy', 'retrieval.index'};"
        "print(time.process_time() - t, sorted(heavy & set(sys.modules)))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(3)
    ]
    assert all(run.strip().endswith("[]") for run in runs)
    assert min(float(run.split()[0]) for run in runs) < 0.1


def test_pytest_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"halluc": "halluc.integrations.pytest_plugin"}


def test_claims_must_be_supported_or_the_mean_must_reach_a_score():
    verifier = load_verifier()
    mixed = "Zebras graze in Kenya. Zebras are made of steel."
    assert assert_grounded("Zebras graze in Kenya.", FACT, verifier=verifier).score > 0.5
    with pytest.raises(AssertionError, match="claims that the evidence does not support"):
        assert_grounded(mixed, FACT, verifier=verifier)
    assert assert_grounded(mixed, FACT, verifier=verifier, min_score=0.1).score < 0.9
    with pytest.raises(AssertionError, match=r"the mean support 0\.\d\d is below 0\.95"):
        assert_grounded(mixed, FACT, verifier=verifier, min_score=0.95)


def test_an_answer_of_which_nothing_can_be_checked_fails_unless_that_is_allowed():
    with pytest.raises(AssertionError, match="nothing in the answer could be checked: the answer is an abstention"):
        assert_grounded("I don't know.", FACT, verifier=load_verifier())
    assert assert_grounded("I don't know.", FACT, verifier=load_verifier(), allow_unchecked=True).score is None
