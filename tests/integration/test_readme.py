"""Every command and every code block of the README runs, in order, on a fresh copy of the files that it names."""

import importlib.util
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Commands that run elsewhere: `make demo` in its own test below, and `make test` is this run.
ELSEWHERE = ("make demo", "make test")

# Documented options that make a command short, for a command that begins with these words.
SHORTER = {
    "halluc detect examples": "--n-samples 2 --max-new-tokens 8",
    "halluc eval detectors": "--limit 30 --n-samples 2 --max-new-tokens 4",
    "halluc cove": "--max-new-tokens 24 --max-questions 2",
    "halluc train pairs": "--set n_samples=4 --set max_new_tokens=32",
    "halluc train dpo": "--set max_steps=1 --set gradient_accumulation_steps=1 --set eval_max_new_tokens=8",
    "halluc train grpo": "--set max_steps=1 --set max_completion_length=8",
}


def blocks():
    """(language, text) of each block of code in the README, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(block):
    """(command, lines of output that the README shows) of a console block."""
    parts = [part.splitlines() for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part]
    return [(command, [line for line in shown if line]) for command, *shown in parts]


def run(command, options, monkeypatch, capsys):
    """Run a `halluc` command in this process, which has loaded the libraries, and return what it prints."""
    from halluc.cli.main import main

    options += next((f" {shorter}" for start, shorter in SHORTER.items() if command.startswith(start)), "")
    monkeypatch.setattr(sys, "argv", [*shlex.split(command, comments=True), *options.split()])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code in (0, None), f"{command}: {printed.err}"
    return printed.out


def assert_shows(printed, shown):
    """Each line that the README shows is printed; "..." cuts a line short, and scores may differ slightly."""
    score = re.compile(r"\b[01]\.\d\d\b")
    lines = {score.sub("#", line): line for line in printed.splitlines()}
    for line in shown:
        pattern = score.sub("#", line)
        found = next(
            (own for key, own in lines.items() if key == pattern or (line.endswith("...") and key.startswith(pattern[:-4]))),
            None,
        )
        assert found is not None, f"not printed: {line}"
        expected, actual = ([float(number) for number in score.findall(text)] for text in (line, found))
        assert actual[: len(expected)] == pytest.approx(expected, abs=0.1), line


def shorten(examples):
    """Keep the first rows of files that a model answers: of prompts, enough for a preference pair."""
    for name, count in (("cities/prompts.jsonl", 12), ("xquad/unrelated_questions.jsonl", 3)):
        lines = (examples / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (examples / name).write_text("".join(lines[:count]), encoding="utf-8")


def test_every_block_runs_in_order_on_a_fresh_clone(lm, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.index"))
    shorten(tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names, shown_lines = {}, 0
    for language, block in blocks():
        if language == "python":
            exec(block, names)
            capsys.readouterr()
            continue
        assert language == "console"
        for command, shown in commands(block):
            if not command.startswith(ELSEWHERE):
                assert_shows(run(command, " --no-json" if shown else "", monkeypatch, capsys), shown)
                shown_lines += len(shown)

    assert shown_lines > 5
    shown = re.search(r"print\(answer\.text\)  # (.+) \.\.\.", (ROOT / "README.md").read_text(encoding="utf-8"))[1]
    assert names["answer"].text.startswith(shown)
    assert names["answer"].citations[0].passage_id == "Packet_switching#2"
    assert [verdict.label for verdict in names["answer"].verdicts] == ["supported"]
    assert [verdict.label for verdict in names["report"].verdicts] == ["refuted", "supported"]
    assert names["rule"].threshold < 1
    assert names["reward"](prompts=["?"], completions=[""]) == [0.0]
    checked = [json.loads(line) for line in Path("checked.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in checked] == ["sacks", "points", "safety"]
    for output in ("report.html", "calibration.html", "calibrated.jsonl", "ensemble.json", "dpo/evaluation.html", "grpo"):
        assert Path(output).exists()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"])
def test_the_files_and_tests_that_a_document_names_exist(document):
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in links if not ((ROOT / document).parent / target).exists()] == []
    paths = re.findall(r"`((?:benchmarks|calibration|examples|halluc|notebooks|retrieval|tests|training)/[\w./]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests] == []


def test_the_demo_shows_answers_without_and_with_passages(lm, tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    shutil.copytree(demo.DATA, tmp_path, dirs_exist_ok=True)
    question = json.loads((demo.DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()[0])
    lines = (demo.DATA / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    fewer = [line for i, line in enumerate(lines) if i < 10 or json.loads(line)["id"] == question["passage_id"]]
    (tmp_path / "passages.jsonl").write_text("\n".join(fewer), encoding="utf-8")
    monkeypatch.setattr(demo, "DATA", tmp_path)
    monkeypatch.setattr(demo, "QUESTIONS", 1)
    demo.main()
    printed = capsys.readouterr().out
    assert "Edict of Fontainebleau" in printed
    assert "[support " in printed
    assert "no answer: " in printed
