import errno
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from halluc.errors import InvalidInput
from halluc.files import check_output_path, read_rows, read_table, write_text


def test_rows_come_with_their_place_and_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "r.jsonl"
    # A line separator within a text is no end of a line of the file.
    path.write_bytes('\ufeff{"a": "x\u2028y"}\r\n\n  \n{"a": 2}'.encode())
    assert read_rows(path) == [(f"line 1 of {path}", {"a": "x\u2028y"}), (f"line 4 of {path}", {"a": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "line 2 of .* is not JSON: .* at character 8; write one object per line"),
        (b"[1]", "line 2 of .* is not an object but a list"),
        (b"1", "line 2 of .* is not an object but a number"),
        (b"null", "line 2 of .* is not an object but null"),
        (b'{"a": "\xff"}', "line 2 of .* is not UTF-8 text"),
        (b"[" * 100_000, "line 2 of .* is nested too deeply"),
        (b'{"score": NaN}', "line 2 of .* holds NaN, which is not JSON; write a number or null"),
        (b'{"score": 1e999}', "line 2 of .* holds the number 1e999, which is too large"),
        (b'{"n": ' + b"9" * 5000 + b"}", "line 2 of .* has an integer with too many digits"),
        (rb'{"a": ["bad \ud83d half."]}', "line 2 of .* has a lone surrogate, .* at character 5 of a string"),
        (b'{"bad \xed\xa0\xbd": 1}', "line 2 of .* has a lone surrogate"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path, line, message):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"{}\n" + line)
    with pytest.raises(InvalidInput, match=message):
        read_rows(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"nowhere\.jsonl cannot be read: No such file"):
        read_rows(tmp_path / "nowhere.jsonl")


def test_a_whole_emoji_written_as_two_escapes_is_read(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(rb'{"a": "\ud83d\ude00"}')
    assert read_rows(path)[0][1] == {"a": "\U0001f600"}


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retrieval.files.os.fsync", full)
    with pytest.raises(InvalidInput, match=r"result\.json cannot be written: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def read_only(**_options):
    raise OSError(errno.EROFS, "Read-only file system")


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="is a folder; name a file"):
        check_output_path(tmp_path)
    with pytest.raises(InvalidInput, match=r"there is no folder .*nope; create it"):
        check_output_path(tmp_path / "nope" / "x.html")
    check_output_path(tmp_path / "x.html")
    # Its administrator may write to a read-only file system by its permissions.
    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(InvalidInput, match=f"no file can be created in {tmp_path}; name another file"):
        check_output_path(tmp_path / "x.html")


def test_an_output_replaces_only_what_bears_its_marker(tmp_path):
    path = tmp_path / "x.html"
    for content, refused in (
        (b"", False),
        (b"<html><meta ours>", False),
        (b"my notes", True),
        (b" " * 4096 + b"ours", True),
    ):
        path.write_bytes(content)
        check_output_path(path)
        if not refused:
            check_output_path(path, replaces="ours")
            continue
        with pytest.raises(InvalidInput, match=r"x\.html exists and is not a file that this command wrote"):
            check_output_path(path, replaces="ours")
    with pytest.raises(InvalidInput, match="is not a regular file"):
        check_output_path("/dev/null")


def test_every_page_bears_the_marker():
    """Commands replace a page that halluc wrote, and no other file."""
    from halluc.page_template import PAGE_MARKER

    root = Path(__file__).parents[2]
    templates = [
        path for package in ("halluc", "calibration", "training") for path in (root / package).rglob("*.html.jinja")
    ]
    assert len(templates) >= 3
    for template in templates:
        assert PAGE_MARKER in template.read_text(encoding="utf-8")[:1000], template


ROWS = [{"question": 'Who said "no, never"?', "answer": "A,\tB\nand C"}, {"question": "2 + 2?", "answer": None}]


def as_table(delimiter):
    cells = [[(row[name] or "").replace('"', '""') for name in row] for row in ROWS]
    return "\ufeff" + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in [list(ROWS[0]), *cells])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", as_table(",")),
        ("rows.TSV", as_table("\t")),
        ("rows.json", json.dumps(ROWS, indent=1)),
        ("rows.json", json.dumps({"version": [1], "data": ROWS})),
        ("rows.json", "\n".join(map(json.dumps, ROWS))),
        ("rows.jsonl", "\n".join(map(json.dumps, ROWS))),
    ],
)
def test_a_table_of_any_format_is_read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    places, rows = zip(*read_table(path), strict=True)
    assert list(rows) == ROWS
    assert all(str(path) in place for place in places)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    assert [row for _, row in read_table(tmp_path / "rows.parquet")] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"a,b\n1,2,3\n", "line 2 of .* has more cells than the header"),
        ("rows.csv", b'a,b\n"1,2\n', "cannot be read as a table"),
        ("rows.tsv", b"a\tb\n\xff\t2\n", "cannot be read as a table"),
        ("rows.parquet", b"PAR", "cannot be read as Parquet"),
        ("rows.json", b'{"a": [1, 2]}\nx', "line 2 of"),
        ("rows.json", b'[{"a": 1}, 2]', "line 1 of"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_table(path)
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_table(path)
