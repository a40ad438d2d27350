"""LlamaIndex: retriever, postprocessor and evaluator."""

import asyncio

import pytest

pytest.importorskip("llama_index.core", reason="the extra llama-index is not installed")

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode

from halluc import load_verifier
from halluc.errors import InvalidInput
from halluc.integrations.llama_index import FaithfulnessEvaluator, IndexRetriever, RerankPostprocessor
from retrieval import Passage, PassageIndex, ScoringReranker


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    passages = [
        Passage("zebra", "Zebras graze on the savannah of Kenya.", "Zebra", {"kind": "animal"}, "zebra.txt"),
        Passage("rose", "Roses grow in the gardens of Kent.", "Rose", {"kind": "plant"}),
    ]
    return PassageIndex.build(tmp_path_factory.mktemp("llama") / "x.index", passages)[0]


def shortest(pairs):
    return [-len(text) for _, text in pairs]


def test_the_retriever_gives_nodes_with_their_origin(index):
    (hit,) = IndexRetriever(index, k=1).retrieve("Where do zebras graze?")
    assert (hit.node.node_id, hit.node.text) == ("zebra", "Zebras graze on the savannah of Kenya.")
    assert hit.node.metadata == {"kind": "animal", "title": "Zebra", "source": "zebra.txt"}
    assert hit.score > 0
    (other,) = IndexRetriever(index, filter={"kind": "plant"}).retrieve("Where do zebras graze?")
    assert other.node.node_id == "rose"


def test_the_postprocessor_puts_nodes_in_the_order_of_the_reranker():
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("aaa", "a", "aa")]
    rerank = RerankPostprocessor(reranker=ScoringReranker(shortest), top_n=2)
    best = rerank.postprocess_nodes(nodes, query_str="a?")
    assert [(node.node.text, node.score) for node in best] == [("a", -1.0), ("aa", -2.0)]
    assert rerank.postprocess_nodes([], query_str="a?") == []
    with pytest.raises(InvalidInput, match="no query"):
        rerank.postprocess_nodes(nodes)
    with pytest.raises(InvalidInput, match="top_n is 0"):
        RerankPostprocessor(reranker=ScoringReranker(shortest), top_n=0).postprocess_nodes(nodes, query_str="a?")


def test_the_parts_work_in_a_query_engine(index):
    engine = RetrieverQueryEngine.from_args(
        IndexRetriever(index, k=2),
        llm=MockLLM(),
        node_postprocessors=[RerankPostprocessor(reranker=ScoringReranker(shortest), top_n=1)],
    )
    response = engine.query("Where do zebras graze?")
    assert [source.node.node_id for source in response.source_nodes] == ["rose"]
    result = FaithfulnessEvaluator(verifier=load_verifier()).evaluate_response(response=response)
    assert result.contexts == ["Roses grow in the gardens of Kent."]


def test_the_evaluator_passes_what_the_contexts_support():
    evaluator = FaithfulnessEvaluator(verifier=load_verifier())
    contexts = ["Roses grow.", "Zebras graze on the savannah of Kenya."]
    good = evaluator.evaluate(response="Zebras graze in Kenya.", contexts=contexts)
    assert good.passing
    assert good.score > 0.5
    bad = asyncio.run(
        evaluator.aevaluate(query="Where?", response="Zebras do not graze. Zebras graze in Kenya.", contexts=contexts)
    )
    assert not bad.passing
    assert "Zebras do not graze." in bad.feedback
    nothing = evaluator.evaluate(response="I don't know.", contexts=contexts)
    assert nothing.invalid_result
    assert not nothing.passing
    assert nothing.invalid_reason
    with pytest.raises(InvalidInput, match="no response or no contexts"):
        evaluator.evaluate(response="Zebras graze.")
