"""Haystack: components in a pipeline that is saved and loaded."""

import pytest

pytest.importorskip("haystack", reason="the extra haystack is not installed")

from haystack import Document, Pipeline

from halluc.errors import InvalidInput, RetrievalFailed
from halluc.integrations.haystack import AnswerChecker, IndexRetriever
from retrieval import Passage, PassageIndex


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    passages = [
        Passage("zebra", "Zebras graze on the savannah of Kenya.", "Zebra", {"kind": "animal"}, "zebra.txt"),
        Passage("rose", "Roses grow in the gardens of Kent.", "Rose", {"kind": "plant"}),
    ]
    path = tmp_path_factory.mktemp("haystack") / "x.index"
    PassageIndex.build(path, passages)
    return path


def test_a_saved_pipeline_retrieves_and_checks(index):
    pipeline = Pipeline()
    pipeline.add_component("retriever", IndexRetriever(str(index), k=1))
    pipeline.add_component("checker", AnswerChecker())
    pipeline.connect("retriever.documents", "checker.documents")
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["halluc.integrations.haystack"])
    replies = ["Zebras graze in Kenya.", "Zebras do not graze."]
    result = loaded.run(
        {"retriever": {"query": "Where do zebras graze?"}, "checker": {"replies": replies}},
        include_outputs_from={"retriever"},
    )
    (document,) = result["retriever"]["documents"]
    assert (document.id, document.meta) == ("zebra", {"kind": "animal", "title": "Zebra", "source": "zebra.txt"})
    reports = result["checker"]["reports"]
    assert [report.verdicts[0].label == "supported" for report in reports] == [True, False]
    assert result["checker"]["scores"] == [report.score for report in reports]
    assert not result["checker"]["grounded"]


def test_the_options_of_a_search_reach_the_index(index):
    retriever = IndexRetriever(str(index), mode="dense", filter={"kind": "plant"})
    assert [document.id for document in retriever.run(query="zebras", k=2)["documents"]] == ["rose"]


def test_replies_are_grounded_only_if_every_claim_is_supported():
    checker = AnswerChecker()
    documents = [Document(content="Zebras graze in Kenya."), Document(content=None)]
    assert checker.run(replies=["Zebras graze in Kenya."], documents=documents)["grounded"]
    assert not checker.run(replies=["I don't know."], documents=documents)["grounded"]
    with pytest.raises(InvalidInput, match="no documents with text"):
        checker.run(replies=["Zebras graze."], documents=[])


def test_a_missing_index_is_named():
    with pytest.raises(RetrievalFailed, match=r"no index at nowhere\.index"):
        IndexRetriever("nowhere.index").run(query="zebras")


@pytest.mark.parametrize("url", ["postgresql://u:s3cret@host/db", "qdrant://:s3cret@host#x"])
def test_a_url_with_a_password_is_refused_before_it_can_be_saved(url):
    with pytest.raises((InvalidInput, RetrievalFailed), match="leave it out") as error:
        IndexRetriever(url)
    assert "s3cret" not in str(error.value)
