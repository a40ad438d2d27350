"""Uploads to the index of a server, and its passages."""

import pytest
from served import ScriptedModel, Served
from stand_in_verifiers import SharedWords

from halluc import GroundedModel
from halluc.errors import InvalidInput
from halluc.server import ServerOptions, create_app, create_proxy
from retrieval import Passage, PassageIndex
from retrieval.synchronize import sync_documents

RIVER = b"# Elbe\n\nThe Elbe is 1094 kilometres long.\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "uploads"


@pytest.fixture
def index(tmp_path):
    made = PassageIndex.create(tmp_path / "x.index")
    made.add([Passage("a/b c?#1", "Marie Curie was born in Warsaw.", "Curie")])
    return made


@pytest.fixture
def server(index, folder):
    model = ScriptedModel("The Elbe is 1094 kilometres long.")
    grounded = GroundedModel(model, index, verifier=SharedWords())
    options = ServerOptions(uploads=folder, max_upload=5000, max_body=500)
    served = Served(create_app(model, grounded=grounded, verifier=grounded.verifier, options=options))
    yield served
    served.stop()


def test_an_uploaded_document_is_searched_replaced_and_removed(server, folder, index):
    made = server.put("/documents/elbe.md", RIVER)
    assert (made.status_code, made.json()["added"], made.json()["replaced"]) == (201, 1, False)
    assert (folder / "elbe.md").read_bytes() == RIVER
    reply = server.chat({"messages": [{"role": "user", "content": "How long is the Elbe?"}]}).json()["halluc"]
    assert [verdict["label"] for verdict in reply["verdicts"]] == ["supported"]
    assert reply["spans"][0]["label"] == "supported"
    replaced = server.put("/documents/elbe.md", b"The Elbe ends near Cuxhaven.")
    assert (replaced.status_code, replaced.json()["added"], replaced.json()["removed"]) == (200, 1, 1)
    listed = server.get("/documents").json()
    assert listed == {"documents": 2, "passages": 2, "uploaded": [{"name": "elbe.md", "bytes": 28}]}
    assert [path.name for path in folder.iterdir()] == ["elbe.md"]
    removed = server.delete("/documents/elbe.md")
    assert (removed.status_code, removed.json()["removed"], removed.json()["passages"]) == (200, 1, 1)
    assert server.delete("/documents/elbe.md").status_code == 404
    index.refresh()
    assert [passage.title for passage in index] == ["Curie"]


def test_the_folder_of_uploads_can_be_synchronized(server, folder, index):
    server.put("/documents/elbe.md", RIVER)
    update = sync_documents(index, folder).update
    assert (update.new, update.changed, update.deleted, update.unchanged) == ((), (), (), 1)


def test_rows_that_a_table_lost_leave_the_index(server):
    rows = [b'{"text": "The Rhine ends in the Netherlands."}\n', b'{"text": "The Oder ends in the Baltic Sea."}\n']
    assert server.put("/documents/rivers.jsonl", b"".join(rows)).json()["passages"] == 3
    assert server.put("/documents/rivers.jsonl", rows[0]).json()["passages"] == 2


def test_a_document_is_not_replaced_unless_that_is_asked(server, folder):
    server.put("/documents/elbe.md", RIVER)
    refused = server.put("/documents/elbe.md", b"other", headers={"if-none-match": "*"})
    assert refused.status_code == 412
    assert "'elbe.md'" in refused.json()["error"]["message"]
    assert (folder / "elbe.md").read_bytes() == RIVER


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("..%2Fx.md", RIVER, 404, ""),
        ("..%5Cx.md", RIVER, 400, "cannot be the name"),
        (".hidden.md", RIVER, 400, "cannot be the name"),
        ("a%00b.md", RIVER, 400, "cannot be the name"),
        ("x" * 200 + ".md", RIVER, 400, "at most 200 bytes"),
        ("tool.exe", RIVER, 415, "'tool.exe' is of no type that can be read"),
        ("x.md", b"", 400, "'x.md' is empty"),
        ("x.pdf", b"not a PDF", 400, "x.pdf"),
        ("x.txt", b"\x00\x01\x02" * 50, 400, "x.txt"),
        ("x.md", b"x" * 5001, 413, "longer than 5000 bytes"),
    ],
)
def test_an_upload_that_cannot_be_used_is_refused_and_changes_nothing(server, folder, name, content, status, message):
    reply = server.put(f"/documents/{name}", content)
    assert reply.status_code == status
    assert message in reply.json()["error"]["message"]
    assert str(folder) not in reply.text
    assert list(folder.iterdir()) == []
    assert server.get("/documents").json()["passages"] == 1


def test_a_damaged_upload_leaves_the_document_that_it_would_replace(server, folder):
    server.put("/documents/elbe.txt", RIVER)
    assert server.put("/documents/elbe.txt", b"\x00\x01\x02" * 50).status_code == 400
    assert (folder / "elbe.txt").read_bytes() == RIVER
    assert server.get("/documents").json()["passages"] == 2


def test_other_requests_keep_their_own_limit_of_size(server):
    assert server.post("/check", {"answer": "x" * 600, "context": "x"}).status_code == 413


def test_pages_of_others_cannot_upload(server, folder):
    assert server.put("/documents/elbe.md", RIVER, headers={"origin": "https://evil.example"}).status_code == 403
    assert list(folder.iterdir()) == []


def test_a_passage_is_read_whole_by_its_id(server):
    assert server.get("/passages/a%2Fb%20c%3F%231").json()["text"] == "Marie Curie was born in Warsaw."
    missing = server.get("/passages/none")
    assert (missing.status_code, missing.json()["error"]["message"][:27]) == (404, "there is no passage 'none';")


def test_a_server_without_a_folder_takes_no_documents(index):
    grounded = GroundedModel(ScriptedModel(), index)
    served = Served(create_app(grounded.lm, grounded=grounded))
    assert served.put("/documents/elbe.md", RIVER).status_code == 403
    assert served.delete("/documents/elbe.md").status_code == 403
    features = served.get("/features").json()
    assert (features["uploads"], features["checks"], features["passages"]) == (False, False, 1)
    served.stop()
    alone = Served(create_app(grounded.lm))
    assert alone.get("/passages/x").status_code == 404
    assert alone.get("/documents").json() == {"documents": 0, "passages": 0, "uploaded": []}
    assert alone.get("/features").json()["passages"] is None
    alone.stop()


def test_a_proxy_takes_documents_too(index, folder):
    app = create_proxy("http://127.0.0.1:9/v1", verifier=SharedWords(), index=index, options=ServerOptions(uploads=folder))
    served = Served(app)
    assert served.put("/documents/elbe.md", RIVER).status_code == 201
    assert served.get("/features").json()["model"] == "http://127.0.0.1:9/v1"
    assert served.get("/").headers["content-type"].startswith("text/html")
    served.stop()


def test_a_folder_that_cannot_be_used_is_named(index, tmp_path):
    model = ScriptedModel()
    with pytest.raises(InvalidInput, match="there is no index"):
        create_app(model, options=ServerOptions(uploads=tmp_path))
    (tmp_path / "file").write_text("x")
    grounded = GroundedModel(model, index)
    with pytest.raises(InvalidInput, match="cannot be made"):
        create_app(model, grounded=grounded, options=ServerOptions(uploads=tmp_path / "file"))
    with pytest.raises(InvalidInput, match="is inside the index"):
        create_app(model, grounded=grounded, options=ServerOptions(uploads=index.path / "uploads"))
