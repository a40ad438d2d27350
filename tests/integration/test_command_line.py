"""The `halluc` command as a user types it; in processes of its own only where the process matters."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import retrieval
from halluc.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "xquad"
HALLUC = str(Path(sys.executable).with_name("halluc"))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    lines = (EXAMPLES / "passages.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    (folder / "some.jsonl").write_text("\n".join(lines), encoding="utf-8")
    built = CliRunner().invoke(
        app, ["index", "build", f"{folder / 'some.jsonl'}", "--out", f"{folder / 'x.index'}", "--json"]
    )
    assert built.exit_code == 0, built.output
    assert json.loads(built.stdout)["passages"] >= 20
    return folder / "x.index"


def test_a_question_is_answered_with_its_source(index, lm, halluc):
    code, out, err = halluc("ask", "Who led the Panthers in sacks?", "--index", index, "--compare", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert "Short" in answer["text"]
    assert answer["citations"][0]["passage_id"] == "Super_Bowl_50#0"
    assert 0 < answer["confidence"] <= 1
    assert answer["verdicts"]
    assert answer["ungrounded"]


def test_documents_can_be_added_searched_and_described(index, tmp_path, halluc):
    def printed(*arguments):
        return json.loads(halluc(*arguments)[1])

    (tmp_path / "zebra.txt").write_text("Zebras graze on the savannah of Kenya.", encoding="utf-8")
    assert printed("index", "add", tmp_path / "zebra.txt", "--index", index)["added"] == 1
    hits = printed("index", "search", "What do zebras eat?", "--index", index, "--k", 1)
    assert hits[0]["passage"]["title"] == "zebra"
    facts = printed("index", "info", index)
    assert facts["embedder"] == "all-MiniLM-L6-v2"
    questions = tmp_path / "q.jsonl"
    questions.write_text(json.dumps({"question": "Who led the Panthers in sacks?", "passage_id": "Super_Bowl_50#0"}))
    rows = printed("index", "eval", questions, "--index", index)
    assert {row["mode"]: row["hit_at"]["1"] for row in rows}["hybrid"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", " ", "--index", "x"), "the question is empty"),
        (("ask", "why?", "--index", "nowhere.index"), "there is no index at nowhere.index"),
        (("index", "search", " ", "--index", "INDEX"), "the query is empty"),
        (("index", "build", "nowhere.txt", "--out", "new.index"), "nowhere.txt does not exist"),
        (("index", "build", "INDEX/segments/00000001/vectors.faiss", "--out", "new.index"), "has the type '.faiss'"),
        (("index", "build", str(EXAMPLES / "passages.jsonl"), "--out", "INDEX"), "already exists"),
        (("index", "eval", str(EXAMPLES / "passages.jsonl"), "--index", "INDEX"), "line 1 of"),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(index, halluc, arguments, message):
    code, out, err = halluc(*(argument.replace("INDEX", str(index)) for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("halluc: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("check", "Zebras graze.", "--context", EXAMPLES.parent / "check" / "source.txt"),
        ("cove", "What is DECnet?"),
        ("detect", EXAMPLES / "questions.jsonl"),
        ("mcp",),
        ("serve", "--port", 0),
    ],
)
def test_an_embedder_without_an_index_is_refused(halluc, command):
    code, _, err = halluc(*command, "--embedder", "mpnet")
    assert code == 2
    assert err == "halluc: --embedder is 'mpnet', but there is no index; pass --index as well, or leave out --embedder\n"


def test_the_installed_command_fails_as_the_function_does():
    done = subprocess.run([HALLUC, "index", "info", "nowhere.index"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("halluc: there is no index at nowhere.index")


def test_text_can_be_piped_and_a_search_without_hits_says_so(index, halluc):
    _, found, _ = halluc("index", "search", "Who led the Panthers in sacks?", "--index", index, "--no-json")
    assert found.startswith("1. ")
    _, nothing, _ = halluc("index", "search", "zzyzx", "--index", index, "--mode", "sparse", "--no-json")
    assert "zzyzx" in nothing


def test_labels_have_the_same_names_in_text_and_page(index, tmp_path, halluc):
    """The same words in the text, in the page, and nowhere the names of the data."""
    answer = "Kawann Short led the team in sacks. The Panthers defense gave up 512 points. He likes tea."
    page = tmp_path / "page.html"
    code, shown, err = halluc("check", answer, "--index", index, "--html", page, "--no-json")
    assert code == 0, err
    words = re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8").partition("<body>")[2].partition("<script>")[0])
    for text in (shown, words):
        assert "supported" in text
        assert "contradicted" in text
        assert not re.search("refuted|not_enough_info|not enough info|unverified", text)


def test_escapes_in_documents_do_not_reach_the_terminal(tmp_path, halluc):
    document = tmp_path / "zebra \x1b]0;title\x07.txt"
    document.write_text("Zebras graze. \x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b2J", encoding="utf-8")
    code, out, err = halluc("index", "build", document, "--out", tmp_path / "z.index", "--no-json")
    assert code == 0, err
    outputs = [out + err]
    for command in (("index", "search", "zebras"), ("ask", "What do zebras do?", "--min-answerability=0")):
        for form in ("--json", "--no-json"):
            _, out, err = halluc(*command, "--index", tmp_path / "z.index", form)
            assert "Zebras graze." in out
            outputs.append(out + err)
    for printed in outputs:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed)


def test_an_endpoint_that_is_down_fails_with_code_1(index, halluc):
    code, _, err = halluc(
        "ask", "why?", "--index", index, "--model", "http://127.0.0.1:9/v1#m", "--verifier", "none", "--min-answerability=0"
    )
    assert code == 1
    assert err.startswith("halluc: ")
    assert "127.0.0.1:9" in err
    assert "Traceback" not in err


def test_every_command_has_help():
    from typer.main import get_command

    def commands(group, path=()):
        yield path, group
        for name, command in getattr(group, "commands", {}).items():
            yield from commands(command, (*path, name))

    known = dict(commands(get_command(app)))
    assert {("ask",), ("check",), ("index", "build"), ("train", "dpo")} <= set(known)
    runner = CliRunner()
    for path, command in known.items():
        shown = runner.invoke(app, [*path, "--help"])
        assert shown.exit_code == 0
        assert "Usage" in shown.stdout
        assert command.help, path
        assert [parameter.name for parameter in command.params if not parameter.help] == [], path


def test_importing_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time; t = time.process_time(); import halluc, retrieval, calibration, training;"
        "heavy = {'torch', 'transformers', 'faiss', 'trl', 'matplotlib'};"
        "print(time.process_time() - t, sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
    assert all(run.strip().endswith("[]") for run in runs)
    assert min(float(run.split()[0]) for run in runs) < 0.3


# What takes a second or more to import, and what brings it in.
_HEAVY = ("torch", "transformers", "faiss", "sklearn", "spacy", "sentence_transformers", "pandas", "datasets", "fastapi")
_LOADED = (
    "import sys; from halluc.cli.main import main\n"
    "try: main()\n"
    "except SystemExit as end: assert not end.code, end.code\n"
    "print('loaded:', *sys.modules)"
)


def _loaded_by(*arguments):
    command = [sys.executable, "-c", _LOADED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_help_loads_no_heavy_library():
    assert set(_HEAVY) & _loaded_by("--help") == set()


def test_a_check_loads_neither_the_networks_of_transformers_nor_scikit_learn(tmp_path):
    (tmp_path / "source.txt").write_text("The bridge opened in 1987. It crosses the river.")
    loaded = _loaded_by("check", "The bridge opened in 1987.", "--context", tmp_path / "source.txt")
    assert "halluc.verification.pair_verifier" in loaded
    heavy = {
        "sentence_transformers",
        "sklearn",
        "pandas",
        "faiss",
        "datasets",
        "transformers.modeling_utils",
        "torch._dynamo",
    }
    assert heavy & loaded == set()


def test_a_search_with_the_default_embedder_does_not_load_sentence_transformers(tmp_path, halluc):
    (tmp_path / "a.txt").write_text("The bridge opened in 1987.")
    code, _, err = halluc("index", "build", tmp_path / "a.txt", "--out", tmp_path / "i")
    assert code == 0, err
    loaded = _loaded_by("index", "search", "When did the bridge open?", "--index", tmp_path / "i")
    assert "retrieval.bert" in loaded
    assert {"sentence_transformers", "sklearn", "transformers.modeling_utils", "torch._dynamo"} & loaded == set()


def test_a_shadowed_sibling_is_named(tmp_path):
    (tmp_path / "retrieval.py").write_text("")
    done = subprocess.run([sys.executable, "-c", "import halluc"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ShadowedPackage" in done.stderr
    assert str(tmp_path / "retrieval.py") in done.stderr


def test_an_overwritten_sibling_is_named_with_the_distribution_that_did_it(tmp_path):
    """The distribution 'uncertainty-calibration' installs a package 'calibration' over ours, into the same folder."""
    home = Path(retrieval.__file__).parent.parent
    for name in ("halluc", "retrieval", "calibration", "training"):
        shutil.copytree(home / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def imported():
        command = [sys.executable, "-c", "import halluc; print(halluc.__file__)"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert imported().stdout.strip() == str(tmp_path / "halluc" / "__init__.py")
    (tmp_path / "calibration" / "__init__.py").write_text("from calibration.utils import *\n")
    other = tmp_path / "uncertainty_calibration-0.1.4.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: uncertainty-calibration\nVersion: 0.1.4\n")
    (other / "top_level.txt").write_text("calibration\n")
    done = imported()
    assert "ShadowedPackage" in done.stderr
    assert "was overwritten by uncertainty-calibration, which installs a package 'calibration' too" in done.stderr
