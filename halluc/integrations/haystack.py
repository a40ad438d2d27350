"""Haystack: components that retrieve from an index and that check replies against documents.

Needs the extra `haystack`. Components are saved with a pipeline: they hold the path of an index and the name of a verifier,
and load them in `warm_up`. Not covered: generators; Haystack has adapters to servers of the OpenAI protocol, and so to
`halluc serve`.
"""

from __future__ import annotations

from typing import Any

from halluc.errors import InvalidInput, leaf_errors_as_ours, needs_extra
from halluc.verification import load_verifier
from halluc.verification.check import CheckReport, check_many
from retrieval import Passage, PassageStore, open_store
from retrieval.locations import checked_location

with needs_extra("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict

__all__ = ["AnswerChecker", "IndexRetriever"]


@component
class IndexRetriever:
    """Retrieve passages of an index as documents, whose meta also have title and source.

    Args:
        path: the index: a folder, or a URL, which is refused if it has a password, since saved pipelines hold it.
        k: number of documents.
        mode: "dense", "sparse" or "hybrid".
        filter: metadata that passages must have.
        min_similarity: leave out less similar passages (see `PassageStore.search`).
        embedder: the embedder of the index, to name only if it is an endpoint (see `open_store`).

    Raises:
        RetrievalFailed: the path is not one of an index.
    """

    def __init__(
        self,
        path: str,
        k: int = 5,
        mode: str = "hybrid",
        filter: dict[str, Any] | None = None,
        min_similarity: float | None = None,
        embedder: str | None = None,
    ) -> None:
        with leaf_errors_as_ours():
            self.path = checked_location(str(path))
        self.k, self.mode, self.filter, self.min_similarity = k, mode, filter, min_similarity
        self.embedder = embedder
        self._index: PassageStore | None = None

    def to_dict(self) -> dict[str, Any]:
        """Describe the component, to save a pipeline."""
        names = ("path", "k", "mode", "filter", "min_similarity", "embedder")
        description: dict[str, Any] = default_to_dict(self, **{name: getattr(self, name) for name in names})
        return description

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> IndexRetriever:
        """Rebuild the component that `to_dict` described."""
        rebuilt: IndexRetriever = default_from_dict(cls, data)
        return rebuilt

    def warm_up(self) -> None:
        """Open the index.

        Raises:
            RetrievalFailed: it cannot be opened.
        """
        if self._index is None:
            with leaf_errors_as_ours():
                self._index = open_store(self.path, embedder=self.embedder)

    @component.output_types(documents=list[Document])
    def run(self, query: str, k: int | None = None) -> dict[str, Any]:
        """Retrieve documents for a query.

        Args:
            query: the query.
            k: number of documents; that of the component if None.

        Returns:
            A dictionary with "documents", best first.
        """
        self.warm_up()
        assert self._index is not None
        options: dict[str, Any] = {"filter": self.filter, "min_similarity": self.min_similarity}
        with leaf_errors_as_ours():
            hits = self._index.search(query, self.k if k is None else k, self.mode, **options)  # type: ignore[call-overload]
        return {"documents": [_document(hit.passage, hit.score) for hit in hits]}


@component
class AnswerChecker:
    """Check replies of a generator against the documents that it read.

    Args:
        verifier: a name for `load_verifier`.
    """

    def __init__(self, verifier: str = "default") -> None:
        self.verifier = verifier
        self._loaded: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Describe the component, to save a pipeline."""
        description: dict[str, Any] = default_to_dict(self, verifier=self.verifier)
        return description

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AnswerChecker:
        """Rebuild the component that `to_dict` described."""
        rebuilt: AnswerChecker = default_from_dict(cls, data)
        return rebuilt

    def warm_up(self) -> None:
        """Load the verifier."""
        if self._loaded is None:
            self._loaded = load_verifier(self.verifier)

    @component.output_types(reports=list[CheckReport], scores=list[float | None], grounded=bool)
    def run(self, replies: list[str], documents: list[Document], question: str | None = None) -> dict[str, Any]:
        """Check replies.

        Args:
            replies: texts to check.
            documents: what they should be faithful to.
            question: what they answer.

        Returns:
            A dictionary with "reports" and "scores", one for each reply, and "grounded": whether every claim of every reply
            is supported; a reply that states nothing is not.
        """
        self.warm_up()
        passages = [Passage(document.id, document.content) for document in documents if document.content]
        if not passages:
            raise InvalidInput("there are no documents with text to check the replies against; connect a retriever")
        reports = check_many(
            replies, contexts=[passages] * len(replies), verifier=self._loaded, questions=[question] * len(replies)
        )
        grounded = all(
            report.verdicts and all(verdict.label == "supported" for verdict in report.verdicts) for report in reports
        )
        return {"reports": reports, "scores": [report.score for report in reports], "grounded": grounded}


def _document(passage: Passage, score: float) -> Document:
    facts = {"title": passage.title, "source": passage.source}
    known = {name: value for name, value in facts.items() if value is not None}
    return Document(id=passage.id, content=passage.text, meta={**passage.metadata, **known}, score=score)
