"""What passages say of claims: a label, the support, and the sentence that decides.

Passages are read whole, for the verdict, and their likeliest sentences alone, for the quotation, all in one call of the
verifier. Not here: where claims and passages come from (checking.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from halluc.answers import Claim, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.verification.verifier import Verifier
    from retrieval import Passage

__all__ = ["claim_pieces", "judge_claims", "judge_in_pieces"]

# Sentences of an evidence that are read alone, to name the one that decides: those nearest in words, and their neighbours.
_CANDIDATES = 4
# Tokens of a claim, roughly counted, that are judged at once; and the characters at which a word is cut.
_CLAIM_TOKENS = 75
_LONGEST_WORD = 40


def judge_claims(claims: Sequence[Claim], evidence: Sequence[Sequence[Passage]], verifier: Verifier) -> list[Verdict]:
    """One verdict per claim: that of its worst piece, since a long statement holds only if all of it does."""
    return judge_in_pieces(
        claims, lambda pieces: _judged([p for _, p in pieces], [evidence[i] for i, _ in pieces], verifier)
    )


def judge_in_pieces(claims: Sequence[Claim], judge: Callable[[list[tuple[int, Claim]]], list[Verdict]]) -> list[Verdict]:
    """One verdict per claim, the worst that `judge` gives of its pieces; it gets them with the number of their claim."""
    pieces = [(i, replace(claim, text=piece)) for i, claim in enumerate(claims) for piece in claim_pieces(claim.text)]
    worst: dict[int, Verdict] = {}
    for (i, _), verdict in zip(pieces, judge(pieces), strict=True):
        if i not in worst or _badness(verdict) > _badness(worst[i]):
            worst[i] = replace(verdict, claim=claims[i])
    return [worst[i] for i in range(len(claims))]


def _badness(verdict: Verdict) -> tuple[bool, float]:
    return verdict.label == "refuted", -verdict.support


def claim_pieces(claim: str) -> list[str]:
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
    from halluc.verification.verifier import labels_of
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
        from halluc.grounding.context import terms
        from retrieval.sentences import sentence_spans

        self.spans = sentence_spans(text)
        self._holders: dict[str, list[int]] = defaultdict(list)
        for i, (start, end) in enumerate(self.spans):
            for term in terms(text[start:end]):
                self._holders[term].append(i)

    def nearest(self, claim: str) -> list[tuple[int, int]]:
        """Spans of the sentences that share the rarest words with the claim, and of the neighbours of the best."""
        from halluc.grounding.context import terms

        if len(self.spans) <= _CANDIDATES + 2:
            return self.spans
        shared: dict[int, float] = defaultdict(float)
        for term in terms(claim):
            for i in self._holders.get(term, ()):
                shared[i] += 1 / len(self._holders[term])
        best = [i for i, _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:_CANDIDATES]] or [0]
        chosen = {*best, best[0] - 1, best[0] + 1}
        return [self.spans[i] for i in sorted(chosen) if 0 <= i < len(self.spans)]
