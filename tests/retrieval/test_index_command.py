"""`halluc index` as a user types it, in this process."""

import json
import re
import threading
from pathlib import Path

import pytest

from retrieval import PassageIndex


@pytest.fixture
def rows(tmp_path):
    """Twenty rows, of which one has half a character and one is not JSON for its NaN."""
    lines = [json.dumps({"id": f"r{i}", "text": f"Town {i} has {i} houses."}) for i in range(20)]
    lines[4] = r'{"id": "r4", "text": "bad \ud83d half."}'
    lines[9] = '{"id": "r9", "text": "Town 9", "score": NaN}'
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["build", "add"])
def test_rows_that_cannot_be_used_are_named_and_the_rest_is_indexed(halluc, rows, built, tmp_path, command):
    """One row ended the build with "unexpected UnicodeEncodeError" and nothing in the index."""
    path = tmp_path / "new.index"
    if command == "build":
        code, out, err = halluc("index", "build", rows, "--out", path)
    else:
        (tmp_path / "first.txt").write_text("The first town.")
        halluc("index", "build", tmp_path / "first.txt", "--out", path)
        code, out, err = halluc("index", "add", rows, "--index", path)
    assert code == 2, err
    assert json.loads(out)["added"] == 18
    (sentence,) = json.loads(out)["skipped"]
    assert f"line 5 of {rows} has a lone surrogate" in sentence
    assert f"line 10 of {rows} holds NaN" in sentence
    assert err.startswith("halluc: 2 of 20 rows of")
    assert {"r3", "r5"} <= {passage.id for passage in PassageIndex.open(path)}


def test_strict_names_the_rows_that_cannot_be_used_and_makes_nothing(halluc, rows, tmp_path):
    code, out, err = halluc("index", "build", rows, "--out", tmp_path / "new.index", "--strict")
    assert (code, out) == (2, "")
    assert f"line 5 of {rows} has a lone surrogate" in err
    assert not (tmp_path / "new.index").exists()


def test_a_taken_path_is_refused_before_anything_is_read(halluc, index, monkeypatch):
    """It was refused after all documents had been read."""
    monkeypatch.setattr("retrieval.documents.read_documents", lambda *_, **__: pytest.fail("read"))
    code, _, err = halluc("index", "build", "nowhere.txt", "--out", index.path)
    assert code == 2
    assert "already exists" in err


def test_a_search_without_hits_says_so(halluc, index):
    """It printed nothing."""
    arguments = ("index", "search", "xylophone", "--index", index.path, "--mode", "sparse")
    code, out, _ = halluc(*arguments, "--no-json")
    assert code == 0
    assert out.replace("\n", "") == f"no passage of {index.path} matches 'xylophone'"
    assert json.loads(halluc(*arguments, "--json")[1]) == []


def test_an_empty_folder_is_named_as_text(halluc, tmp_path):
    """The message showed [PosixPath(...)]."""
    (tmp_path / "emptyd").mkdir()
    code, _, err = halluc("index", "build", tmp_path / "emptyd", "--out", tmp_path / "new.index")
    assert code == 2
    assert f"there is no document in {tmp_path / 'emptyd'}; name files" in err


@pytest.fixture
def endpoint():
    """An embedding endpoint that keeps the authorization it was sent."""
    from http.server import ThreadingHTTPServer

    from test_embedders import Embeddings

    keys = []

    class Recording(Embeddings):
        def send_response(self, *arguments):
            keys.append(self.headers["Authorization"])
            super().send_response(*arguments)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1#letters", keys
    server.shutdown()
    server.server_close()


def test_an_index_built_with_an_endpoint_contacts_it_only_if_it_is_named_again(halluc, tmp_path, endpoint, monkeypatch):
    """`index search` sent the question and the key to the host that the index named."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    url, keys = endpoint
    (tmp_path / "z.txt").write_text("zzzz zz")
    path = tmp_path / "e.index"
    assert halluc("index", "build", tmp_path / "z.txt", "--out", path, "--embedder", url)[0] == 0
    assert set(keys) == {"Bearer secret"}
    keys.clear()
    (tmp_path / "q.txt").write_text("qqqq qq")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "zz", "passage_id": str(tmp_path / "z.txt")}))
    for arguments in (("search", "zz"), ("add", tmp_path / "q.txt"), ("eval", questions)):
        code, _, err = halluc("index", *arguments, "--index", path)
        assert code == 2
        assert f"built with the endpoint {url}, which is not contacted" in err
        assert keys == []
        code, _, err = halluc("index", *arguments, "--index", path, "--embedder", url)
        assert code == 0, err
        assert keys
        keys.clear()


def test_every_command_that_opens_an_index_lets_the_user_name_its_endpoint(halluc, tmp_path, endpoint):
    root = Path(__file__).parents[2]
    calls = [
        (path.name, call)
        for package in ("halluc", "training")
        for path in (root / package).rglob("*.py")
        for call in re.findall(r"\bopen_store\((.*?)\)", path.read_text(encoding="utf-8"))
    ]
    without_embedder = {(name, call) for name, call in calls if "embedder=" not in call}
    # Facts about an index need no embedder.
    assert without_embedder == {("index.py", "index")}
    assert len(calls) >= 10
    url, keys = endpoint
    (tmp_path / "z.txt").write_text("The zoo has seven zebras.")
    path = tmp_path / "e.index"
    assert halluc("index", "build", tmp_path / "z.txt", "--out", path, "--embedder", url)[0] == 0
    keys.clear()
    code, _, err = halluc("check", "The zoo has seven zebras.", "--index", path)
    assert (code, keys) == (2, [])
    assert "which is not contacted" in err
    code, out, err = halluc("check", "The zoo has seven zebras.", "--index", path, "--embedder", url)
    assert code == 0, err
    assert json.loads(out)["verdicts"][0]["label"] == "supported"
