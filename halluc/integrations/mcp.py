"""Model Context Protocol: a server of tools with which a language model checks answers, asks and searches.

Needs the extra `mcp`. The tools are `check`, with an index also `search`, and with an index and a model also `ask`. Not
covered: the command that starts the server (halluc/cli/mcp.py) and the server of the OpenAI protocol (halluc.server).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from halluc import __version__
from halluc.errors import HallucError, needs_extra
from retrieval.errors import RetrievalError

with needs_extra("mcp"):
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp_types import ToolAnnotations
    from pydantic import Field

if TYPE_CHECKING:
    from halluc.answers import Verdict
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["create_mcp_server"]

_INSTRUCTIONS = (
    "Before you state facts from a text or from the index, check your draft with the tool check, and correct or drop claims "
    "that are not labeled supported. A verdict is a statistical judgment of a small model, not a proof."
)


def create_mcp_server(
    *, verifier: Verifier, index: PassageStore | None = None, grounded: GroundedModel | None = None, k: int = 3
) -> MCPServer[Any]:
    """Build a server; `run()` serves one client on standard input and output.

    Args:
        verifier: judges claims.
        index: what `search` searches, and what `check` looks claims up in if a call has no context; None offers no `search`.
        grounded: answers questions; None offers no `ask`.
        k: passages looked up per claim.
    """
    server: MCPServer[Any] = MCPServer("halluc", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(verifier, index, grounded, k)
    offered: list[Callable[..., dict[str, Any]]] = [tools.check]
    if index is not None:
        offered.append(tools.search)
    if grounded is not None:
        offered.append(tools.ask)
    for tool in offered:
        server.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False))
    return server


class _Tools:
    """The tools; their docstrings and annotations are what a client reads."""

    def __init__(self, verifier: Verifier, index: PassageStore | None, grounded: GroundedModel | None, k: int) -> None:
        self._verifier, self._index, self._grounded, self._k = verifier, index, grounded, k
        # Calls come in threads; the models work on one at a time.
        self._lock = threading.Lock()

    def check(
        self,
        answer: Annotated[str, Field(description="The text to check.")],
        context: Annotated[
            str | list[str] | None,
            Field(description="The text or texts that the answer should be faithful to; leave it out to use the index."),
        ] = None,
        question: Annotated[str | None, Field(description="The question that the answer replies to.")] = None,
    ) -> dict[str, Any]:
        """Check which claims of an answer the context, or the index, supports or refutes."""
        from halluc.verification.check import check

        with self._working():
            index = self._index if context is None else None
            report = check(answer, context=context, index=index, verifier=self._verifier, k=self._k, question=question)
        return {
            "score": report.score,
            "claims": [_described(verdict) for verdict in report.verdicts],
            "unchecked": [claim.text for claim in report.unchecked],
            "reason": report.reason,
            "mode": report.mode,
            "verifier": report.verifier,
        }

    def search(
        self,
        query: Annotated[str, Field(description="What to look for: a question or key words.")],
        k: Annotated[int, Field(description="Number of passages.", ge=1, le=50)] = 5,
        mode: Annotated[
            Literal["hybrid", "dense", "sparse"], Field(description="By meaning, by words, or both.")
        ] = "hybrid",
    ) -> dict[str, Any]:
        """Search the index for passages."""
        assert self._index is not None
        with self._working():
            self._index.refresh()
            hits = self._index.search(query, k, mode)
        return {
            "passages": [
                {
                    "id": hit.passage.id,
                    "title": hit.passage.title,
                    "source": hit.passage.source,
                    "text": hit.passage.text,
                    "score": hit.score,
                }
                for hit in hits
            ]
        }

    def ask(self, question: Annotated[str, Field(description="The question.")]) -> dict[str, Any]:
        """Answer a question from the index, with citations and verdicts, or say why there is no answer."""
        assert self._grounded is not None
        with self._working():
            answer = self._grounded.ask(question)
        return {
            "text": answer.text,
            "abstained": answer.abstained,
            "reason": answer.reason,
            "confidence": answer.confidence,
            "claims": [_described(verdict) for verdict in answer.verdicts],
            "citations": [citation.to_dict() for citation in answer.citations],
        }

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Run one call at a time; errors on purpose become messages that the client's model reads."""
        try:
            with self._lock:
                yield
        except (HallucError, RetrievalError) as error:
            raise ToolError(str(error)) from error


def _described(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.text,
        "label": verdict.label,
        "support": verdict.support,
        "evidence": [{"source": item.passage.title or item.passage.id, "text": item.text} for item in verdict.evidence],
    }
