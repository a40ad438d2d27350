"""`halluc calibration report|fit|apply`, in this process; exit codes are those of the `halluc` command."""

import json

import numpy as np
import pytest

import calibration


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


def test_the_report_measures_before_and_after_on_held_out_rows_and_writes_a_page(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(400))
    code, out, err = halluc("calibration", "report", file, "--html", tmp_path / "r.html", "--risk", 0.6, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["report_count"] == 120
    assert facts["before"]["count"] == 120
    assert {row["name"] for row in facts["after"]} >= {"temperature", "isotonic", "venn-abers", "platt by group"}
    assert {group["group"] for group in facts["groups"]} == {"a", "b"}
    assert facts["threshold_result"]["guaranteed_risk"] == 0.6
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_fitted_calibrator_applied_to_rows_adds_calibrated_confidence_and_keeps_the_rest(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(groups=False))
    out = tmp_path / "c.json"
    code, printed, err = halluc("calibration", "fit", file, "--out", out, "--recalibrator", "beta", "--risk", 0.4)
    assert (code, err) == (0, "")
    facts = json.loads(printed)
    assert facts["recalibrator"] == "beta"
    assert (facts["fit_rows"], facts["threshold_rows"]) == (200, 200)
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


def test_a_missing_threshold_is_one_line_of_warning(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(40, groups=False))
    code, printed, err = halluc(
        "calibration", "fit", file, "-o", tmp_path / "c.json", "--risk", 0.01, "--recalibrator", "platt"
    )
    assert code == 0
    assert json.loads(printed)["threshold"] is None
    assert err.startswith("halluc: no threshold guarantees a risk of 0.01")
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
            "only one of line 1 of {} and line 2 of {} has a group",
        ),
        ('{"confidence": 0.5, "correct": 1}\n' * 9, "9 rows are too few"),
    ],
)
def test_an_unusable_line_is_named_and_ends_with_code_2(halluc, tmp_path, lines, message):
    file = tmp_path / "results.jsonl"
    file.write_text(lines, encoding="utf-8")
    code, out, err = halluc("calibration", "report", file)
    assert (code, out) == (2, "")
    assert err.startswith("halluc: ")
    assert message.replace("{}", str(file)) in err
    assert err.count("\n") == 1


def test_missing_files_and_folders_are_named(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(20))
    nowhere = tmp_path / "nowhere"
    for arguments, message in (
        (("report", nowhere), "cannot be read"),
        (("fit", file, "--out", nowhere / "c.json"), "there is no folder"),
        (("fit", file, "--out", tmp_path), "is a folder"),
        (("fit", file, "--out", tmp_path / "c.json", "--risk", "1.5", "--recalibrator", "platt"), "risk is 1.5"),
        (("apply", file, "--calibrator", nowhere), "cannot be read"),
        (("apply", file, "--calibrator", file), "is not JSON"),
    ):
        code, _, err = halluc("calibration", *arguments)
        assert code == 2, arguments
        assert message in err
    assert not (tmp_path / "c.json").exists()


def test_options_and_outputs_are_checked_before_the_work(halluc, tmp_path, monkeypatch):
    """The page's folder was checked after every recalibrator had been fitted, and risk after cross-validation."""
    file = write(tmp_path / "results.jsonl", results(20))
    calibration.PlattScaling().fit([0.2, 0.8], [0, 1]).save(tmp_path / "p.json")
    monkeypatch.setattr("calibration.calibrator.Calibrator.fit", lambda *_, **__: pytest.fail("fitted first"))
    monkeypatch.setattr("calibration.Recalibrator.transform", lambda *_: pytest.fail("applied first"))
    nowhere = tmp_path / "nowhere"
    for arguments, message in (
        (("report", file, "--html", nowhere / "x.html"), "there is no folder"),
        (("report", file, "--html", tmp_path), "is a folder"),
        (("report", file, "--risk", 2), "risk is 2"),
        (("report", file, "--delta", 0), "delta is 0"),
        (("fit", file, "--out", nowhere / "c.json"), "there is no folder"),
        (("fit", file, "--out", tmp_path / "c.json", "--risk", 2), "risk is 2"),
        (("apply", file, "--calibrator", tmp_path / "p.json", "--out", nowhere / "x.jsonl"), "there is no folder"),
    ):
        code, out, err = halluc("calibration", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert err.count("\n") == 1


def test_no_command_overwrites_a_file_that_is_not_its_own_result(halluc, tmp_path):
    """Only what an earlier run wrote is replaced."""
    file = write(tmp_path / "results.jsonl", results(40, groups=False))
    before = file.read_text()
    book = tmp_path / "book.txt"
    book.write_text("chapter one")
    calibrator = tmp_path / "c.json"
    fit = ("fit", file, "--recalibrator", "platt", "--risk", 0.9, "--out")
    assert halluc("calibration", *fit, calibrator)[0] == 0
    assert halluc("calibration", *fit, calibrator)[0] == 0  # its own result is replaced
    apply = ("apply", file, "--calibrator", calibrator, "--out")
    for arguments, message in (
        ((*fit, book), "exists and is not a calibrator"),
        ((*fit, file), "is also the input"),
        (("report", file, "--html", book), "exists and is not a file that this command wrote"),
        (("report", file, "--html", file), "exists and is not a file that this command wrote"),
        ((*apply, book), "exists and is not a file of"),
        ((*apply, calibrator), "is also the input"),
    ):
        code, _, err = halluc("calibration", *arguments)
        assert code == 2, arguments
        assert message in err
    assert (book.read_text(), file.read_text()) == ("chapter one", before)
    assert halluc("calibration", *apply, tmp_path / "applied.jsonl")[0] == 0
    assert halluc("calibration", *apply, tmp_path / "applied.jsonl")[0] == 0
    assert halluc("calibration", *apply, file)[0] == 0  # in place: every field is kept
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == list(range(40))


def test_numbers_that_are_not_finite_are_refused_in_every_field(halluc, tmp_path):
    """A NaN in a field that is only kept made the output invalid JSON."""
    calibration.PlattScaling().fit([0.2, 0.8], [0, 1]).save(tmp_path / "p.json")
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        file = tmp_path / "rows.jsonl"
        file.write_text(f'{{"confidence": 0.5}}\n{{"confidence": 0.5, "score": {number}}}\n')
        code, out, err = halluc("calibration", "apply", file, "--calibrator", tmp_path / "p.json")
        assert (code, out) == (2, "")
        assert f"line 2 of {file}" in err


def test_numeric_groups_are_kept_apart_from_texts(halluc, tmp_path):
    rows = [{**row, "group": [1, 2.5, "1"][number % 3]} for number, row in enumerate(results(120))]
    code, out, _ = halluc("calibration", "report", write(tmp_path / "r.jsonl", rows), "--risk", 0.9, "--json")
    assert code == 0
    assert [group["group"] for group in json.loads(out)["groups"]] == ["1", "2.5", "1"]


def test_text_for_people_names_held_out_rows_and_the_guarantee(halluc, tmp_path):
    file = write(tmp_path / "results.jsonl", results(400))
    code, out, _ = halluc("calibration", "report", file, "--risk", 0.6, "--no-json", "--html", tmp_path / "r.html")
    assert code == 0
    assert "120 held-out rows of 400" in out
    assert "compatible with the guaranteed risk of 60%" in out or "too many for the guaranteed risk of 60%" in out
    assert "page written to" in out
    code, out, _ = halluc("calibration", "fit", file, "--risk", 0.6, "--no-json", "--out", tmp_path / "c.json")
    assert code == 0
    assert "ECE in nested cross-validation" in out
    assert "answer at and above" in out
