"""The one rule by which claims are judged against passages.

`Judge` applies it; grounding, checking, rewards, confidence and detectors all call it.

For a claim c and passages e_1 … e_n the verifier gives the probabilities p_i(supported), p_i(refuted) and
p_i(not enough information).

1. *Nothing to read.* Passages without text are left out. With none left, the label is not_enough_info and the support is 0.
2. *Which passage decides.* The passages are read one by one and, if there are several, also joined, since a claim may need
   two of them. The support is the largest p(supported) of these readings (the maximum over units of SummaC, arXiv
   2111.09525, section 3). If it is at least 0.5, the label is supported and the passage with the largest p_i(supported)
   decides. Otherwise the passage with the largest p_i(refuted) decides: the label is refuted if there p(refuted) > p(not
   enough information), else not_enough_info.
3. *Long claims.* A claim longer than verifiers read is cut into pieces of whole words, each is judged by rule 2, and the
   worst piece counts: a refuted one before any other, then the one with the least support. A long statement holds only if
   all of it does.
4. *What is cited for it.* Nothing for a refuted claim. For any other, the passages with p_i(supported) of at least 0.4 and
   at least 0.8 of the largest: verifiers are less sure of a short answer than of which passage it is from. If a supported
   claim has no such passage, it was the joined reading that supports it: then the fewest of the best passages that do
   together.
5. *A whole answer* has the support of its least supported claim. If nothing in it was checked, that is 0: nothing shows
   that it is right, so every threshold on support holds it back (`answer_support`).

Not covered: where claims and passages come from (halluc.claims, check.py), and how probabilities are computed
(cross_encoder.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halluc.answers import Answer, Claim, Evidence, Label, Verdict
from halluc.errors import InvalidInput, check_same_length
from halluc.verification.evidence import terms
from retrieval.tracing import span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.verification.verifier import Verifier
    from retrieval import Passage

__all__ = ["Judge", "answer_support", "claim_pieces", "label_of", "verdict_support", "verifier_support"]

Row = tuple[float, float, float]
"""Probabilities of supported, refuted and not_enough_info; they sum to 1."""

# Read pairs that a judge keeps; a pair takes about a kilobyte.
_MAX_KEPT = 100_000
# Sentences of a passage that are read alone to find the one that decides: those nearest in words, and neighbors of the
# best.
_MAX_CANDIDATES = 4
# Least probability at which a passage is cited for a claim, and its least share of the best one. Chosen by citations of
# accepted answers, on passages that the default verifier is trained on (benchmarks/citations.py --part known).
_LEAST_CITED = 0.4
_LEAST_CITED_SHARE = 0.8
# Passages that are tried together where none supports a claim alone.
_MAX_TOGETHER = 4
# Tokens of a claim, roughly counted, that are judged at once; and the characters at which a word is cut.
_CLAIM_TOKENS = 75
_MAX_WORD_LENGTH = 40


class Judge:
    """Judges claims against passages with one verifier, by the rule of this module.

    Pairs of passage and claim that were read are kept, since a policy in training says the same things often; when there
    are too many they are all forgotten.

    Args:
        verifier: computes the probabilities.
    """

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        self._rows: dict[tuple[str, str], Row] = {}

    def verdicts(
        self, claims: Sequence[Claim], passages: Sequence[Sequence[Passage]], *, quote: bool = False
    ) -> list[Verdict]:
        """Judge each claim against its own passages, all of them in one call of the verifier.

        Args:
            claims: (N,) what to judge.
            passages: (N,) the passages of each claim; there may be none.
            quote: narrow the evidence of each verdict to the sentence of the deciding passage that speaks most for the
                label; takes a second call of the verifier, for at most six sentences per claim. Without it, the evidence is
                the whole passage.

        Returns:
            (N,) verdicts. A verifier that gives NaN makes the support NaN.

        Raises:
            InvalidInput: the lengths differ, or the verifier refuses a pair.
        """
        check_same_length(claims=claims, passages=passages)
        with span("verification", {"verification.verifier": self.verifier.name, "verification.claims": len(claims)}):
            return self._verdicts(claims, passages, quote)

    def _verdicts(self, claims: Sequence[Claim], passages: Sequence[Sequence[Passage]], quote: bool) -> list[Verdict]:
        readable = [[passage for passage in row if passage.text.strip()] for row in passages]
        pieces = [claim_pieces(claim.text) for claim in claims]
        self._read(
            (text, piece)
            for row, own_pieces in zip(readable, pieces, strict=True)
            for text in _readings(row)
            for piece in own_pieces
        )
        decisions = [
            min((self._decide(piece, row) for piece in own_pieces), key=_worst_first) if row else None
            for row, own_pieces in zip(readable, pieces, strict=True)
        ]
        sources = self._sources(pieces, readable, decisions)
        if quote:
            decisions = self._quoted(decisions)
        return [
            Verdict(claim, decision.label, decision.support, (decision.evidence,), ids)
            if decision
            else Verdict(claim, "not_enough_info", 0.0)
            for claim, decision, ids in zip(claims, decisions, sources, strict=True)
        ]

    def _decide(self, piece: str, passages: Sequence[Passage]) -> _Decision:
        import numpy as np

        rows = np.array([self._rows[text, piece] for text in _readings(passages)])
        alone = rows[: len(passages)]
        # NaN is the largest for argmax, and so shows in the support.
        best = int(rows[:, 0].argmax())
        support = float(rows[best, 0])
        deciding = int(alone[:, 0].argmax() if support >= 0.5 else alone[:, 1].argmax())
        label = label_of(rows[best] if support >= 0.5 else alone[deciding])
        passage = passages[deciding]
        probability = _probability(label, alone[deciding])
        return _Decision(piece, label, support, Evidence(passage, 0, len(passage.text), probability))

    def _sources(
        self, pieces: Sequence[Sequence[str]], passages: Sequence[Sequence[Passage]], decisions: Sequence[_Decision | None]
    ) -> list[tuple[str, ...]]:
        """The passages to cite for each claim (rule 4); those of all its pieces, if it was cut."""
        found: list[dict[str, None]] = [{} for _ in decisions]
        together: list[tuple[int, str, list[Passage]]] = []
        for i, decision in enumerate(decisions):
            for piece in pieces[i] if decision is not None and decision.label != "refuted" else []:
                support = [self._rows[passage.text, piece][0] for passage in passages[i]]
                ranked = [passages[i][n] for n in sorted(range(len(support)), key=lambda n, s=support: -s[n])]  # type: ignore[misc]
                least = max(_LEAST_CITED, _LEAST_CITED_SHARE * max(support))
                if alone := sum(value >= least for value in support):
                    found[i].update(dict.fromkeys(passage.id for passage in ranked[:alone]))
                elif decision is not None and decision.label == "supported":
                    together.append((i, piece, ranked))
        self._read((_joined(ranked[:n]), piece) for _, piece, ranked in together for n in _sizes(ranked))
        for i, piece, ranked in together:
            enough = (n for n in _sizes(ranked) if self._rows[_joined(ranked[:n]), piece][0] >= 0.5)
            found[i].update(dict.fromkeys(passage.id for passage in ranked[: next(enough, len(ranked))]))
        return [tuple(ids) for ids in found]

    def _quoted(self, decisions: Sequence[_Decision | None]) -> list[_Decision | None]:
        """The decisions with their evidence narrowed to the sentence that speaks most for the label."""
        finders: dict[str, _SentenceFinder] = {}
        spans: list[list[tuple[int, int]]] = []
        for decision in decisions:
            if decision is None:
                spans.append([])
                continue
            text = decision.evidence.passage.text
            if text not in finders:
                finders[text] = _SentenceFinder(text)
            finder = finders[text]
            # A passage of one sentence has been read already.
            spans.append(finder.nearest(decision.piece) if len(finder.spans) > 1 else [])
        self._read(
            (decision.evidence.passage.text[start:end], decision.piece)
            for decision, candidates in zip(decisions, spans, strict=True)
            if decision
            for start, end in candidates
        )
        return [
            replace(decision, evidence=self._best_sentence(decision, candidates)) if decision else None
            for decision, candidates in zip(decisions, spans, strict=True)
        ]

    def _best_sentence(self, decision: _Decision, candidates: Sequence[tuple[int, int]]) -> Evidence:
        passage = decision.evidence.passage
        sentences = [
            Evidence(passage, start, end, _probability(decision.label, self._rows[passage.text[start:end], decision.piece]))
            for start, end in candidates
        ]
        return max(sentences, key=lambda sentence: sentence.probability, default=decision.evidence)

    def _read(self, pairs: Iterable[tuple[str, str]]) -> None:
        distinct = dict.fromkeys(pairs)
        if self._rows and len(self._rows) + len(distinct) > _MAX_KEPT:
            self._rows.clear()
        unread = [pair for pair in distinct if pair not in self._rows]
        if unread:
            self._rows.update(zip(unread, map(tuple, self.verifier.probabilities(unread).tolist()), strict=True))


def _readings(passages: Sequence[Passage]) -> list[str]:
    """The texts that are read for one claim: each passage, and all of them joined."""
    texts = [passage.text for passage in passages]
    return [*texts, _joined(passages)] if len(set(texts)) > 1 else texts


def _joined(passages: Sequence[Passage]) -> str:
    return "\n\n".join(passage.text for passage in passages)


def _sizes(passages: Sequence[Passage]) -> range:
    """The numbers of passages that are tried together before all are taken."""
    return range(2, min(len(passages), _MAX_TOGETHER + 1))


def label_of(row: Sequence[float] | NDArray[np.float64]) -> Label:
    """The label of one passage's probabilities (3,): supported from 0.5 on, else the likelier of the other two."""
    if row[0] >= 0.5:
        return "supported"
    return "refuted" if row[1] > row[2] else "not_enough_info"


def answer_support(verdicts: Sequence[Verdict]) -> float:
    """Support in [0, 1] of an answer with these verdicts: that of its least supported claim, and 0 if there is none."""
    return min((verdict.support for verdict in verdicts), default=0.0)


def verdict_support(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Compute the support of answers that a `GroundedModel` with a verifier has judged.

    Args:
        answers: (N,) answers.

    Returns:
        (N,) `answer_support` of each.
    """
    import numpy as np

    return np.array([answer_support(answer.verdicts) for answer in answers], dtype=np.float64)


def verifier_support(verifier: Verifier, evidence: Sequence[Sequence[str]], answers: Sequence[str]) -> NDArray[np.float64]:
    """Measure how far evidence supports answers.

    Args:
        verifier: computes the probabilities.
        evidence: (N,) for each answer the texts to judge it against.
        answers: (N,) texts; their check-worthy claims are judged.

    Returns:
        (N,) support of the least supported claim of each answer, 0 where there is none or no evidence.

    Raises:
        InvalidInput: the lengths differ, or a string was passed in place of a list.
    """
    import numpy as np

    from halluc.claims import extract_claims
    from retrieval import Passage

    if isinstance(answers, str) or isinstance(evidence, str) or any(isinstance(texts, str) for texts in evidence):
        raise InvalidInput("answers or evidence is a string in place of a list; pass lists, of texts and of lists of texts")
    check_same_length(evidence=evidence, answers=answers)
    claims = [(i, claim) for i, answer in enumerate(answers) for claim in extract_claims(answer)]
    passages = [[Passage(str(n), text) for n, text in enumerate(texts)] for texts in evidence]
    verdicts: list[list[Verdict]] = [[] for _ in answers]
    judged = Judge(verifier).verdicts([claim for _, claim in claims], [passages[i] for i, _ in claims])
    for (i, _), verdict in zip(claims, judged, strict=True):
        verdicts[i].append(verdict)
    return np.array([answer_support(own_verdicts) for own_verdicts in verdicts], dtype=np.float64)


def claim_pieces(claim: str) -> list[str]:
    """Cut a claim into pieces of whole words, of about equal length, that verifiers read whole; most claims are one piece.

    A table or a list without full stops makes a claim of any length, and cross-encoders read some 90 tokens of one.
    """
    words = [word[i : i + _MAX_WORD_LENGTH] for word in claim.split() for i in range(0, len(word), _MAX_WORD_LENGTH)]
    costs = [sum(_token_count(part) for part in re.findall(r"[A-Za-z]+|\d+|\S", word)) for word in words]
    total = sum(costs)
    count = -(-total // _CLAIM_TOKENS)
    if count <= 1:
        return [claim]
    pieces: list[list[str]] = [[]]
    spent = 0
    for word, cost in zip(words, costs, strict=True):
        if pieces[-1] and spent + cost > total / count + _MAX_WORD_LENGTH // 8:
            pieces.append([])
            spent = 0
        pieces[-1].append(word)
        spent += cost
    return [" ".join(piece) for piece in pieces]


@dataclass(frozen=True)
class _Decision:
    """The verdict on one piece of a claim."""

    piece: str
    label: Label
    support: float
    evidence: Evidence


def _worst_first(decision: _Decision) -> tuple[bool, float]:
    # NaN compares as neither less nor greater; as the least value it is never hidden.
    support = decision.support if decision.support == decision.support else -1.0
    return decision.label != "refuted", support


def _probability(label: Label, row: Sequence[float] | NDArray[np.float64]) -> float:
    return float({"supported": row[0], "refuted": row[1]}.get(label, 1 - row[2]))


def _token_count(part: str) -> int:
    """Estimate how many word pieces letters, digits or another character become."""
    if part.isdigit():
        return -(-len(part) // 2)
    return 1 if len(part) <= 7 else -(-len(part) // 4)


class _SentenceFinder:
    """Finds the sentences of one passage that share words with a claim."""

    def __init__(self, text: str) -> None:
        from retrieval.split import sentence_spans

        self.spans = sentence_spans(text)
        self._sentences_with: dict[str, list[int]] = defaultdict(list)
        for i, (start, end) in enumerate(self.spans):
            for term in terms(text[start:end]):
                self._sentences_with[term].append(i)

    def nearest(self, claim: str) -> list[tuple[int, int]]:
        """Spans of the sentences that share the rarest words with the claim, and of the neighbors of the best one."""
        if len(self.spans) <= _MAX_CANDIDATES + 2:
            return self.spans
        shared: dict[int, float] = defaultdict(float)
        for term in terms(claim):
            sentences = self._sentences_with.get(term, ())
            for i in sentences:
                shared[i] += 1 / len(sentences)
        best = [i for i, _ in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:_MAX_CANDIDATES]] or [0]
        return [self.spans[i] for i in sorted({*best, best[0] - 1, best[0] + 1}) if 0 <= i < len(self.spans)]
