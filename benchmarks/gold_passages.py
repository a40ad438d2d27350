"""Questions with a gold passage: citations that are judged by it, and whether the packaged verifiers know the passage.

Scripts import this module before they remove their own folder from the path, since some of them have the name of a package.
"""

from __future__ import annotations

from pathlib import Path

from figures import read_rows


def known_passages(path: Path) -> set[str]:
    """The ids of the passages that are in the training part of the packaged verifiers."""
    return {row["id"] for row in read_rows(path) if is_known(row["text"])}


def is_known(text: str) -> bool:
    """Whether a document is in the training part of the packaged verifiers."""
    from training.verifier.pairs import part_of

    return part_of(text) == "train"


def gold_scores(answers, gold: list[str]):
    """ALCE's scores if a statement follows from its question's own passage alone; `gold` has the ids of these passages."""
    from halluc import CitationScores, citation_scores
    from halluc.grounding.citation_scores import cited_statements

    parts = []
    for answer, passage_id in zip(answers, gold, strict=True):
        statements = cited_statements(answer)
        if statements:
            ids = (passage_id,)
            parts.append(
                citation_scores([statements], lambda cited, _, ids=ids: any((p.document_id or p.id) in ids for p in cited))
            )
    return CitationScores(
        sum(part.recall for part in parts) / len(parts),
        sum(part.precision for part in parts) / len(parts),
        len(parts),
        sum(part.statements for part in parts),
        sum(part.citations for part in parts),
    )
