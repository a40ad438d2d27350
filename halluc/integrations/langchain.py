"""LangChain: a retriever over an index, and a runnable that checks answers.

Needs the extra `langchain`. Not covered: chat models, for which LangChain has adapters to servers of the OpenAI protocol, so
also to `halluc serve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halluc.errors import InvalidInput, leaf_errors_as_ours, needs_extra
from halluc.verification.check import CheckReport, check_many
from retrieval import Hit, Passage

with needs_extra("langchain"):
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableConfig

__all__ = ["CheckAnswer", "IndexRetriever"]


class IndexRetriever(BaseRetriever):
    """Retrieve passages of a `PassageStore` as documents, whose metadata also have title, source, score and similarity.

    Attributes:
        index: an open `PassageStore`.
        k: number of documents.
        mode: "dense", "sparse" or "hybrid".
        filter, min_similarity, rerank: see `PassageStore.search`.
    """

    index: Any
    k: int = 5
    mode: str = "hybrid"
    filter: Any = None
    min_similarity: float | None = None
    rerank: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with leaf_errors_as_ours():
            hits = self.index.search(
                query, self.k, self.mode, filter=self.filter, min_similarity=self.min_similarity, rerank=self.rerank
            )
        return [_document(hit) for hit in hits]


class CheckAnswer(Runnable[dict[str, Any], CheckReport]):
    """Check answers as a step of a chain.

    The input has "answer" (a text, or a message with text), "context" (a text, or a list of texts and documents) unless
    there is an index, and optionally "question". The output is a `CheckReport`. `batch` checks all inputs together.

    Args:
        verifier: judges the claims; `load_verifier("default")` if None.
        index: where evidence is looked up if the inputs have no context.
        k: passages looked up per claim.
    """

    def __init__(self, *, verifier: Any = None, index: Any = None, k: int = 3) -> None:
        self._options = {"verifier": verifier, "index": index, "k": k}
        self._needs_context = index is None

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **_: Any) -> CheckReport:
        """Check one answer."""
        report: CheckReport = self._call_with_config(lambda one: self._check([one])[0], input, config)
        return report

    def batch(
        self,
        inputs: list[dict[str, Any]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **_: Any,
    ) -> list[CheckReport]:
        """Check several answers together; with `return_exceptions`, one by one."""
        if not inputs:
            return []
        reports: list[CheckReport]
        if return_exceptions:
            reports = super().batch(inputs, config, return_exceptions=True)
        else:
            reports = self._batch_with_config(self._check, inputs, config)
        return reports

    def _check(self, inputs: Sequence[dict[str, Any]]) -> list[CheckReport]:
        for number, values in enumerate(inputs):
            for name in ("answer", "context") if self._needs_context else ("answer",):
                if not isinstance(values, dict) or name not in values:
                    raise InvalidInput(f"input {number} has no {name!r}; pass a dictionary with {name}")
        return check_many(
            [_text(values["answer"]) for values in inputs],
            contexts=[_context(values["context"]) for values in inputs] if self._needs_context else None,
            questions=[values.get("question") for values in inputs],
            **self._options,
        )


def _document(hit: Hit) -> Document:
    passage = hit.passage
    facts = {"title": passage.title, "source": passage.source, "score": hit.score, "similarity": hit.similarity}
    known = {name: value for name, value in facts.items() if value is not None}
    return Document(id=passage.id, page_content=passage.text, metadata={**passage.metadata, **known})


def _text(answer: Any) -> Any:
    """The text of a message; anything else as it is."""
    text = getattr(answer, "text", answer)
    return text() if callable(text) and not isinstance(text, str) else text


def _context(context: Any) -> Any:
    """A context of halluc; documents become passages that keep their ids and titles."""
    if not isinstance(context, (list, tuple)):
        return context
    return [_passage(item, number) if isinstance(item, Document) else item for number, item in enumerate(context, 1)]


def _passage(document: Document, number: int) -> Passage:
    name = f"context {number}"
    title, source = document.metadata.get("title"), document.metadata.get("source")
    return Passage(document.id or name, document.page_content, title or name, source=source)
