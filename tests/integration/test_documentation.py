"""The documentation is built without a warning, and its snippets and commands run.

On a page, blocks of Python and of console run in order, in a copy of `examples/` with an index `xquad.index`. A block of
Python with a title is a file; a command that ends in "&" is a server, which is on port 8000 in the text and on a free one
here. Blocks of bash are for another machine and do not run.
"""

import html.parser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import assert_shows, commands, run, shorten

# Their default standard error is the one at the time of their import, which must be a file.
pytest.importorskip("mcp.client.stdio", reason="the extra mcp is not installed")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAGES = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Documented options that make a command short, for a command that begins with these words.
SHORTER = {
    "halluc detect examples": " --n-samples 2 --max-new-tokens 8",
    "halluc eval detectors": " --limit 30 --n-samples 2 --max-new-tokens 4",
    "halluc cove": " --max-new-tokens 24 --max-questions 2",
    # test_workers.py shares the rows and texts of these two commands among workers.
    "halluc check --batch examples/check/answers.jsonl --out shared": " --workers 1",
    "halluc index build examples/xquad/passages.jsonl --out shared": " --workers 1",
    "halluc train pairs": " --set n_samples=4 --set max_new_tokens=32",
    "halluc train dpo": " --set max_steps=1 --set gradient_accumulation_steps=1",
}


def runs(page):
    return any(language in ("python", "console") for language, _, _ in blocks(page))


def blocks(page):
    return BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The examples with fewer rows: passages that the pages ask about, and prompts of which some give a preference pair."""
    folder = tmp_path_factory.mktemp("documentation") / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("*.index"))
    shorten(folder)
    passages = folder / "xquad" / "passages.jsonl"
    lines = passages.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["title"] in ("Packet_switching", "Super_Bowl_50", "Huguenot")]
    passages.write_text("".join(kept), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def index(examples, tmp_path_factory):
    from retrieval import PassageIndex, load_documents, split_documents

    folder = tmp_path_factory.mktemp("documentation") / "xquad.index"
    PassageIndex.build(folder, split_documents(load_documents(examples / "xquad" / "passages.jsonl")))
    return folder


@pytest.fixture
def servers():
    """Starts servers, and stops them after the test; `real` puts the real address into a text."""
    started, addresses = [], []

    def start(command):
        arguments = shlex.split(command.removesuffix("&").replace("--port 8000", "--port 0"))
        process = subprocess.Popen([str(BIN / arguments[0]), *arguments[1:], "--json"], stdout=subprocess.PIPE, text=True)
        started.append(process)
        url = json.loads(process.stdout.readline())["url"]
        addresses.append(url.removesuffix("/v1"))

    def real(text):
        return text.replace("http://127.0.0.1:8000", addresses[-1]) if addresses else text

    start.real = real
    yield start
    for process in started:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)])
def test_the_blocks_of_a_page_run_in_order(page, lm, examples, index, servers, tmp_path, monkeypatch, capsys):
    shutil.copytree(examples, tmp_path / "examples")
    shutil.copytree(index, tmp_path / "xquad.index")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    names = {"__name__": "page"}
    for language, title, block in blocks(page):
        if title:
            Path(title).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(servers.real(block), page, "exec"), names)
            capsys.readouterr()
        elif language == "console":
            for command, shown in commands(block):
                if command.endswith("&"):
                    servers(command)
                    continue
                command = servers.real(command)
                if command.startswith("halluc "):
                    short = next((options for start, options in SHORTER.items() if command.startswith(start)), "")
                    assert_shows(run(command, short + (" --no-json" if shown else ""), monkeypatch, capsys), shown)
                else:
                    plugin = "-p halluc.integrations.pytest_plugin"
                    line = f"{sys.executable} -m {command} {plugin}" if command.startswith("pytest ") else command
                    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
                    done = subprocess.run(shlex.split(line), env=environment, capture_output=True, text=True, check=False)
                    assert done.returncode == 0, done.stdout + done.stderr


def test_only_commands_for_other_machines_are_left_out():
    """What is written as bash needs a service, a GPU, an installation or an answer of somebody else."""
    reason = re.compile(
        r"\b(?:pip|git|docker|postgresql|qdrants|vllm|accelerate|vllm-serve|make|python benchmarks/|openssl|RAY_ADDRESS)\b"
    )
    for page in PAGES:
        for language, _, block in blocks(page):
            if language == "bash":
                assert reason.search(block), f"{page}: {block}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Links(html.parser.HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "preconnect"):
            self.loaded.append(values["href"])


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        assert [address for address in links.loaded if "://" in address] == [], page


def test_the_reference_has_every_public_name(site):
    for package in ("halluc", "retrieval", "calibration", "training", "halluc.evaluation", "halluc.redteam"):
        stub = (ROOT / package.replace(".", "/") / "__init__.pyi").read_text(encoding="utf-8")
        page = (site / "reference" / package / "index.html").read_text(encoding="utf-8")
        names = re.findall(r" as (\w+)$", stub, re.MULTILINE)
        assert names
        assert [name for name in names if not re.search(rf'id="{package}[\w.]*\.{name}"', page)] == []


def test_every_command_is_on_the_page_of_commands(site):
    from typer.main import get_command

    from halluc.cli.main import app

    page = (site / "reference/commands/index.html").read_text(encoding="utf-8")
    for name, command in get_command(app).commands.items():
        if name in ("eval", "train"):
            continue
        for path in [f"{name} {sub}" for sub in command.commands] if hasattr(command, "commands") else [name]:
            assert f"<code>halluc {path}</code>" in page, path


def test_sections_and_notebooks_of_the_repository_are_on_the_site(site):
    assert "retrieval hit@1" in (site / "benchmarks/index.html").read_text(encoding="utf-8")
    assert "halluc-mpnet" in (site / "benchmarks/large-verifier/index.html").read_text(encoding="utf-8")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert "data:image/png" in (site / "notebooks" / notebook.stem / "index.html").read_text(encoding="utf-8")
