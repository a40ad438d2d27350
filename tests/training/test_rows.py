"""Data sets on disk: what cannot be read is named by its row or line."""

import errno
import json

import pytest
from datasets import Dataset, DatasetDict

from halluc.errors import InvalidInput
from training.rows import check_output_folder, read_rows


@pytest.fixture
def write(tmp_path):
    def lines(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return lines


def test_a_folder_and_a_file_give_the_same_rows(tmp_path, write):
    rows = [{"prompt": "a?", "score": 1}, {"prompt": "b?", "score": 0.5}]
    Dataset.from_list([{"prompt": "a?", "score": 1.0}, {"prompt": "b?", "score": 0.5}]).save_to_disk(str(tmp_path / "saved"))
    assert read_rows(write(*rows)).to_list() == read_rows(tmp_path / "saved").to_list() == rows


def test_a_field_that_a_line_lacks_is_none_also_in_the_first_line(write):
    assert read_rows(write({"prompt": "a?"}, {"prompt": "b?", "context": "B."})).to_list() == [
        {"prompt": "a?", "context": None},
        {"prompt": "b?", "context": "B."},
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        # Text in one row and a conversation in another.
        (
            [{"prompt": "a?"}, {"prompt": [{"role": "user", "content": "b?"}]}],
            r"prompt of row 1 is \[\{'role'.* but that of row 0 is 'a\?'; write all rows in the same form",
        ),
        ([{"prompt": None}, {"prompt": "b?"}, {"prompt": 3}], "prompt of row 2 is 3 but that of row 1 is 'b"),
        ([{"references": ["x"]}, {"references": "y"}], "references of row 1 is 'y'"),
        # A lone surrogate.
        (['{"prompt": "fine"}', r'{"prompt": "bad \ud83d half"}'], r"line 2 of .*rows\.jsonl has a lone surrogate"),
        (["{}", "{"], r"line 2 of .*rows\.jsonl is not JSON"),
        (["[1]"], "line 1 of .* is not an object"),
        (['{"score": NaN}'], "line 1 of .* holds NaN"),
        # Deep nesting and huge integers.
        (['{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}"], "line 1 of .* is nested too deeply"),
        (['{"prompt": ' + "1" * 5000 + "}"], "line 1 of .* has an integer with too many digits"),
        ([{"prompt": 10**30}], "cannot be read as a data set"),
    ],
)
def test_rows_that_cannot_be_read_are_named(write, rows, message):
    with pytest.raises(InvalidInput, match=message):
        read_rows(write(*rows))


def test_a_missing_path_and_a_folder_of_several_data_sets_are_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"there is no .*none; name a folder"):
        read_rows(tmp_path / "none")
    DatasetDict(train=Dataset.from_dict({"a": [1]}), test=Dataset.from_dict({"a": [2]})).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(InvalidInput, match="two holds several data sets, train, test"):
        read_rows(tmp_path / "two")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="empty cannot be read as a data set"):
        read_rows(tmp_path / "empty")


def read_only(**_options):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    """Output folders are checked before the work."""
    (tmp_path / "file").write_text("")
    check_output_folder(tmp_path / "new" / "folder")
    check_output_folder(tmp_path)
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(InvalidInput, match="file is a file; name another folder"):
            check_output_folder(path)
    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(InvalidInput, match=f"no folder can be created in {tmp_path}"):
        check_output_folder(tmp_path / "new")
