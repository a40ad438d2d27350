"""Check an answer: which of its claims does the evidence support?

claims (claims/) -> evidence, a given context or passages of an index -> verifier (verifiers/) -> a verdict a claim, with
the sentence that decides it, the places of the answer that are not supported, and a score. Not here: how support is
measured, and the page that shows reports (report_page.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Claim, Label, Verdict
from halluc.errors import InvalidInput
from halluc.verification.judge import judge_claims

if TYPE_CHECKING:
    from halluc.claims import ClaimExtractor
    from halluc.verification.verifier import Verifier
    from retrieval import Hit, Passage, PassageIndex

__all__ = ["CheckReport", "Span", "check", "check_many", "labelled_spans"]

_WORST: tuple[Label, ...] = ("refuted", "not_enough_info", "supported")


@dataclass(frozen=True)
class Span:
    """Characters [start, end) of an answer with one label; `verdicts` are the indices of the verdicts that give it."""

    start: int
    end: int
    label: Label
    verdicts: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CheckReport:
    """What the evidence says of an answer.

    Attributes:
        answer, question: what was checked, and what it answers, if that was given.
        mode: "faithfulness" to a given context, or "factual support" by the passages of an index.
        verifier: the name of the verifier that judged.
        score: mean support of the check-worthy claims, in [0, 1] (FActScore, arXiv 2305.14251, eq. 1, with probabilities);
            None where there are none: an answer that states nothing is neither faithful nor unfaithful.
        verdicts: one per check-worthy claim. Its evidence is the sentence that speaks most for the label, as a `Hit` whose
            passage has `start` and `end` in the context or in the passage `document_id`; its score is the
            probability in [0, 1] of the label given that sentence alone (for "not_enough_info": of any other label).
        unchecked: the claims that are not check-worthy.
        unsupported: where the answer is refuted or unverified, in its order, without overlaps.
    """

    answer: str
    mode: Literal["faithfulness", "factual support"]
    verifier: str
    score: float | None
    verdicts: tuple[Verdict, ...] = ()
    unchecked: tuple[Claim, ...] = ()
    unsupported: tuple[Span, ...] = ()
    question: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "answer": self.answer,
            "question": self.question,
            "mode": self.mode,
            "verifier": self.verifier,
            "score": self.score,
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "unchecked": [claim.to_dict() for claim in self.unchecked],
            "unsupported": [span.to_dict() for span in self.unsupported],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CheckReport:
        """The report that `to_dict` gave these values for; other keys are left aside."""
        from retrieval import Hit, Passage

        def verdict(own: Mapping[str, Any]) -> Verdict:
            hits = tuple(Hit(**{**hit, "passage": Passage(**hit["passage"])}) for hit in own["evidence"])
            return Verdict(Claim(**own["claim"]), own["label"], own["support"], hits)

        return cls(
            answer=values["answer"],
            mode=values["mode"],
            verifier=values["verifier"],
            score=values["score"],
            verdicts=tuple(verdict(own) for own in values["verdicts"]),
            unchecked=tuple(Claim(**claim) for claim in values["unchecked"]),
            unsupported=tuple(Span(**{**span, "verdicts": tuple(span["verdicts"])}) for span in values["unsupported"]),
            question=values["question"],
        )


def check(
    answer: str,
    *,
    context: str | None = None,
    index: PassageIndex | None = None,
    verifier: Verifier | None = None,
    extractor: ClaimExtractor | None = None,
    k: int = 3,
    question: str | None = None,
) -> CheckReport:
    """Check one answer; see `check_many`.

    Args:
        answer: what to check.
        context: the text that the answer should be faithful to, of any length.
        index: where passages are looked up for each claim. Give either this or `context`.
        verifier: judges; `load_verifier("default")` if None.
        extractor: finds the claims; `RuleClaimExtractor` if None.
        k: passages looked up per claim.
        question: what the answer answers; a fragment ("308.") is judged as question and answer together.

    Raises:
        InvalidInput: answer or context is empty or not a string; both or neither of context and index; k below 1.
    """
    contexts = None if context is None else [context]
    return check_many(
        [answer], contexts=contexts, index=index, verifier=verifier, extractor=extractor, k=k, questions=[question]
    )[0]


def check_many(
    answers: Sequence[str],
    *,
    contexts: Sequence[str] | None = None,
    index: PassageIndex | None = None,
    verifier: Verifier | None = None,
    extractor: ClaimExtractor | None = None,
    k: int = 3,
    questions: Sequence[str | None] | None = None,
) -> list[CheckReport]:
    """Check answers, all their claims in one call of the verifier.

    A claim is supported if the context, or the best of its passages, supports it with a probability of at least 0.5; else
    it is refuted or unverified, by what the passage that speaks most against it makes likelier. A claim
    of more than some 75 tokens is judged in pieces, and the worst counts.

    Args:
        answers: (N,) what to check.
        contexts: (N,) a context for each answer, or None with an index.
        index, verifier, extractor, k: see `check`.
        questions: (N,) a question or None for each answer.

    Raises:
        InvalidInput: as `check`, and where there is not one context for each answer.
    """
    from halluc.claims import RuleClaimExtractor
    from halluc.verification import load_verifier

    if k < 1:
        raise InvalidInput(f"k is {k}; look up at least 1 passage per claim")
    if (contexts is None) == (index is None):
        given = "both a context and an index" if index is not None else "neither a context nor an index"
        raise InvalidInput(f"there is {given}; pass one of them")
    _require_texts("answer", answers)
    if contexts is not None:
        _require_texts("context", contexts)
        if len(contexts) != len(answers):
            raise InvalidInput(f"there are {len(contexts)} contexts for {len(answers)} answers; pass one for each")
    claims = (extractor or RuleClaimExtractor()).extract(answers, questions=questions)
    verifier = verifier or load_verifier()
    worthy = [(row, claim) for row, own in enumerate(claims) for claim in own if claim.check_worthy]
    evidence = _evidence(worthy, contexts, index, k)
    verdicts: list[list[Verdict]] = [[] for _ in answers]
    for (row, _), verdict in zip(worthy, judge_claims([c for _, c in worthy], evidence, verifier), strict=True):
        verdicts[row].append(verdict)
    mode: Literal["faithfulness", "factual support"] = "faithfulness" if index is None else "factual support"
    return [
        CheckReport(
            answer=answer,
            mode=mode,
            verifier=verifier.name,
            score=sum(v.support for v in own) / len(own) if own else None,
            verdicts=tuple(own),
            unchecked=tuple(claim for claim in claims[row] if not claim.check_worthy),
            unsupported=_unsupported(answer, own),
            question=questions[row] if questions else None,
        )
        for row, (answer, own) in enumerate(zip(answers, verdicts, strict=True))
    ]


def labelled_spans(verdicts: Sequence[Verdict]) -> list[Span]:
    """The parts of an answer that claims stand in, in order and without overlaps.

    Where one claim's span lies within another's ("Milan, *a city in the north*, is rich"), the inner one counts; of claims
    with the same span the worst label does.
    """
    edges = sorted({edge for verdict in verdicts for edge in (verdict.claim.start, verdict.claim.end)})
    spans: list[Span] = []
    for start, end in pairwise(edges):
        over = [i for i, v in enumerate(verdicts) if v.claim.start <= start and end <= v.claim.end]
        if not over:
            continue
        shortest = min(verdicts[i].claim.end - verdicts[i].claim.start for i in over)
        inner = tuple(i for i in over if verdicts[i].claim.end - verdicts[i].claim.start == shortest)
        label = min((verdicts[i].label for i in inner), key=_WORST.index)
        if spans and spans[-1].end == start and spans[-1].verdicts == inner:
            spans[-1] = replace(spans[-1], end=end)
        else:
            spans.append(Span(start, end, label, inner))
    return spans


def _unsupported(answer: str, verdicts: Sequence[Verdict]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for span in labelled_spans(verdicts):
        if span.label == "supported":
            continue
        last = merged[-1] if merged else None
        if last and last.label == span.label and not any(c.isalnum() for c in answer[last.end : span.start]):
            merged[-1] = Span(last.start, span.end, span.label, tuple(sorted({*last.verdicts, *span.verdicts})))
        else:
            merged.append(span)
    return tuple(merged)


def _require_texts(name: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InvalidInput(f"{name}s is a string; pass a list of strings")
    for i, text in enumerate(texts):
        which = f"the {name}" if len(texts) == 1 else f"{name} {i}"
        if not isinstance(text, str):
            raise InvalidInput(f"{which} is of type {type(text).__name__}; pass a string")
        if not text.strip():
            raise InvalidInput(f"{which} is empty; there is nothing to check{'' if name == 'answer' else ' against'}")


def _evidence(
    worthy: Sequence[tuple[int, Claim]], contexts: Sequence[str] | None, index: PassageIndex | None, k: int
) -> list[list[Passage]]:
    """Per claim the passages to read: its context as one passage, or what the index finds."""
    from retrieval import Passage

    if contexts is not None:
        whole = [Passage("context", context) for context in contexts]
        return [[whole[row]] for row, _ in worthy]
    if index is None or not worthy:
        return []
    found: list[list[Hit]] = index.search([claim.text for _, claim in worthy], k=k)
    return [[hit.passage for hit in hits] for hits in found]
