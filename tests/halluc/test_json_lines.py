import pytest

from halluc.errors import InvalidInput
from halluc.files import read_rows


def test_rows_come_with_their_place_and_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "r.jsonl"
    # A line separator within a text is no end of a line of the file.
    path.write_bytes('\ufeff{"a": "x\u2028y"}\r\n\n  \n{"a": 2}'.encode())
    assert read_rows(path) == [(f"line 1 of {path}", {"a": "x\u2028y"}), (f"line 4 of {path}", {"a": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "line 2 of .* is not JSON: .* at character 8; write one object a line"),
        (b"[1]", "line 2 of .* is not an object but a list"),
        (b'{"a": "\xff"}', "line 2 of .* is not UTF-8 text"),
        (b"[" * 100_000, "line 2 of .* is nested too deeply"),
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
