"""The files that hosting services read: workflows and the action, the image, and the forms of issues."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-actions", "action.yml"),
        ("vendor.compose-spec", "compose.yaml"),
    ],
)
def test_a_file_follows_its_schema(schema, pattern):
    files = sorted(map(str, ROOT.glob(pattern)))
    assert files
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_forms_of_issues_ask_for_a_version_and_security_reports_are_private():
    bug = (ROOT / ".github/ISSUE_TEMPLATE/bug_report.yml").read_text(encoding="utf-8")
    assert "halluc --version" in bug
    assert "security/advisories" in (ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text(encoding="utf-8")


def test_the_image_copies_what_the_distribution_needs_and_installs_extras_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (extras,) = re.findall(r"'\.\[([\w,-]+)\]'", image)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", image, re.MULTILINE) for name in line.split()}
    assert copied == kept
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert all((ROOT / name).exists() for name in copied)


def run_action(folder, **inputs):
    """Run the step of the action that checks, as the service would; gives exit code, outputs and summary page."""
    step = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "check")
    values = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()} | inputs
    env = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: values[match[1]], text)
        for name, text in step["env"].items()
    }
    files = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    done = subprocess.run(
        [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **env, **files, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())
    return done, json.loads(outputs["summary"]), (folder / "summary").read_text()


def test_the_action_fails_where_an_answer_has_too_little_support(tmp_path):
    rows = [
        {"answer": "Zebras graze in Kenya.", "context": "Zebras graze on the savannah of Kenya."},
        {"answer": "Zebras do not graze.", "context": "Zebras graze on the savannah of Kenya."},
    ]
    (tmp_path / "my answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done, summary, page = run_action(tmp_path, answers="my answers.jsonl")
    assert done.returncode == 1, done.stderr
    assert (summary["checked"], summary["below"]) == (2, 1)
    assert '"below": 1' in page
    assert (tmp_path / "halluc-report.html").is_file()
    done, summary, _page = run_action(tmp_path, answers="my answers.jsonl", **{"fail-under": "0.01"})
    assert done.returncode == 0, done.stderr
    assert (summary["resumed"], summary["below"]) == (2, 0)
