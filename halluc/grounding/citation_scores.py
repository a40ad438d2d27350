"""Citation recall and precision of answers (ALCE, arXiv 2305.14627, section 4).

An answer is a list of statements s_i, each with a set C_i of cited passages. A judge says whether passages together entail a
statement, phi(C, s) = 1 or 0.

- Recall of a statement: 1 if C_i is not empty and phi(C_i, s_i) = 1, else 0.
- A citation c of C_i is irrelevant if phi({c}, s_i) = 0 and phi(C_i without c, s_i) = 1.
- Precision of a citation: 1 if its statement has recall 1 and it is not irrelevant, else 0.

The recall of an answer is the mean over its statements, its precision the mean over its citations, 0 if it has none; both
are averaged over the answers. Not covered: choosing citations (citing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from halluc.answers import Answer, Claim
from halluc.errors import InvalidInput
from halluc.verification.judge import Judge
from halluc.verification.verifier import Verifier
from retrieval.records import Record

if TYPE_CHECKING:
    from retrieval import Passage

__all__ = ["CitationScores", "CitedStatement", "Entails", "citation_scores", "cited_statements"]

Entails: TypeAlias = Callable[[Sequence["Passage"], str], bool]
"""Whether passages together entail a statement."""


@dataclass(frozen=True)
class CitedStatement:
    """A statement of an answer, and the passages that it cites."""

    text: str
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class CitationScores(Record):
    """How good the citations of answers are.

    Attributes:
        recall: mean over answers of the share of statements that their citations entail, in [0, 1].
        precision: mean over answers of the share of citations that are needed or suffice, in [0, 1].
        answers, statements, citations: how many there were; answers without statements, such as abstentions, do not count.
    """

    recall: float
    precision: float
    answers: int
    statements: int
    citations: int


def citation_scores(answers: Sequence[Sequence[CitedStatement] | Answer], judge: Verifier | Entails) -> CitationScores:
    """Measure citations by ALCE's recall and precision.

    Args:
        answers: answers of a `GroundedModel`, or the statements of answers.
        judge: a verifier, whose label "supported" counts as entailment, or a function.

    Raises:
        InvalidInput: there is no statement.
    """
    rows = [cited_statements(answer) if isinstance(answer, Answer) else list(answer) for answer in answers]
    rows = [statements for statements in rows if statements]
    if not rows:
        raise InvalidInput("there is no statement in the answers; pass at least one answer that states something")
    readings = [
        (subset, statement.text)
        for statements in rows
        for statement in statements
        for subset in _subsets(statement.passages)
    ]
    entailed = iter(_entailments(judge, readings))
    recalls, precisions = [], []
    for statements in rows:
        recalled, kept = [], []
        for statement in statements:
            holds = [next(entailed) for _ in _subsets(statement.passages)]
            recall = bool(holds) and holds[0]
            n = len(statement.passages)
            recalled.append(recall)
            # After the whole set come the single citations, then the sets without each.
            kept += [recall and (n == 1 or holds[1 + i] or not holds[1 + n + i]) for i in range(n)]
        recalls.append(sum(recalled) / len(recalled))
        precisions.append(sum(kept) / len(kept) if kept else 0.0)
    return CitationScores(
        recall=sum(recalls) / len(rows),
        precision=sum(precisions) / len(rows),
        answers=len(rows),
        statements=sum(map(len, rows)),
        citations=sum(len(statement.passages) for statements in rows for statement in statements),
    )


def cited_statements(answer: Answer) -> list[CitedStatement]:
    """The sentences of an answer that state something, and the passages that each cites.

    A judged sentence is written as its claims are, to be understood alone ("308." becomes question and answer). A last
    sentence that was cut is left out, since it was not judged.
    """
    from retrieval.split import sentence_spans

    passages = {hit.passage.id: hit.passage for hit in answer.hits}
    statements = []
    for start, end in sentence_spans(answer.text):
        claims = [verdict.claim.text for verdict in answer.verdicts if start <= verdict.claim.start < end]
        if not claims and (answer.verdicts or answer.unchecked):
            continue
        cited = [c.passage_id for c in answer.citations if any(start <= place[0] < end for place in c.sentences)]
        statements.append(
            CitedStatement(" ".join(claims) or answer.text[start:end], tuple(passages[name] for name in cited))
        )
    return statements


def _subsets(passages: Sequence[Passage]) -> list[list[Passage]]:
    """The sets that are read for a statement: all its citations, each alone, all but each."""
    if not passages:
        return []
    if len(passages) == 1:
        return [list(passages)]
    alone = [[passage] for passage in passages]
    without = [[other for j, other in enumerate(passages) if j != i] for i in range(len(passages))]
    return [list(passages), *alone, *without]


def _entailments(judge: Verifier | Entails, readings: Sequence[tuple[Sequence[Passage], str]]) -> list[bool]:
    from retrieval import Passage

    if not isinstance(judge, Verifier):
        return [bool(judge(passages, text)) for passages, text in readings]
    joined = [[Passage("cited", "\n\n".join(passage.text for passage in passages))] for passages, _ in readings]
    claims = [Claim(text, 0, len(text)) for _, text in readings]
    return [verdict.label == "supported" for verdict in Judge(judge).verdicts(claims, joined)]
