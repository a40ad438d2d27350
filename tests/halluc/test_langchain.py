"""LangChain: the retriever and the check as parts of chains."""

import asyncio

import pytest

pytest.importorskip("langchain_core", reason="the extra langchain is not installed")

from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from halluc import HallucError, load_verifier
from halluc.errors import InvalidInput
from halluc.integrations.langchain import CheckAnswer, IndexRetriever
from retrieval import Passage, PassageIndex


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    passages = [
        Passage("zebra", "Zebras graze on the savannah of Kenya.", "Zebra", {"kind": "animal"}, "zebra.txt"),
        Passage("rose", "Roses grow in the gardens of Kent.", "Rose", {"kind": "plant"}),
    ]
    return PassageIndex.build(tmp_path_factory.mktemp("langchain") / "x.index", passages)[0]


def test_the_retriever_gives_documents_with_their_origin(index):
    (document,) = IndexRetriever(index=index, k=1).invoke("Where do zebras graze?")
    assert (document.id, document.page_content) == ("zebra", "Zebras graze on the savannah of Kenya.")
    assert document.metadata["kind"] == "animal"
    assert (document.metadata["title"], document.metadata["source"]) == ("Zebra", "zebra.txt")
    assert -1 <= document.metadata["similarity"] <= 1


def test_the_options_of_a_search_reach_the_index(index):
    retriever = IndexRetriever(index=index, k=2, mode="dense", filter={"kind": "plant"})
    assert [document.id for document in retriever.invoke("Where do zebras graze?")] == ["rose"]
    assert asyncio.run(retriever.ainvoke("Where do zebras graze?"))[0].id == "rose"


def test_a_chain_retrieves_answers_and_checks(index):
    chain = RunnablePassthrough.assign(context=lambda row: IndexRetriever(index=index, k=1).invoke(row["question"]))
    chain = chain.assign(answer=RunnableLambda(lambda _: AIMessage("Zebras graze in Kenya.")))
    report = (chain | CheckAnswer(verifier=load_verifier())).invoke({"question": "Where do zebras graze?"})
    assert [verdict.label for verdict in report.verdicts] == ["supported"]
    assert report.question == "Where do zebras graze?"
    evidence = report.verdicts[0].evidence[0]
    assert (evidence.passage.id, evidence.passage.title, evidence.passage.source) == ("zebra", "Zebra", "zebra.txt")


def test_a_batch_is_checked_together_and_equals_single_checks():
    calls = []

    class Counted:
        def __init__(self, verifier):
            self.verifier, self.name = verifier, verifier.name

        def probabilities(self, pairs):
            calls.append(len(pairs))
            return self.verifier.probabilities(pairs)

        def support(self, pairs):
            return self.probabilities(pairs)[:, 0]

    rows = [
        {"answer": "Zebras graze in Kenya.", "context": ["Zebras graze in Kenya.", Document(page_content="Roses grow.")]},
        {"answer": "Zebras do not graze.", "context": "Zebras graze in Kenya."},
    ]
    check = CheckAnswer(verifier=Counted(load_verifier()))
    reports = check.batch(rows)
    together = len(calls)
    singles = [check.invoke(row) for row in rows]
    assert together < len(calls) - together
    for report, single in zip(reports, singles, strict=True):
        assert report.score == pytest.approx(single.score, abs=1e-4)
        assert [v.label for v in report.verdicts] == [v.label for v in single.verdicts]


def test_an_index_takes_the_place_of_contexts(index):
    report = CheckAnswer(verifier=load_verifier(), index=index, k=1).invoke({"answer": "Zebras graze in Kenya."})
    assert report.mode == "factual support"
    assert report.verdicts[0].label == "supported"


def test_bad_rows_are_named_and_can_be_returned():
    check = CheckAnswer(verifier=load_verifier())
    with pytest.raises(InvalidInput, match="input 1 has no 'context'"):
        check.batch([{"answer": "Zebras graze.", "context": "Zebras graze."}, {"answer": "Zebras graze."}])
    good, bad = check.batch(
        [{"answer": "Zebras graze.", "context": "Zebras graze."}, {"answer": "Zebras graze."}], return_exceptions=True
    )
    assert good.verdicts
    assert isinstance(bad, HallucError)
    assert check.batch([]) == []
