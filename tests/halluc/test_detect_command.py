"""`halluc detect` and `halluc eval detectors` as a user types them, in this process."""

import json
import sys

import pytest

from halluc.cli.main import main
from halluc.detectors.ensemble import Ensemble
from halluc.detectors.table import DETECTORS


@pytest.fixture
def halluc(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["halluc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_prompts_are_answered_and_scored(halluc, tmp_path):
    path = write(tmp_path / "p.jsonl", {"prompt": "What is the capital of France?"}, {"question": "Name a colour."})
    code, out, err = halluc(
        "detect", path, "-d", "perplexity,lexical_similarity", "--claims", "-k", 2, "--max-new-tokens", 8
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert "Paris" in report["rows"][0]["answer"]
    assert report["rows"][0]["scores"]["perplexity"] > 0
    assert report["rows"][0]["claims"][0]["scores"]["perplexity"] > 0
    assert report["total"]["tokens"] > 0


def test_given_answers_are_judged_and_detectors_that_cannot_run_are_listed(halluc, tmp_path):
    row = {"prompt": "What is the capital of France?", "answer": "Paris."}
    code, out, _ = halluc("detect", write(tmp_path / "p.jsonl", row), "-d", "perplexity,support", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["rows"][0]["answer"] == "Paris."
    assert "pass contexts or an index" in report["skipped"]["support"]


def test_an_evaluation_fits_an_ensemble_that_detect_runs(halluc, tmp_path):
    statements = [{"statement": f"{a} is larger than {b}.", "label": int(a > b)} for a in range(2, 10) for b in (1, 5, 20)]
    path = write(tmp_path / "s.jsonl", *statements)
    saved, plot = tmp_path / "e.json", tmp_path / "p.png"
    code, out, err = halluc(
        "eval", "detectors", "--data", path, "-d", "perplexity,max_token_entropy", "--plot", plot, "--save", saved,
        "--max-new-tokens", 4,
    )  # fmt: skip
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert {row["detector"] for row in report["detectors"]} == {"perplexity", "max_token_entropy", "ensemble"}
    assert report["n"] + report["n_fit"] == 24
    assert plot.exists()
    assert set(Ensemble.load(saved).members) <= {"perplexity", "max_token_entropy"}
    prompts = write(tmp_path / "p.jsonl", {"prompt": "Name a colour."})
    code, out, _ = halluc("detect", prompts, "-d", "perplexity", "--ensemble", saved, "--max-new-tokens", 4)
    assert 0 < json.loads(out)["rows"][0]["scores"]["ensemble"] < 1


def test_the_detectors_are_listed(halluc):
    code, out, _ = halluc("detect", "--list", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(DETECTORS)


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([], (), "holds no prompts"),
        ([{"text": "x"}], (), "line 1 of"),
        ([{"prompt": "x", "context": "c"}, {"prompt": "y"}], (), "line 2 of"),
        ([{"prompt": "x"}], ("-d", "nonsense"), "there is no detector 'nonsense'"),
        ([{"prompt": "x"}], ("--index", "nowhere.index"), "there is no index at nowhere.index"),
        ([{"prompt": "x"}], ("--ensemble", "nowhere.json"), "nowhere.json cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(halluc, tmp_path, rows, arguments, message):
    code, out, err = halluc("detect", write(tmp_path / "p.jsonl", *rows), *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("halluc: ")
    assert message in err


def test_detect_without_a_file_says_what_to_write(halluc):
    code, _, err = halluc("detect")
    assert code == 2
    assert "halluc detect PROMPTS.jsonl" in err


def test_evaluation_refuses_rows_of_no_kind(halluc, tmp_path):
    code, _, err = halluc("eval", "detectors", "--data", write(tmp_path / "x.jsonl", {"title": "x"}))
    assert code == 2
    assert "line 1 of" in err
