"""`halluc detect` and `halluc eval detectors` as a user types them, in this process."""

import json

import numpy as np
import pytest

from calibration.estimate import Estimate
from halluc.cli.evaluate import _print
from halluc.detectors.ensemble import Ensemble
from halluc.detectors.evaluation import DetectorEvaluation, DetectorQuality
from halluc.detectors.table import DETECTORS


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_prompts_are_answered_and_scored(halluc, tmp_path):
    path = write(tmp_path / "p.jsonl", {"prompt": "What is the capital of France?"}, {"question": "Name a color."})
    code, out, err = halluc(
        "detect", path, "-d", "perplexity,lexical_similarity", "--claims", "-n", 2, "--max-new-tokens", 8
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert "Paris" in report["rows"][0]["answer"]
    assert report["rows"][0]["scores"]["perplexity"] > 0
    assert report["rows"][0]["claims"][0]["scores"]["perplexity"] > 0
    assert report["total"]["tokens"] > 0


def test_answers_in_the_rows_are_judged_and_detectors_that_cannot_run_are_listed(halluc, tmp_path):
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
    prompts = write(tmp_path / "p.jsonl", {"prompt": "Name a color."})
    code, out, _ = halluc("detect", prompts, "-d", "perplexity", "--ensemble", saved, "--max-new-tokens", 4)
    assert 0 < json.loads(out)["rows"][0]["scores"]["ensemble"] < 1


def test_the_table_of_an_evaluation_is_not_cut_off_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    rates = Estimate(0.701, 0.5, 0.87), Estimate(0.402, -0.08, 0.81)
    row = DetectorQuality("claim_conditioned_probability", "sampling", rates[0], 0.75, rates[1], 0.08, 1.25, 1234, 0.0)
    ensemble = Ensemble((), np.empty((0, 101)), np.empty(0), 0.0)
    _print(DetectorEvaluation((row,), 30, 16, 30, ensemble, {}, {}, 1.0))
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = ["".join("".join(column).split()) for column in zip(*lines, strict=True)]
    assert cells[:4] == ["claim_conditioned_probability", "0.701(0.50–0.87)", "0.750", "0.402(-0.08–0.81)"]


def test_the_detectors_are_listed(halluc):
    code, out, _ = halluc("detect", "--list", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(DETECTORS)


def test_each_row_may_have_an_answer_and_a_context(halluc, tmp_path):
    """Mixed rows work."""
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "What is the capital of France?"},
        {"prompt": "Where is the tower?", "answer": "In Oslo.", "context": "The tower is in Oslo."},
        {"prompt": "Name a color.", "answer": "Blue.", "context": None},
        {"question": "Where is the bridge?", "answer": None, "context": "The bridge is in Rome."},
    )
    code, out, err = halluc("detect", path, "-d", "perplexity,support,context_attribution", "--max-new-tokens", 8)
    assert (code, err) == (0, "")
    report = json.loads(out)
    rows = report["rows"]
    assert [row["row"] for row in rows] == [f"line {number} of {path}" for number in range(1, 5)]
    assert "Paris" in rows[0]["answer"]
    assert (rows[1]["answer"], rows[2]["answer"]) == ("In Oslo.", "Blue.")
    assert "Rome" in rows[3]["answer"]
    assert all(row["scores"]["perplexity"] > 0 for row in rows)
    for name in ("support", "context_attribution"):
        assert [row["scores"][name] is None for row in rows] == [True, False, True, False]


BROKEN_ROWS = {
    '{"prompt": "half \\ud83d."}': "has a lone surrogate",
    '{"prompt": "x", "context": "c \\udc00"}': "has a lone surrogate",
    '{"prompt": " "}': "has the prompt ' '; write a text",
    '{"prompt": "x", "answer": 3}': "has the answer 3; write a text",
    '{"prompt": ["x"]}': "has an unusable prompt: a prompt is neither text nor a list of messages",
    '{"prompt": [{"role": "user"}]}': "has an unusable prompt: the content of a user turn is None",
    '{"prompt": [{"role": "user", "content": "x"}], "context": "c"}': "has a context and a conversation",
    '{"prompt": ': "is not JSON",
}


def test_a_row_that_cannot_be_used_is_named_and_the_others_are_scored(halluc, tmp_path):
    path = tmp_path / "p.jsonl"
    lines = ['{"prompt": "Name a color."}', *BROKEN_ROWS, '{"prompt": "Name a city."}']
    path.write_text("\n".join(lines), encoding="utf-8")
    code, out, err = halluc("detect", path, "-d", "perplexity", "--max-new-tokens", 4)
    assert code == 2
    assert [row["row"] for row in json.loads(out)["rows"]] == [f"line 1 of {path}", f"line 10 of {path}"]
    assert err.count("\n") == len(BROKEN_ROWS)
    for number, message in enumerate(BROKEN_ROWS.values(), 2):
        assert f"halluc: line {number} of {path} {message}" in err


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([], (), "holds no prompts"),
        ([{"text": "x"}], (), "line 1 of"),
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


def statements(path, n=40):
    return write(path, *({"statement": f"{i} is odd.", "label": i % 2} for i in range(n)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--plot", "plot.tea"), "names no format of a plot; name a file that ends in .png"),
        (("--plot", "nowhere/plot.png"), "there is no folder nowhere"),
        (("--save", "nowhere/ensemble.json"), "there is no folder nowhere"),
        (("--save", "{data}"), "exists and is not a saved ensemble"),
        (("--detectors", "nonsense"), "there is no detector 'nonsense'"),
    ],
)
def test_options_of_an_evaluation_are_checked_before_a_model_is_loaded(halluc, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("halluc.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    data = statements(tmp_path / "s.jsonl")
    before = data.read_bytes()
    code, out, err = halluc("eval", "detectors", "--data", data, *(part.format(data=data) for part in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert data.read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"statement": "x", "label": 1}] * 8, "there are 8 rows; an evaluation needs at least 20"),
        ([{"question": "x", "response": "y", "hallucinated": False}] * 30, "all 30 answers are right"),
    ],
)
def test_rows_that_cannot_be_evaluated_are_refused_before_a_model_is_loaded(halluc, tmp_path, monkeypatch, rows, message):
    monkeypatch.setattr("halluc.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    code, out, err = halluc("eval", "detectors", "--data", write(tmp_path / "x.jsonl", *rows))
    assert (code, out) == (2, "")
    assert message in err


def test_detect_without_a_file_says_what_to_write(halluc):
    code, _, err = halluc("detect")
    assert code == 2
    assert "halluc detect PROMPTS.jsonl" in err


def test_evaluation_refuses_rows_of_no_kind(halluc, tmp_path):
    code, _, err = halluc("eval", "detectors", "--data", write(tmp_path / "x.jsonl", {"title": "x"}))
    assert code == 2
    assert "line 1 of" in err
