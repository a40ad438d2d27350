"""LlamaIndex: a retriever over an index, a postprocessor that reranks nodes, and an evaluator of faithfulness.

Needs the extra `llama-index`. Not covered: language models, for which LlamaIndex has adapters to servers of the OpenAI
protocol, so also to `halluc serve`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from halluc.answers import LABEL_NAMES
from halluc.errors import InvalidInput, check_integer, leaf_errors_as_ours, needs_extra
from halluc.verification.check import CheckReport, check
from retrieval import Hit, Passage

with needs_extra("llama-index"):
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.evaluation import BaseEvaluator, EvaluationResult
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.prompts.mixin import PromptDictType
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

__all__ = ["FaithfulnessEvaluator", "IndexRetriever", "RerankPostprocessor"]


class IndexRetriever(BaseRetriever):
    """Retrieve passages of a `PassageStore` as text nodes, whose metadata also have title and source.

    Args:
        index: an open `PassageStore`.
        k: number of nodes.
        mode: "dense", "sparse" or "hybrid".
        options: `filter`, `min_similarity` and `rerank` of `PassageStore.search`.
    """

    def __init__(self, index: Any, *, k: int = 5, mode: str = "hybrid", **options: Any) -> None:
        super().__init__()
        self._index, self._k, self._mode, self._options = index, k, mode, options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with leaf_errors_as_ours():
            hits: list[Hit] = self._index.search(query_bundle.query_str, self._k, self._mode, **self._options)
        return [NodeWithScore(node=_node(hit.passage), score=hit.score) for hit in hits]


class RerankPostprocessor(BaseNodePostprocessor):
    """Put retrieved nodes in the order of a reranker.

    Attributes:
        reranker: a `retrieval.Reranker`, or the folder or hub id of a cross-encoder.
        top_n: number of nodes to keep; None for all.
    """

    reranker: Any
    top_n: int | None = None

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serializes this class."""
        return "HallucRerankPostprocessor"

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        from retrieval.rerank import checked_reranker, reranked

        if query_bundle is None:
            raise InvalidInput("there is no query to rerank the nodes for; pass query_str or query_bundle")
        if self.top_n is not None:
            check_integer("top_n", self.top_n, 1)
        if not nodes:
            return []
        hits = [Hit(Passage(str(number), node.node.get_content()), 0.0, number + 1) for number, node in enumerate(nodes)]
        with leaf_errors_as_ours():
            # A name is loaded once.
            self.reranker = checked_reranker(self.reranker)
            best = reranked(self.reranker, [query_bundle.query_str], [hits], self.top_n or len(nodes))[0]
        return [NodeWithScore(node=nodes[int(hit.passage.id)].node, score=hit.score) for hit in best]


class FaithfulnessEvaluator(BaseEvaluator):
    """Evaluate whether the contexts support a response.

    `passing` is whether every claim is supported, `score` the mean support of the claims, and `feedback` names the claims
    that are not supported. A response that states nothing is an invalid result, with the reason.

    Args:
        verifier: judges the claims; `load_verifier("default")` if None.
    """

    def __init__(self, *, verifier: Any = None) -> None:
        self._verifier = verifier

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
        pass

    def evaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[str] | None = None,
        **_: Any,
    ) -> EvaluationResult:
        """Check a response against contexts."""
        if response is None or not contexts:
            raise InvalidInput("there is no response or no contexts; pass both")
        report = check(response, context=list(contexts), verifier=self._verifier, question=query)
        unsupported = [verdict for verdict in report.verdicts if verdict.label != "supported"]
        return EvaluationResult(
            query=query,
            response=response,
            contexts=contexts,
            passing=bool(report.verdicts) and not unsupported,
            score=report.score,
            feedback=_feedback(report),
            invalid_result=report.score is None,
            invalid_reason=report.reason or None,
        )

    async def aevaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[str] | None = None,
        **_: Any,
    ) -> EvaluationResult:
        """Check a response against contexts, in a thread."""
        return await asyncio.to_thread(self.evaluate, query, response, contexts)


def _node(passage: Passage) -> TextNode:
    facts = {"title": passage.title, "source": passage.source}
    known = {name: value for name, value in facts.items() if value is not None}
    return TextNode(id_=passage.id, text=passage.text, metadata={**passage.metadata, **known})


def _feedback(report: CheckReport) -> str:
    return "\n".join(
        f"{LABEL_NAMES[verdict.label]} (support {verdict.support:.2f}): {verdict.claim.text}" for verdict in report.verdicts
    )
