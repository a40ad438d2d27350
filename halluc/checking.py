"""Check an answer: which of its claims does the evidence support?

claims (claims/) -> evidence, a given context or passages of an index -> verifier (verifiers/) -> a verdict a claim, with
the sentence that decides it, the places of the answer that are not supported, and a score. Not here: how support is
measured, and the page that shows reports (report_page.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Claim, Label, Verdict
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.claims import ClaimExtractor
    from halluc.verifiers.verifier import Verifier
    from retrieval import Hit, Passage, PassageIndex

__all__ = ["CheckReport", "Span", "check", "check_many", "labelled_spans"]

# Sentences of an evidence that are read alone, to name the one that decides: those nearest in words, and their neighbours.
_CANDIDATES = 4
# Tokens of a claim, roughly counted, that are judged at once; and the characters at which a word is cut.
_CLAIM_TOKENS = 75
_LONGEST_WORD = 40
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
    from halluc.verifiers import load_verifier

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
    for (row, _), verdict in zip(worthy, _verdicts([c for _, c in worthy], evidence, verifier), strict=True):
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


def _verdicts(claims: Sequence[Claim], evidence: Sequence[Sequence[Passage]], verifier: Verifier) -> list[Verdict]:
    """One verdict per claim: that of its worst piece, since a long statement holds only if all of it does."""
    pieces = [(i, replace(claim, text=piece)) for i, claim in enumerate(claims) for piece in _pieces(claim.text)]
    judged = _judged([piece for _, piece in pieces], [evidence[i] for i, _ in pieces], verifier)
    worst: dict[int, Verdict] = {}
    for (i, _), verdict in zip(pieces, judged, strict=True):
        if i not in worst or _badness(verdict) > _badness(worst[i]):
            worst[i] = replace(verdict, claim=claims[i])
    return [worst[i] for i in range(len(claims))]


def _badness(verdict: Verdict) -> tuple[bool, float]:
    return verdict.label == "refuted", -verdict.support


def _pieces(claim: str) -> list[str]:
    """The claim in pieces of whole words, about as long as each other, that verifiers read whole; mostly itself.

    A table or a list without full stops makes a claim of any length, and cross-encoders read some 90 tokens of one.
    """
    words = [word[i : i + _LONGEST_WORD] for word in claim.split() for i in range(0, len(word), _LONGEST_WORD)]
    costs = [sum(_tokens(part) for part in re.findall(r"[A-Za-z]+|\d+|\S", word)) for word in words]
    count = -(-sum(costs) // _CLAIM_TOKENS)
    if count <= 1:
        return [claim]
    pieces: list[list[str]] = [[]]
    spent = 0
    for word, cost in zip(words, costs, strict=True):
        if pieces[-1] and spent + cost > sum(costs) / count + _LONGEST_WORD // 8:
            pieces.append([])
            spent = 0
        pieces[-1].append(word)
        spent += cost
    return [" ".join(piece) for piece in pieces]


def _tokens(part: str) -> int:
    """About what a word piece vocabulary makes of letters, digits or one other sign."""
    if part.isdigit():
        return -(-len(part) // 2)
    return 1 if len(part) <= 7 else -(-len(part) // 4)


def _judged(claims: Sequence[Claim], evidence: Sequence[Sequence[Passage]], verifier: Verifier) -> list[Verdict]:
    """One verdict per claim; whole passages and single sentences are read in one batch."""
    readers: dict[str, _Sentences] = {}
    pairs: list[tuple[str, str]] = []
    plans: list[list[tuple[Passage, int, list[tuple[int, int]]]]] = []
    for claim, passages in zip(claims, evidence, strict=True):
        plan = []
        for passage in passages:
            reader = readers.setdefault(passage.text, _Sentences(passage.text))
            candidates = reader.nearest(claim.text)
            plan.append((passage, len(pairs), candidates))
            pairs.append((passage.text, claim.text))
            pairs += [(passage.text[start:end], claim.text) for start, end in candidates]
        plans.append(plan)
    if not pairs:
        return [Verdict(claim, "not_enough_info", 0.0) for claim in claims]
    probabilities = verifier.probabilities(pairs)
    return [_verdict(claim, plan, probabilities) for claim, plan in zip(claims, plans, strict=True)]


def _verdict(
    claim: Claim, plan: Sequence[tuple[Passage, int, list[tuple[int, int]]]], probabilities: NDArray[np.float64]
) -> Verdict:
    from halluc.verifiers.verifier import labels_of
    from retrieval import Hit, Passage

    if not plan:
        return Verdict(claim, "not_enough_info", 0.0)
    rows = [first for _, first, _ in plan]
    support = float(probabilities[rows, 0].max())
    deciding = probabilities[rows, 0].argmax() if support >= 0.5 else probabilities[rows, 1].argmax()
    label = labels_of(probabilities[[rows[int(deciding)]]])[0]
    column = {"supported": 0, "refuted": 1}.get(label)
    best: tuple[float, Passage, tuple[int, int]] | None = None
    for passage, first, candidates in plan:
        for offset, place in enumerate(candidates, 1):
            row = probabilities[first + offset]
            value = float(1 - row[2] if column is None else row[column])
            if best is None or value > best[0]:
                best = (value, passage, place)
    if best is None:
        return Verdict(claim, label, support)
    value, passage, (start, end) = best
    sentence = Passage(
        id=f"{passage.id}[{start}:{end}]",
        text=passage.text[start:end],
        title=passage.title,
        metadata=passage.metadata,
        source=passage.source,
        document_id=passage.id,
        start=start,
        end=end,
    )
    return Verdict(claim, label, support, (Hit(sentence, value, 1),))


class _Sentences:
    """The sentences of one evidence, found by the words they share with a claim."""

    def __init__(self, text: str) -> None:
        from halluc.packing import terms
        from retrieval.sentences import sentence_spans

        self.spans = sentence_spans(text)
        self._holders: dict[str, list[int]] = defaultdict(list)
        for i, (start, end) in enumerate(self.spans):
            for term in terms(text[start:end]):
                self._holders[term].append(i)

    def nearest(self, claim: str) -> list[tuple[int, int]]:
        """Spans of the sentences that share the rarest words with the claim, and of the neighbours of the best."""
        from halluc.packing import terms

        if len(self.spans) <= _CANDIDATES + 2:
            return self.spans
        shared: dict[int, float] = defaultdict(float)
        for term in terms(claim):
            for i in self._holders.get(term, ()):
                shared[i] += 1 / len(self._holders[term])
        best = [i for i, _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:_CANDIDATES]] or [0]
        chosen = {*best, best[0] - 1, best[0] + 1}
        return [self.spans[i] for i in sorted(chosen) if 0 <= i < len(self.spans)]
