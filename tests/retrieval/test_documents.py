import json
import os

import pytest

from retrieval import SkippedFilesWarning, SkippedRowsWarning, load_documents, read_documents
from retrieval.errors import DocumentError, EmptyCorpus, InvalidQuery, UnknownFileType, UnreadableDocument


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_text_files_keep_their_text_and_take_their_name_as_title(tmp_path):
    (document,) = load_documents(write(tmp_path, "penicillin.txt", "Fleming found it in 1928.\n"))
    assert (document.text, document.title) == ("Fleming found it in 1928.\n", "penicillin")
    assert document.source == document.id == str(tmp_path / "penicillin.txt")


def test_markdown_loses_its_marks_and_gives_its_heading_as_title(tmp_path):
    path = write(tmp_path, "a.md", "# Moulds\n\nA *mould* is a [fungus](http://x).\n\n- one\n- two\n")
    (document,) = load_documents(path)
    assert document.title == "Moulds"
    assert document.text == "Moulds\n\nA mould is a fungus.\n\none\n\ntwo"


def test_html_gives_visible_text_only(tmp_path):
    page = (
        "<html><head><title>T</title><script>x()</script></head><body><p>One <b>bold</b> word.</p><p>Two.</p></body></html>"
    )
    (document,) = load_documents(write(tmp_path, "a.html", page))
    assert (document.title, document.text) == ("T", "One bold word.\n\nTwo.")


def test_html_blocks_are_paragraphs_also_when_nested_and_inline_marks_do_not_break_words(tmp_path):
    page = "<div>Intro<p>One</p>tail<ul><li>a</li><li>b</li></ul></div>x<br>y "
    page += "<table><tr><td>1</td><td>2</td></tr></table>un<i>do</i>"
    (document,) = load_documents(write(tmp_path, "a.html", page))
    assert document.text == "Intro\n\nOne\n\ntail\n\na\n\nb\n\nx y\n\n1 | 2\n\nundo"


def test_csv_keeps_long_fields_and_unusual_line_separators(tmp_path):
    text = "a\u2028b\x0bc " + "long " * 40_000
    (document,) = load_documents(write(tmp_path, "a.csv", f"id,text\n0,{text}\n"))
    assert (document.id, document.text) == ("0", text)


def test_an_id_of_zero_is_an_id(tmp_path):
    (document,) = load_documents(write(tmp_path, "a.jsonl", '{"id": 0, "text": "x"}'))
    assert document.id == "0"


def test_rows_of_csv_and_jsonl_are_documents_with_metadata(tmp_path):
    table = write(tmp_path, "a.csv", 'id,title,text,year\n7,T,"Line one\nline two",1928\n')
    lines = write(tmp_path, "b.jsonl", json.dumps({"id": "x", "text": "Some text.", "tags": ["a"]}) + "\n\n")
    first, second = load_documents([table, lines])
    assert (first.id, first.title, first.text, dict(first.metadata)) == ("7", "T", "Line one\nline two", {"year": "1928"})
    assert (second.id, second.title, dict(second.metadata)) == ("x", None, {"tags": ["a"]})


def test_a_data_set_is_read_row_by_row():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"id": ["a", "b"], "text": ["one", "two"], "kind": [1, 2]})
    documents = load_documents(rows)
    assert [(d.id, d.text, d.metadata["kind"]) for d in documents] == [("a", "one", 1), ("b", "two", 2)]


def test_a_folder_is_read_in_order_and_unknown_types_are_named_and_counted(tmp_path):
    write(tmp_path, "b.txt", "b")
    write(tmp_path, "deep/a.txt", "a")
    write(tmp_path, "photo.jpeg", b"\xff\xd8")
    write(tmp_path, ".hidden.txt", "no")
    with pytest.warns(SkippedFilesWarning, match=r"1 of 3 files in .* \(photo.jpeg\) and are left out"):
        documents = load_documents(tmp_path)
    assert [d.text for d in documents] == ["b", "a"]
    with pytest.raises(UnknownFileType, match=r"photo\.jpeg.*without strict"):
        load_documents(tmp_path, strict=True)
    with pytest.raises(UnknownFileType, match=r"type '\.jpeg'"):
        load_documents(tmp_path / "photo.jpeg")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"PK\x03\x04\x00\x00", "is a binary file"),
        ("a.txt", b"\x00\x01\x00\x02", "is a binary file"),
        ("a.txt", b" \n ", "holds no text"),
        ("a.pdf", b"not a pdf at all", "cannot be read as a pdf"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": ', "line 2 of .* is not JSON"),
        ("a.jsonl", b'{"text": "fine"}\n{"body": "x"}\n', "line 2 of .* has no text"),
        ("a.csv", b"id,text\n1,a, b\n", "line 2 of .* has more fields than the 2 columns"),
        ("a.csv", b'id,text\n1,"open\n', "is not csv"),
        ("a.pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R>>endobj\ntrailer<</Root 1 0 R>>", "pdf"),
        ("a.pdf", b"", "cannot be read as a pdf"),
        ("a.csv", b"id,text\n", "holds no rows"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(UnreadableDocument, match=message) as caught:
        load_documents(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "Grüße aus Köln."),
        ("utf-16", "Grüße aus Köln."),
        ("utf-16-le", "Grüße aus Köln."),
        ("utf-16-be", "Grüße aus Köln."),
        ("utf-32", "Grüße aus Köln."),
        ("latin-1", "Grüße aus Köln."),
        ("cp1252", "Il dit « oui » – puis s’en alla à Besançon."),
        ("cp1251", "Мост был открыт в мае. Инженер жил в старом городе у реки."),
        ("shift_jis", "橋は千九百八十七年に開通した。技師の名前は田中である。"),
    ],
)
def test_text_is_read_in_whatever_encoding_it_is(tmp_path, encoding, text):
    """UTF-16 was called binary, and one file in Latin-1 ended the build of a folder."""
    (document,) = load_documents(write(tmp_path, "a.txt", text.encode(encoding)))
    assert document.text == text


def test_files_of_a_folder_that_cannot_be_read_are_named_together_and_the_rest_is_read(tmp_path):
    """Each run ended at the first of them."""
    write(tmp_path, "a.txt", "a")
    write(tmp_path, "empty.txt", " ")
    write(tmp_path, "scan.pdf", b"no pdf")
    write(tmp_path, "rows.jsonl", '{"body": 1}')
    write(tmp_path, "photo.jpeg", b"")
    with pytest.warns(SkippedFilesWarning) as caught:
        (document,) = load_documents(tmp_path, on_bad_row="skip")
    assert document.text == "a"
    (sentence,) = [str(warning.message) for warning in caught if "jpeg" not in str(warning.message)]
    assert sentence.startswith("3 files are left out because they cannot be read: ")
    assert all(
        part in sentence for part in ("empty.txt holds no text", "scan.pdf cannot be read", "no row of", "rows.jsonl")
    )
    with pytest.raises(
        UnreadableDocument, match=r"^4 sources cannot be used: .*empty.txt.*rows.jsonl.*scan.pdf.*photo.jpeg"
    ):
        load_documents(tmp_path, strict=True)
    named = [tmp_path / "empty.txt", tmp_path / "nowhere.txt", tmp_path / "a.txt"]
    with pytest.raises(
        UnreadableDocument, match=r"2 sources cannot be used: .*empty.txt holds no text.*nowhere.txt does not"
    ):
        load_documents(named)
    report = read_documents([*named, tmp_path / "photo.jpeg"])
    assert [d.text for d in report.documents] == ["a"]
    assert set(report.unreadable) == {str(tmp_path / name) for name in ("empty.txt", "nowhere.txt", "photo.jpeg")}
    assert not report.is_complete


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(EmptyCorpus):
        load_documents(tmp_path)
    with pytest.raises(DocumentError, match="does not exist"):
        load_documents(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (r'{"text": "bad \ud83d half."}', r"has a lone surrogate, '\\ud83d'"),
        (r'{"text": "fine", "author": ["\ud83d"]}', "has a lone surrogate"),
        ('{"text": "x", "score": NaN}', "holds NaN, which is not JSON"),
        ('{"text": "x", "score": 1e999}', "too large"),
        ('{"text": "x", "score": ' + "9" * 5000 + "}", "integer with too many digits"),
        ('{"text": "x", "deep": ' + "[" * 100_000, "nested too deeply|is not JSON"),
        ("[]", "is not an object but a list"),
        ('"text"', "is not an object but text"),
        ('{"text": 3}', "has no text"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_read_if_wanted(tmp_path, line, fault):
    """One row ended all with an error that did not name it, or was stored and printed as invalid JSON."""
    path = write(tmp_path, "a.jsonl", f'{{"text": "one"}}\n{line}\n{{"text": "three"}}\n')
    with pytest.raises(UnreadableDocument, match=rf"line 2 of .*a\.jsonl .*{fault}"):
        load_documents(path)
    with pytest.warns(SkippedRowsWarning, match=rf"1 of 3 rows of .* left out: line 2 of .* .*{fault}"):
        documents = load_documents(path, on_bad_row="skip")
    assert [(d.id, d.text) for d in documents] == [(f"{path}:1", "one"), (f"{path}:3", "three")]
    only = write(tmp_path, "b.jsonl", line)
    with pytest.raises(UnreadableDocument, match=r"no row of .*b\.jsonl can be used: line 1 of"):
        load_documents(only, on_bad_row="skip")


def test_rows_of_a_table_with_too_many_fields_are_named_too(tmp_path):
    path = write(tmp_path, "a.csv", "id,text\n1,one\n2,two, more\n")
    with pytest.warns(SkippedRowsWarning, match=r"line 3 of .* has more fields than the 2 columns"):
        (document,) = load_documents(path, on_bad_row="skip")
    assert document.text == "one"


def test_markdown_keeps_lists_of_any_depth_and_refuses_absurd_ones(tmp_path):
    """Of 18 levels, 9 were kept."""
    levels = "\n".join("  " * i + f"- level {i}" for i in range(60))
    (document,) = load_documents(write(tmp_path, "a.md", levels))
    assert [f"level {i}" for i in range(60)] == document.text.split("\n\n")
    with pytest.raises(UnreadableDocument, match="nested too deeply"):
        load_documents(write(tmp_path, "b.md", "> " * 5000 + "x"))


def test_links_and_pipes_in_a_folder_are_left_out_by_name(tmp_path):
    """Links were followed out of the folder, and a pipe that was named hung."""
    outside = write(tmp_path, "outside/secret.txt", "secret")
    folder = tmp_path / "docs"
    write(folder, "a.txt", "a")
    (folder / "link.txt").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.txt")
    with pytest.warns(SkippedFilesWarning, match=r"4 of 5 files .* links .*broken.txt, link.txt, linked, pipe"):
        documents = load_documents(folder)
    assert [d.text for d in documents] == ["a"]
    with pytest.raises(UnknownFileType, match="links or not regular files"):
        load_documents(folder, strict=True)
    # What the user names is read, also through a link.
    assert load_documents(folder / "link.txt")[0].text == "secret"
    with pytest.raises(UnreadableDocument, match=r"pipe\.txt is not a regular file"):
        load_documents(folder / "pipe.txt")


def test_half_a_character_in_a_text_file_is_replaced(tmp_path):
    """PDF and HTML can hold what no one can store."""
    (document,) = load_documents(write(tmp_path, "a.html", "<p>bad &#xD83D; half</p>"))
    assert document.text == "bad \ufffd half"


@pytest.mark.parametrize("source", [None, 3, b"a.txt", {"a": 1}, [3], [None]])
def test_a_source_of_another_type_is_refused(source):
    with pytest.raises(InvalidQuery, match=r"source is .*; pass a path, a list of paths or"):
        load_documents(source)


def test_an_empty_path_is_not_the_working_folder():
    for source in ("", [""]):
        with pytest.raises(InvalidQuery, match="a path is empty"):
            load_documents(source)
    with pytest.raises(InvalidQuery, match="on_bad_row is 'drop'"):
        load_documents("x", on_bad_row="drop")


def test_messages_name_paths_as_text(tmp_path):
    """A message showed [PosixPath('emptyd')]."""
    (tmp_path / "emptyd").mkdir()
    with pytest.raises(EmptyCorpus, match=r"there is no document in /.*/emptyd; name files of type \.txt, ") as caught:
        load_documents([tmp_path / "emptyd"])
    assert "Posix" not in str(caught.value)
