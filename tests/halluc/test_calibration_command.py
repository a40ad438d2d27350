"""`halluc calibration report|fit|apply|check`, in this process; exit codes are those of the `halluc` command."""

import io
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
    assert rows[0].pop("calibrated_confidence") == pytest.approx(saved.transform([0.35])[0])
    assert rows[0] == {"confidence": 0.35, "note": "é", "answer": False}
    assert rows[1]["answer"] is True
    code, printed, err = halluc("calibration", "apply", new, "--calibrator", out, "--out", tmp_path / "rows.jsonl")
    assert printed == ""
    again = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert again[1] == rows[1]


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


@pytest.fixture
def calibrator(tmp_path):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 400)
    fitted = calibration.Calibrator(0.2, recalibrator="platt").fit(confidence, rng.random(400) < confidence)
    fitted.save(tmp_path / "c.json")
    return tmp_path / "c.json"


def new_rows(shift):
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 400).round(4)
    return [{"confidence": float(c), "correct": bool(rng.random() < c - shift)} for c in confidence]


def test_a_check_ends_with_code_1_only_if_the_guarantee_is_contradicted(halluc, tmp_path, calibrator):
    code, out, err = halluc("calibration", "check", calibrator, write(tmp_path / "good.jsonl", new_rows(0)))
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["held"], facts["calibrated"], facts["drifted"], facts["count"]) == (True, True, False, 400)
    bad = write(tmp_path / "bad.jsonl", new_rows(0.3))
    code, out, _ = halluc("calibration", "check", calibrator, bad)
    assert code == 1
    assert json.loads(out)["held"] is False
    code, out, _ = halluc("calibration", "check", calibrator, bad, "--no-json")
    assert code == 1
    assert "too many for the guaranteed risk of 20%" in out
    assert "no longer calibrated" in out


def test_a_check_refuses_what_it_cannot_use(halluc, tmp_path, calibrator):
    calibration.PlattScaling().fit([0.2, 0.8], [0, 1]).save(tmp_path / "p.json")
    rows = write(tmp_path / "rows.jsonl", new_rows(0))
    for arguments, message in (
        ((tmp_path / "p.json", rows), "holds a PlattScaling; pass a file of 'halluc calibration fit'"),
        ((calibrator, tmp_path / "nowhere"), "cannot be read"),
        ((calibrator, rows, "--significance", 2), "significance is 2"),
        ((calibrator, write(tmp_path / "no.jsonl", [{"confidence": 0.5}])), "has no correct"),
    ):
        code, out, err = halluc("calibration", "check", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert err.count("\n") == 1


def test_a_confidence_inside_an_object_is_named_by_its_path(halluc, tmp_path, calibrator):
    """The recorded answers of examples/xquad were refused by the command that should read them."""
    rows = [{"correct": row["correct"], "confidence": {"a": 0.5, "p_true": row["confidence"]}} for row in new_rows(0)]
    file = write(tmp_path / "rows.jsonl", rows)
    code, _, err = halluc("calibration", "check", calibrator, file)
    assert code == 2
    assert "has several confidences; choose one of confidence.a, confidence.p_true with --column" in err
    code, out, _ = halluc("calibration", "check", calibrator, file, "--column", "confidence.p_true")
    plain = halluc("calibration", "check", calibrator, write(tmp_path / "plain.jsonl", new_rows(0)))[1]
    assert (code, out) == (0, plain)
    code, _, err = halluc("calibration", "check", calibrator, file, "--column", "confidence.b")
    assert code == 2
    assert "has no confidence.b, only correct, confidence.a, confidence.p_true" in err


def test_csv_and_standard_input_are_read_like_json_lines(halluc, tmp_path, calibrator, monkeypatch):
    rows = new_rows(0)
    file = write(tmp_path / "rows.jsonl", rows)
    expected = halluc("calibration", "check", calibrator, file)[1]
    table = tmp_path / "rows.csv"
    table.write_text("confidence,correct\n" + "".join(f"{row['confidence']},{row['correct']}\n" for row in rows))
    assert halluc("calibration", "check", calibrator, table)[1] == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert halluc("calibration", "check", calibrator, "-")[1] == expected
    for text, message in (
        ("confidence,correct\n0.5\n", "line 2 of"),
        ("confidence,correct\n0.5,maybe\n", "has correct 'maybe'"),
        ("confidence,correct\nhigh,true\n", "has the confidence 'high'"),
        ("confidence,correct\n", "holds no rows"),
        ("score,correct\n0.5,true\n", "has no confidence, only score, correct"),
    ):
        table.write_text(text)
        code, _, err = halluc("calibration", "check", calibrator, table)
        assert code == 2
        assert message in err


def test_several_columns_are_combined_to_one_confidence(halluc, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.random(200)
    first, second = (np.clip(truth + rng.normal(0, 0.3, 200), 0, 1).tolist() for _ in range(2))
    right = (rng.random(200) < truth).tolist()
    rows = [{"confidence": {"a": x, "b": y}, "correct": c} for x, y, c in zip(first, second, right, strict=True)]
    file, saved, column = write(tmp_path / "rows.jsonl", rows), tmp_path / "c.json", "confidence.a,confidence.b"
    options = ["--risk", 0.4, "--recalibrator", "platt", "--column", column]
    code, _, err = halluc("calibration", "fit", file, "--out", saved, *options)
    assert (code, err) == (0, "")
    fitted = calibration.load(saved)
    assert fitted.combination_.weight_.min() > 0
    _, printed, _ = halluc("calibration", "apply", file, "--calibrator", saved, "--column", column)
    applied = json.loads(printed.splitlines()[0])
    assert applied["calibrated_confidence"] == pytest.approx(fitted.transform([[first[0], second[0]]])[0])
    code, _, err = halluc("calibration", "apply", file, "--calibrator", saved, "--column", "confidence.a")
    assert code == 2
    assert "pass one column per source" in err
    code, shown, _ = halluc("calibration", "report", file, "--risk", 0.4, "--column", column, "--no-json")
    assert code == 0
    for name in ("a alone", "b alone", "combined"):
        assert name in shown
