"""`halluc calibration report|fit|apply`, in this process; exit codes are those of the `halluc` command."""

import json

import numpy as np
import pytest

import calibration
from halluc.cli.main import main


@pytest.fixture
def halluc(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["halluc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def results(size=200, *, groups=True):
    rng = np.random.default_rng(0)
    made = []
    for number in range(size):
        c = round(float(rng.uniform(0.3, 1)), 4)
        row = {"id": number, "confidence": c, "correct": bool(rng.random() < c**3)}
        made.append({**row, "group": "ab"[number % 2]} if groups else row)
    return made


def test_the_report_tells_before_and_after_on_rows_apart_and_writes_a_page(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(400))
    code, out, err = halluc("calibration", "report", file, "--html", tmp_path / "r.html", "--risk", 0.6, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["report_count"] == 120
    assert told["before"]["count"] == 120
    assert {row["name"] for row in told["after"]} >= {"temperature", "isotonic", "venn-abers", "platt by group"}
    assert {own["group"] for own in told["groups"]} == {"a", "b"}
    assert told["operation"]["promised_risk"] == 0.6
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_fitted_calibrator_applied_to_rows_adds_calibrated_confidence_and_keeps_the_rest(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(groups=False))
    out = tmp_path / "c.json"
    code, printed, err = halluc("calibration", "fit", file, "--out", out, "--recalibrator", "beta", "--risk", 0.4)
    assert (code, err) == (0, "")
    facts = json.loads(printed)
    assert facts["recalibrator"] == "beta"
    assert (facts["fit_rows"], facts["threshold_rows"]) == (100, 100)
    saved = calibration.load(out)
    assert facts["threshold"] == saved.threshold
    new = write(tmp_path / "new.jsonl", [{"confidence": 0.35, "note": "é"}, {"confidence": 0.99, "correct": None}])
    code, printed, err = halluc("calibration", "apply", new, "--calibrator", out)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert rows[0] == {
        "confidence": 0.35, "note": "é", "calibrated_confidence": saved.transform([0.35])[0], "answer": False,
    }  # fmt: skip
    assert rows[1]["answer"] is True
    code, printed, err = halluc("calibration", "apply", new, "--calibrator", out, "--out", tmp_path / "rows.jsonl")
    assert printed == ""
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()] == rows


def test_a_recalibrator_alone_is_applied_without_a_threshold_and_a_rule_alone_is_refused(halluc, tmp_path):
    confidence, correct = [0.2, 0.8] * 10, [False, True] * 10
    calibration.PlattScaling().fit(confidence, correct).save(tmp_path / "p.json")
    file = write(tmp_path / "rows.jsonl", [{"confidence": 0.5}])
    _, printed, _ = halluc("calibration", "apply", file, "--calibrator", tmp_path / "p.json")
    assert set(json.loads(printed)) == {"confidence", "calibrated_confidence"}
    calibration.ConformalAbstention(0.5).fit(confidence, correct).save(tmp_path / "rule.json")
    code, _, err = halluc("calibration", "apply", file, "--calibrator", tmp_path / "rule.json")
    assert code == 2
    assert "holds a ConformalAbstention" in err


def test_a_threshold_that_cannot_be_promised_is_one_line_of_warning(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(40, groups=False))
    code, printed, err = halluc(
        "calibration", "fit", file, "-o", tmp_path / "c.json", "--risk", 0.01, "--recalibrator", "platt"
    )
    assert code == 0
    assert json.loads(printed)["threshold"] is None
    assert err.startswith("halluc: no threshold can promise a risk of 0.01")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "holds no rows"),
        ("\n\n", "holds no rows"),
        ('{"confidence": 0.5, "correct": true}\n\n{"confidence": 0.5', "line 3 of"),
        ("[1, 2]", "line 1 of {} is not an object but a list"),
        ('{"score": 0.5}', "has no confidence and no correct, only score"),
        ('{"confidence": 0.5}', "has no correct, only confidence"),
        ('{"confidence": NaN, "correct": true}', "holds NaN, which is not JSON"),
        ('{"confidence": 1.5, "correct": true}', "has the confidence 1.5"),
        ('{"confidence": "0.5", "correct": true}', "has the confidence '0.5'"),
        ('{"confidence": true, "correct": true}', "has the confidence True"),
        ('{"confidence": 0.5, "correct": "yes"}', "has correct 'yes'"),
        ('{"confidence": 0.5, "correct": null}', "has correct None"),
        (
            '{"confidence": 0.5, "correct": 1, "group": "a"}\n{"confidence": 0.5, "correct": 1}',
            "line 2 of {} and line 1 of {}",
        ),
        ('{"confidence": 0.5, "correct": 1}\n' * 9, "9 rows are too few"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line_and_ends_with_code_2(halluc, tmp_path, lines, message):
    file = tmp_path / "results.jsonl"
    file.write_text(lines, encoding="utf-8")
    code, out, err = halluc("calibration", "report", file)
    assert (code, out) == (2, "")
    assert err.startswith("halluc: ")
    assert message.replace("{}", str(file)) in err
    assert err.count("\n") == 1


def test_files_and_folders_that_are_not_there_are_named(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(20))
    nowhere = tmp_path / "nowhere"
    for arguments, message in (
        (("report", nowhere), "cannot be read"),
        (("fit", file, "--out", nowhere / "c.json"), "the folder"),
        (("fit", file, "--out", tmp_path), "is a folder"),
        (("fit", file, "--out", tmp_path / "c.json", "--risk", "1.5", "--recalibrator", "platt"), "risk is 1.5"),
        (("apply", file, "--calibrator", nowhere), "cannot be read"),
        (("apply", file, "--calibrator", file), "is not JSON"),
    ):
        code, _, err = halluc("calibration", *arguments)
        assert code == 2, arguments
        assert message in err
    assert not (tmp_path / "c.json").exists()
