import io
import json
import sys

import pytest
from stand_in_verifiers import SharedWords

from halluc.cli.check import print_report
from halluc.cli.text_files import file_text


@pytest.fixture
def halluc(halluc, monkeypatch):
    """Runs the command line with a verifier that follows from the words."""
    import halluc.verification as verification

    load = verification.load_verifier
    monkeypatch.setattr(verification, "load_verifier", lambda name: SharedWords() if name == "default" else load(name))
    return halluc


@pytest.fixture
def context(tmp_path):
    path = tmp_path / "context.txt"
    path.write_text("Town 1 is old.", encoding="utf-8")
    return path


def test_an_answer_is_a_text_a_file_or_standard_input(halluc, context, tmp_path, monkeypatch):
    answer = tmp_path / "answer.txt"
    answer.write_text("Town 1 is old.", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Town 1 is old."), encoding="utf-8"))
    for argument in ("Town 1 is old.", answer, "-"):
        code, out, _ = halluc("check", argument, "--context", context)
        assert code == 0
        assert json.loads(out)["score"] == 1.0


def test_a_page_is_written_and_replaced_and_a_low_score_can_fail(halluc, context, tmp_path):
    assert halluc("check", "Town 1 is old.", "-c", context, "--html", tmp_path / "p.html", "--fail-under", "1")[0] == 0
    code, out, err = halluc("check", "Town 2 is old.", "-c", context, "--html", tmp_path / "p.html", "--fail-under", "0.5")
    assert (code, err) == (1, "")
    assert json.loads(out)["verdicts"][0]["label"] == "refuted"
    assert 'class="mark refuted"' in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_a_threshold_fails_an_answer_of_which_nothing_was_checked(halluc, context, tmp_path):
    # "I don't know." passed every threshold.
    assert halluc("check", "Is it so?", "-c", context)[0] == 0
    code, out, _ = halluc("check", "Is it so?", "-c", context, "--fail-under", "0")
    assert code == 1
    assert json.loads(out)["score"] is None
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    for content, below in (("", 0), (json.dumps({"answer": "Is it so?", "context": "Town 1 is old."}), 1)):
        path.write_text(content, encoding="utf-8")
        code, output, _ = halluc("check", "--batch", path, "--out", out, "--fail-under", "0.9")
        assert (code, json.loads(output)["below"]) == (1, below)
        assert halluc("check", "--batch", path, "--out", out)[0] == 0


def test_what_is_left_unchecked_is_printed_and_in_the_json(halluc, context):
    code, out, _ = halluc("check", "Town 1 is old. Hello!", "-c", context, "--no-json")
    assert code == 0
    assert "not checked: Hello!" in out
    code, out, _ = halluc("check", "I don't know.", "-c", context, "--no-json", "--fail-under", "0.1")
    assert code == 1
    assert "not checked: I don't know." in out
    assert "nothing checked: the answer is an abstention" in out
    report = json.loads(halluc("check", "I don't know.", "-c", context)[1])
    assert [claim["text"] for claim in report["unchecked"]] == ["I don't know."]
    assert report["reason"] == "the answer is an abstention"


def test_no_output_overwrites_a_file_of_something_else(halluc, context, tmp_path):
    notes, rows, missing = tmp_path / "notes.txt", tmp_path / "rows.jsonl", tmp_path / "new"
    notes.write_text("chapter one, never saved elsewhere")
    rows.write_text(json.dumps({"answer": "Town 1 is old.", "context": "Town 1 is old."}))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments, message in (
        (("--batch", rows, "--out", notes), "is not a result of 'halluc check'"),
        (("--batch", rows, "--out", rows), "the file of rows itself"),
        (("--batch", rows, "--out", tmp_path), "is a folder"),
        (("--batch", rows, "--out", missing, "--html", notes), "is not a file that this command wrote"),
        (("--batch", rows, "--out", missing, "--html", rows), "is not a file that this command wrote"),
        (("--batch", rows, "--out", missing, "--html", missing), "--html and --out both name"),
        (("A.", "--context", context, "--html", context), "is not a file that this command wrote"),
        (("A.", "--context", context, "--html", "/dev/null"), "is not a regular file"),
    ):
        code, out, err = halluc("check", *arguments, "--verifier", "/no/such/verifier")
        assert (code, out) == (2, "")
        assert message in err
        assert {path: path.read_bytes() for path in tmp_path.iterdir() if path in before} == before


def test_a_row_with_a_lone_surrogate_is_named_and_the_exit_code_tells(halluc, tmp_path):
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = json.dumps({"answer": "Town 1 is old.", "context": "Town 1 is old."})
    bad = json.dumps({"answer": "bad \ud83d half.", "context": "Town 1 is old."})
    path.write_text("\n".join([good, bad, good]), encoding="utf-8")
    for checked in (2, 0):
        code, output, err = halluc("check", "--batch", path, "--out", out)
        assert (code, json.loads(output)["checked"]) == (2, checked)
        assert f"line 2 of {path} has a lone surrogate" in err
    for arguments in (("bad \udcff byte.", "--context", path), ("A.", "--context", path, "--question", "\udcff?")):
        code, _, err = halluc("check", *arguments)
        assert code == 2
        assert "has a lone surrogate" in err


def test_a_batch_resumes_writes_its_page_and_names_broken_lines(halluc, tmp_path):
    row = {"id": "<first>", "answer": "Town 1 is old.", "context": "Town 1 is old."}
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text(json.dumps(row) + "\n{broken\n", encoding="utf-8")
    code, output, err = halluc("check", "--batch", path, "--out", out, "--html", tmp_path / "p.html")
    assert code == 2
    assert err.startswith(f"halluc: line 2 of {path} is not JSON")
    assert err.count("\n") == 1
    assert json.loads(output)["checked"] == 1
    assert "&lt;first&gt;" in (tmp_path / "p.html").read_text(encoding="utf-8")
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    code, output, err = halluc("check", "--batch", path, "--out", out)
    assert (code, err) == (0, "")
    assert json.loads(output) == {
        "out": str(out), "checked": 0, "resumed": 1, "broken": [], "mean_score": 1.0, "unjudged": 0, "below": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("A.", "--context", "CONTEXT", "--index", "x.index"), "both a context and an index"),
        (("A.",), "neither a context nor an index"),
        (("--context", "CONTEXT"), "no answer"),
        (("A.", "--batch", "x", "--out", "y"), "both an answer and --batch"),
        (("--batch", "x"), "--batch and --out go together"),
        (("--batch", "x", "--out", "y", "--context", "CONTEXT"), "leave out --context"),
        (("--batch", "nowhere.jsonl", "--out", "y"), "nowhere.jsonl cannot be read"),
        (("", "--context", "CONTEXT"), "the answer is empty"),
        (("nowhere.txt", "--context", "CONTEXT"), "nowhere.txt does not exist"),
        (("A.", "--context", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("A.", "--context", "BINARY"), "binary"),
        (("A.", "--context", "EMPTY"), "is empty; there is nothing to check against"),
        (("A.", "--context", "CONTEXT", "--verifier", " "), "the verifier is ' '"),
        (("A.", "--index", "nowhere.index"), "there is no index at nowhere.index"),
        (("A.", "--context", "CONTEXT", "--html", "no/where.html"), "there is no folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(halluc, context, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    (tmp_path / "empty").write_text(" \n")
    names = {"CONTEXT": context, "BINARY": "binary", "EMPTY": "empty"}
    code, out, err = halluc("check", *(names.get(argument, argument) for argument in arguments))
    assert code == 2
    assert out == ""
    assert err.startswith("halluc: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_verifier_that_cannot_be_loaded_is_named(halluc, context, tmp_path):
    code, out, err = halluc("check", "A.", "--context", context, "--verifier", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("halluc: ")
    assert str(tmp_path) in err
    assert err.count("\n") == 1


def test_a_person_sees_the_answer_and_each_claim_with_its_evidence(capsys):
    import halluc

    report = halluc.check("Town [1] is old. Town 2 is old.", context="Town [1] is old.", verifier=SharedWords())
    print_report(report)
    shown = capsys.readouterr().out
    assert shown.startswith("Town [1] is old. Town 2 is old.\n")
    assert "supported" in shown
    assert "contradicted" in shown
    assert "score 0.50" in shown


def test_a_page_or_a_pdf_as_context_is_read_and_not_its_markup(halluc, tmp_path):
    page = tmp_path / "page.HTML"
    page.write_text(
        "<html><head><title>Hidden 7</title><script>var town = 'Town 9 is new.'</script></head>"
        "<body><h1>Towns</h1><p>Town&nbsp;<b>1</b> is old.</p></body></html>",
        encoding="utf-8",
    )
    code, out, _ = halluc("check", "Town 1 is old.", "-c", page)
    assert (code, json.loads(out)["score"]) == (0, 1.0)
    evidence = json.loads(out)["verdicts"][0]["evidence"][0]
    assert "<" not in evidence["passage"]["text"]
    assert "Town 9" not in evidence["passage"]["text"]


def test_a_table_of_a_page_is_read_with_its_headers(halluc, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<p>Two towns.</p><table><tr><th>Town<th>Age &lt; 9</tr><tr><td>Milan<td>3</tr><tr><td>Rome<td>5</tr></table><p>Go.",
        encoding="utf-8",
    )
    code, out, _ = halluc("check", "Rome is 5.", "-c", page)
    assert code == 0
    assert json.loads(out)["verdicts"][0]["evidence"][0]["passage"]["text"] == "Town: Rome; Age < 9: 5."
    text = file_text(page, "context")
    assert text == "Two towns.\n\nTown: Milan; Age < 9: 3.\n\nTown: Rome; Age < 9: 5.\n\nGo."


def test_several_contexts_are_quoted_by_their_files(halluc, context, tmp_path):
    other = tmp_path / "other.md"
    other.write_text("Town 2 is new.", encoding="utf-8")
    code, out, _ = halluc("check", "Town 1 is old. Town 2 is new.", "-c", context, "--context", other)
    assert code == 0
    report = json.loads(out)
    assert report["score"] == 1.0
    passages = [verdict["evidence"][0]["passage"] for verdict in report["verdicts"]]
    assert [(passage["id"], passage["title"]) for passage in passages] == [
        (str(context), "context.txt"),
        (str(other), "other.md"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", b"no pdf", "cannot be read as a pdf"),
        ("a.html", b"<p> </p>", "a.html holds no text"),
        ("a.docx", b"PK\x03\x04\x00\x00", "a.docx"),
        ("a", b"a\0b", "the context a is a binary file, not text"),
        ("a.txt", b"\xef\xbb\xbf \n", "the context a.txt is empty; there is nothing to check against"),
        ("a.csv", b"", "the context a.csv is empty"),
        ("folder", None, "the context folder is a folder; name its files"),
    ],
)
def test_a_context_file_that_cannot_be_read_is_one_line_and_exit_code_2(
    halluc, context, tmp_path, monkeypatch, name, content, message
):
    monkeypatch.chdir(tmp_path)
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    for contexts in (("-c", name), ("-c", context, "-c", name)):
        code, out, err = halluc("check", "Town 1 is old.", *contexts, "--verifier", "/no/such/verifier")
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    code, _, err = halluc("check", "A.", "-c", context, "-c", context)
    assert code == 2
    assert "context.txt twice; name each file once" in err
