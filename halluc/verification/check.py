"""Check an answer: which of its claims does the evidence support?

claims (halluc.claims) -> passages, of a context or an index -> one verdict per claim (judge.py), with the sentence that
decides it, the spans of the answer that are not supported, and a score. Not covered: batches from files (check_file.py) and
the page that shows reports (page.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Claim, Verdict
from halluc.errors import InvalidInput, check_same_length, check_text, check_texts, leaf_errors_as_ours
from halluc.verification.contexts import Context, context_passages
from halluc.verification.judge import Judge
from halluc.verification.spans import Span, unsupported_spans
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.claims import ClaimExtractor
    from halluc.verification.verifier import Verifier
    from retrieval import Hit, Passage, PassageStore

__all__ = ["CheckReport", "check", "check_many"]


@dataclass(frozen=True)
class CheckReport(Record):
    """What the evidence says about an answer.

    Attributes:
        answer, question: what was checked, and the question it answers, if there is one.
        mode: "faithfulness" to a given context, or "factual support" by the passages of an index.
        verifier: the name of the verifier that judged.
        score: mean support of the check-worthy claims, in [0, 1] (FActScore, arXiv 2305.14251, eq. 1, with probabilities);
            None where there are none: an answer that states nothing is neither faithful nor unfaithful.
        verdicts: one per check-worthy claim. Its evidence is the sentence that speaks most for the label; a context of one
            text is the passage "context", and those of a list are named as `context_passages` says.
        unchecked: the claims that are not check-worthy.
        reason: why nothing was checked; empty if something was.
        unsupported: the characters that the evidence contradicts or says nothing about, in order, without overlaps: words,
            if the verifier marks them (`SpanVerifier`), else whole claims.
    """

    answer: str
    mode: Literal["faithfulness", "factual support"]
    verifier: str
    score: float | None
    verdicts: tuple[Verdict, ...] = ()
    unchecked: tuple[Claim, ...] = ()
    unsupported: tuple[Span, ...] = ()
    question: str | None = None
    reason: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckReport:
        """Rebuild the report that `to_dict` described; other keys are ignored."""
        return cls(
            answer=values["answer"],
            mode=values["mode"],
            verifier=values["verifier"],
            score=values["score"],
            verdicts=tuple(Verdict.from_dict(verdict) for verdict in values["verdicts"]),
            unchecked=tuple(Claim(**claim) for claim in values["unchecked"]),
            unsupported=tuple(Span(**{**span, "verdicts": tuple(span["verdicts"])}) for span in values["unsupported"]),
            question=values["question"],
            reason=values.get("reason", ""),
        )


def check(
    answer: str,
    *,
    context: Context | None = None,
    index: PassageStore | None = None,
    verifier: Verifier | None = None,
    extractor: ClaimExtractor | None = None,
    k: int = 3,
    question: str | None = None,
) -> CheckReport:
    """Check one answer; see `check_many`.

    Args:
        answer: the text to check.
        context: the text that the answer should be faithful to, of any length, or several: a list of texts, or of passages
            with names of their own.
        index: where passages are looked up for each claim. Pass either this or `context`.
        verifier: computes the probabilities; `load_verifier("default")` if None.
        extractor: finds the claims; `RuleClaimExtractor` if None.
        k: passages looked up per claim.
        question: the question that is answered; a fragment ("308.") is judged as question and answer together.

    Returns:
        The report.

    Raises:
        InvalidInput: answer or context is empty, not text, or has a lone surrogate; both or neither of context and index;
            k below 1.
        RetrievalFailed: the index cannot be searched.
    """
    check_text("answer", answer)
    if context is not None:
        context_passages(context)
    contexts = None if context is None else [context]
    return check_many(
        [answer], contexts=contexts, index=index, verifier=verifier, extractor=extractor, k=k, questions=[question]
    )[0]


def check_many(
    answers: Sequence[str],
    *,
    contexts: Sequence[Context] | None = None,
    index: PassageStore | None = None,
    verifier: Verifier | None = None,
    extractor: ClaimExtractor | None = None,
    k: int = 3,
    questions: Sequence[str | None] | None = None,
) -> list[CheckReport]:
    """Check answers, the claims of all of them together, in two calls of the verifier.

    The rule that gives the verdicts is that of `halluc.verification.judge`.

    Args:
        answers: (N,) the texts to check.
        contexts: (N,) a context for each answer (see `check`), or None with an index.
        index, verifier, extractor, k: see `check`.
        questions: (N,) a question or None for each answer.

    Returns:
        (N,) reports.

    Raises:
        InvalidInput: as `check`, and if there is not one context and one question for each answer.
        RetrievalFailed: the index cannot be searched.
    """
    from halluc.claims import RuleClaimExtractor
    from halluc.verification import load_verifier

    _check_arguments(answers, contexts, index, k, questions)
    claims = (extractor or RuleClaimExtractor()).extract(answers, questions=questions)
    verifier = verifier or load_verifier()
    worthy = [(row, claim) for row, claims_of_row in enumerate(claims) for claim in claims_of_row if claim.check_worthy]
    passages = _passages(worthy, contexts, index, k)
    verdicts: list[list[Verdict]] = [[] for _ in answers]
    judged = Judge(verifier).verdicts([claim for _, claim in worthy], passages, quote=True)
    passages_of: list[list[Sequence[Passage]]] = [[] for _ in answers]
    for (row, _), verdict, own_passages in zip(worthy, judged, passages, strict=True):
        verdicts[row].append(verdict)
        passages_of[row].append(own_passages)
    unsupported = unsupported_spans(verifier, answers, verdicts, passages_of)
    mode: Literal["faithfulness", "factual support"] = "faithfulness" if index is None else "factual support"
    return [
        CheckReport(
            answer=answer,
            mode=mode,
            verifier=verifier.name,
            score=_score(verdicts[row]),
            verdicts=tuple(verdicts[row]),
            unchecked=tuple(claim for claim in claims[row] if not claim.check_worthy),
            unsupported=unsupported[row],
            question=questions[row] if questions else None,
            reason="" if verdicts[row] else _why_unchecked(answer, claims[row]),
        )
        for row, answer in enumerate(answers)
    ]


def _check_arguments(
    answers: Sequence[str],
    contexts: Sequence[Context] | None,
    index: PassageStore | None,
    k: int,
    questions: Sequence[str | None] | None,
) -> None:
    if k < 1:
        raise InvalidInput(f"k is {k}; look up at least 1 passage per claim")
    if (contexts is None) == (index is None):
        sources = "both a context and an index" if index is not None else "neither a context nor an index"
        raise InvalidInput(f"there is {sources}; pass one of them")
    check_texts("answers", answers)
    if isinstance(contexts, str):
        check_texts("contexts", contexts)
    for number, context in enumerate(contexts or ()):
        context_passages(context, f"contexts[{number}]")
    check_same_length(answers=answers, contexts=contexts, questions=questions)


def _score(verdicts: Sequence[Verdict]) -> float | None:
    return sum(verdict.support for verdict in verdicts) / len(verdicts) if verdicts else None


def _why_unchecked(answer: str, claims: Sequence[Claim]) -> str:
    """Why an answer without a check-worthy claim was not checked."""
    from halluc.claims.abstention import abstains
    from halluc.claims.markup import final_answer, plain_text

    if not final_answer(answer).strip():
        return "the answer holds only the model's thoughts"
    if abstains(answer):
        return "the answer is an abstention"
    code = plain_text(answer).code
    if claims and all((claim.start, claim.end) in code for claim in claims):
        return "the answer is only code"
    if not claims:
        return "the answer is only markup, such as citations or a list of sources"
    return "the answer states nothing that evidence could confirm or deny"


def _passages(
    worthy: Sequence[tuple[int, Claim]], contexts: Sequence[Context] | None, index: PassageStore | None, k: int
) -> list[list[Passage]]:
    """The passages of each claim: those of its context, or what the index finds."""
    if contexts is not None:
        passages = [context_passages(context) for context in contexts]
        return [passages[row] for row, _ in worthy]
    if index is None or not worthy:
        return []
    with leaf_errors_as_ours():
        results: list[list[Hit]] = index.search([claim.text for _, claim in worthy], k=k)
    return [[hit.passage for hit in hits] for hits in results]
