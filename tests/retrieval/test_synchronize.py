"""The life of an index: documents that change, shrink, move and go, in the library and on the command line."""

import json

import pytest

from retrieval import Passage, PassageIndex, delete_documents, put_documents, sync_documents
from retrieval.errors import UnknownId

LONG = "The harbor was built in 1640. It was closed in 1702. It is a park today. Swans nest in the park in spring."
OPTIONS = {"max_tokens": 10, "overlap": 0}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "docs"
    (made / "deep").mkdir(parents=True)
    (made / "long.txt").write_text(LONG)
    (made / "short.txt").write_text("Bergen has seven hills.")
    (made / "deep" / "table.csv").write_text("id,text\n,Oslo has 12 towers.\nr2,Narvik has a port.\n")
    return made


@pytest.fixture
def town(tmp_path, folder, embedder):
    index = PassageIndex.create(tmp_path / "town.index", embedder=embedder)
    index.add([Passage("note", "A note from elsewhere.")])
    sync_documents(index, folder, **OPTIONS)
    return index


def texts(index):
    return sorted(passage.text for passage in PassageIndex.open(index.path))


def test_a_document_that_shrank_from_four_passages_to_one_has_one(town, folder):
    """Three of the old ones stayed, since their ids were no longer named."""
    assert sum(passage.document_id == str(folder / "long.txt") for passage in town) == 4
    (folder / "long.txt").write_text("The harbor is gone.")
    report = put_documents(town, folder / "long.txt", **OPTIONS).update
    assert (report.changed, report.added, report.removed) == ((str(folder / "long.txt"),), 1, 4)
    assert [p.text for p in town if p.document_id == str(folder / "long.txt")] == ["The harbor is gone."]
    (folder / "long.txt").write_text(LONG)
    assert put_documents(town, folder / "long.txt", **OPTIONS).update.added == 4
    assert len(town) == 8


def test_what_did_not_change_is_neither_embedded_nor_written(town, folder, monkeypatch):
    embedded = []
    embed = town._embed
    monkeypatch.setattr(town, "_embed", lambda batch: embedded.extend(batch) or embed(batch))
    generation = town.info().generation
    report = sync_documents(town, folder, **OPTIONS).update
    assert (report.unchanged, report.added, report.removed) == (4, 0, 0)
    assert (town.info().generation, embedded) == (generation, [])
    # All sentences move by the length of the new one, and are written again with the vectors that they have.
    before = {hit.passage.text: hit.score for hit in town.search("Where do swans nest?", k=8, mode="dense")}
    embedded.clear()
    (folder / "long.txt").write_text("This is a new beginning of it all. " + LONG)
    report = sync_documents(town, folder, **OPTIONS).update
    assert report.changed == (str(folder / "long.txt"),)
    assert embedded == ["This is a new beginning of it all."]
    after = {hit.passage.text: hit.score for hit in town.search("Where do swans nest?", k=9, mode="dense")}
    assert {text: after[text] for text in before} == pytest.approx(before, abs=1e-5)


def test_synchronizing_adds_replaces_and_deletes_in_one_step(town, folder):
    generation = town.info().generation
    (folder / "short.txt").unlink()
    (folder / "deep" / "table.csv").write_text("id,text\nr2,Narvik has two ports.\n")
    (folder / "new.md").write_text("# Hamar\n\nHamar lies at a lake.")
    report = sync_documents(town, folder, **OPTIONS).update
    assert report.new == (str(folder / "new.md"),)
    assert report.changed == ("r2",)
    assert set(report.deleted) == {str(folder / "short.txt"), f"{folder / 'deep' / 'table.csv'}:2"}
    assert report.unchanged == 1
    assert town.info().generation == generation + 1
    assert "Bergen has seven hills." not in texts(town)
    assert {"A note from elsewhere.", "Narvik has two ports."} <= set(texts(town))


def test_documents_of_what_cannot_be_read_stay(town, folder):
    """Else a file that is damaged, or a folder that is not there today, would empty the index."""
    before = texts(town)
    (folder / "short.txt").write_bytes(b"\0\1\2")
    (folder / "deep" / "table.csv").write_text("id,text\n,Oslo has 12 towers.\nr2,Narvik, has a port.\n")
    report = sync_documents(town, folder, **OPTIONS)
    assert set(report.read.unreadable) == {str(folder / "short.txt")}
    assert not report.read.is_complete
    assert texts(town) == before
    assert sync_documents(town, folder.parent / "docs2", **OPTIONS).update is None
    folder.rename(folder.parent / "moved")
    assert sync_documents(town, folder, **OPTIONS).update is None
    assert texts(town) == before


def test_a_folder_is_the_same_however_its_path_is_written(town, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for name in ("docs", "./docs", "docs/../docs"):
        report = sync_documents(town, name, **OPTIONS).update
        assert (report.unchanged, report.new, report.deleted) == (4, (), ()), name
    assert put_documents(town, "docs/short.txt", **OPTIONS).update.unchanged == 1
    assert delete_documents(town, ["docs/short.txt"]) == (str(folder / "short.txt"),)


def test_documents_are_deleted_by_id_file_and_folder(town, folder):
    with pytest.raises(UnknownId, match=r"holds nothing called 'nowhere', 'nothing'"):
        delete_documents(town, ["note", "nowhere", "nothing"])
    assert len(town) == 8
    assert delete_documents(town, ["note", f"{folder / 'long.txt'}#0"]) == ("note", f"{folder / 'long.txt'}#0")
    assert len(town) == 6
    assert len(delete_documents(town, [folder / "deep"])) == 2
    town.delete([str(folder / "long.txt")])
    assert texts(town) == ["Bergen has seven hills."]


def test_an_update_of_an_unknown_document_is_refused_reported_or_added(town):
    new = Passage("z#0", "Zebras are striped.", document_id="z")
    with pytest.raises(UnknownId, match=r"has no document 'z'; pass on_missing='add'"):
        town.update([new, Passage("note", "Another note.")])
    report = town.update([new, Passage("note", "Another note.")], on_missing="skip")
    assert (report.missing, report.changed) == (("z",), ("note",))
    assert town.update([new], on_missing="add").new == ("z",)
    assert town.update([], delete=["z"]).deleted == ("z",)
    assert len(town) == 8


def test_two_tables_whose_rows_have_the_same_ids_are_both_indexed(tmp_path, embedder):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"id,text\n1,Row of {name}.\n")
    index = PassageIndex.create(tmp_path / "x.index", embedder=embedder)
    put_documents(index, [tmp_path / "a.csv", tmp_path / "b.csv"])
    assert sorted(passage.id for passage in index) == [f"{tmp_path}/a.csv:2", f"{tmp_path}/b.csv:2"]


# -- the command line ----------------------------------------------------------------------------------------------------


def test_one_bad_file_never_ends_a_folder_and_all_are_named_at_once(halluc, folder, tmp_path):
    """Each run ended at the first bad file, with nothing in the index."""
    (folder / "empty.txt").write_text(" ")
    (folder / "scan.pdf").write_bytes(b"no pdf")
    (folder / "latin.txt").write_bytes("Grüße aus Köln.".encode("latin-1"))
    (folder / "wide.txt").write_text("Wide characters.", encoding="utf-16")
    path = tmp_path / "x.index"
    code, out, err = halluc("index", "build", folder, "--out", path)
    assert code == 2
    report = json.loads(out)
    assert set(report["unreadable"]) == {str(folder / "empty.txt"), str(folder / "scan.pdf")}
    assert "empty.txt holds no text" in err
    assert "scan.pdf cannot be read as a pdf" in err
    assert "2 files could not be read" in err
    assert {"Grüße aus Köln.", "Wide characters."} <= {passage.text for passage in PassageIndex.open(path)}
    code, out, err = halluc("index", "build", folder, "--out", tmp_path / "y.index", "--strict")
    assert (code, out) == (2, "")
    assert "empty.txt" in err
    assert "scan.pdf" in err
    assert not (tmp_path / "y.index").exists()


def test_the_commands_of_the_life_cycle(halluc, folder, tmp_path):
    path = tmp_path / "x.index"
    options = ("--index", path, "--max-tokens", "10", "--overlap", "0")
    assert halluc("index", "build", folder, "--out", path, *options[2:])[0] == 0
    code, out, _ = halluc("index", "add", folder, *options)
    assert (code, json.loads(out)["unchanged"], json.loads(out)["added"]) == (0, 4, 0)
    (folder / "long.txt").write_text("The harbor is gone.")
    (folder / "new.txt").write_text("Hamar lies at a lake.")
    code, out, err = halluc("index", "update", folder, *options)
    assert (code, json.loads(out)["changed"], json.loads(out)["passages"]) == (0, [str(folder / "long.txt")], 4)
    assert "1 document left out because not in" in err
    assert "new.txt" in err
    (folder / "short.txt").unlink()
    code, out, _ = halluc("index", "sync", folder, *options, "--no-json")
    assert code == 0
    assert out.startswith("documents: 1 new, 0 changed, 1 deleted, 3 unchanged; 1 passage written to")
    listed = json.loads(halluc("index", "list", path)[1])
    assert [(document["id"], document["passages"]) for document in listed if "txt" in document["id"]] == [
        (str(folder / "long.txt"), 1), (str(folder / "new.txt"), 1)
    ]  # fmt: skip
    code, out, _ = halluc("index", "delete", folder / "deep", "--index", path, "--no-json")
    assert (code, out.strip()) == (0, f"2 documents with 2 passages deleted from {path}, which holds 2 now")
    code, _, err = halluc("index", "delete", "nowhere", "--index", path)
    assert code == 2
    assert "holds nothing called 'nowhere'" in err


def test_a_column_of_a_table_can_be_named(halluc, tmp_path):
    (tmp_path / "a.csv").write_text("question,answer,price\nWhen open?,At nine.,7\n")
    path = tmp_path / "x.index"
    assert halluc("index", "build", tmp_path / "a.csv", "--out", path, "--text-column", "answer")[0] == 0
    assert [passage.text for passage in PassageIndex.open(path)] == ["At nine."]
