"""Entailment, similarity and relevance between texts, each pair and each text asked about once for all detectors.

Samples are compared as answers to their question, which stands before each text (as in arXiv 2302.09664, section 5.1) where
both together are short. A long text as a claim is judged in pieces, and the mean counts, since verifiers read short claims.
Not here: who needs what (gathering.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.claims import extract_claims
from halluc.detectors.detector import Need
from halluc.detectors.sampling import sentences_of
from halluc.detectors.statistics import FloatArray, Statistics

if TYPE_CHECKING:
    from halluc.detectors.collect import Sources
    from halluc.verification.verifier import Verifier

__all__ = ["Relations"]

# The packaged verifier reads claims of about 90 tokens; and a long question (an instruction, a document to summarise) would
# drown the answers that are to be told apart.
_CLAIM_WORDS = 45
# An alternative less likely than this share of the chosen token's probability changes its claim-conditioned probability by
# less than that share.
_LEAST_ALTERNATIVE = 0.1
_PASSAGES_PER_CLAIM = 3

Fields = dict[str, Any]
Pair = tuple[str, str]


class Relations:
    """What verifier and embedder say of the texts in `statistics`.

    Args:
        statistics: answers and samples.
        alternatives: per answer and token, (text, log-probability) of likely tokens, the chosen one first.
        sample_spans: per prompt and sample, (T, 2) characters of each token.
        sources: verifier, embedder, contexts and index.
    """

    def __init__(
        self, statistics: Statistics, alternatives: Sequence[Any], sample_spans: Sequence[Any], sources: Sources
    ) -> None:
        self.statistics = statistics
        self.alternatives = alternatives
        self.sample_spans = sample_spans
        self.sources = sources
        self._short: dict[int, bool] = {}
        self._claims_of: dict[int, list[tuple[str, list[str]]]] = {}

    # -- the verifier ----------------------------------------------------------------------------------------------

    def entail(self, needs: Iterable[Need]) -> tuple[Fields, dict[Need, int]]:
        """The statistics' fields for these needs, and how many pairs each asked about; one call of the verifier."""
        plans = {need: list(self._pairs(need)) for need in needs}
        ask = _AskedPairs(pair for pairs in plans.values() for pair in pairs)
        ask.answer(self._verifier())
        fields: Fields = {}
        for need, pairs in plans.items():
            fields |= self._fill(need, ask.probabilities(pairs))
        return fields, {need: len(set(pairs)) for need, pairs in plans.items()}

    def _pairs(self, need: Need) -> Iterator[Pair]:
        s = self.statistics
        for i, (answer, samples) in enumerate(zip(s.answers, s.samples, strict=True)):
            whole = [self._in_question(i, text) for text in samples]
            if need is Need.entailment:
                yield from ((first, second) for first in whole for second in whole)
            elif need is Need.answer_entailment:
                own = self._in_question(i, answer)
                for sample in whole:
                    yield own, sample
                    yield sample, own
            elif need is Need.sentence_entailment:
                yield from ((sample, sentence) for sentence in sentences_of(answer) for sample in samples)
            elif need is Need.alternatives:
                for chosen, other in self._replacements(i):
                    yield chosen, other
                    yield other, chosen
            else:
                yield from self._evidence(i)

    def _fill(self, need: Need, found: FloatArray) -> Fields:
        """Probabilities (pairs, 3), in the order of `_pairs`, as the statistics' field."""
        s = self.statistics
        n, k = len(s), len(s.samples[0]) if s.samples else 0
        if need is Need.entailment:
            return {"entailment": found.reshape(n, k, k, 3)}
        if need is Need.answer_entailment:
            return {"answer_entailment": found.reshape(n, k, 2, 3)}
        if need is Need.sentence_entailment:
            counts = [len(sentences_of(answer)) for answer in s.answers]
            parts = np.split(found, np.cumsum([count * k for count in counts])[:-1])
            return {"sentence_entailment": tuple(p.reshape(c, k, 3) for p, c in zip(parts, counts, strict=True))}
        if need is Need.alternatives:
            return self._fill_alternatives(found)
        sizes = [[len(evidence) for _, evidence in self._claims(i)] for i in range(n)]
        support = iter(found[:, 0])
        return {
            "claim_support": tuple(
                np.array([max((next(support) for _ in range(m)), default=0.0) for m in row]) for row in sizes
            )
        }

    def _fill_alternatives(self, found: FloatArray) -> Fields:
        labels = iter(found.argmax(-1))
        logprobs, relations = [], []
        for steps in self.alternatives:
            own_logprobs, own_relations = [], []
            for step in steps:
                kept = _likely(step)
                own_logprobs.append(np.array([value for _, value in kept]))
                own_relations.append(np.array([0, *(_relation(next(labels), next(labels)) for _ in kept[1:])]))
            logprobs.append(tuple(own_logprobs))
            relations.append(tuple(own_relations))
        return {"alternative_logprobs": tuple(logprobs), "alternative_relation": tuple(relations)}

    def _replacements(self, i: int) -> Iterator[Pair]:
        """The answer up to each token, with the token and with an alternative (arXiv 2403.04696, section 3.2).

        Of a long answer the last words before the token.
        """
        answer = self.statistics.answers[i]
        for (start, end), step in zip(self.statistics.token_spans[i], self.alternatives[i], strict=True):
            before = answer[:start].split(" ")
            prefix = " ".join(before[1 - _CLAIM_WORDS :])
            for text, _ in _likely(step)[1:]:
                yield prefix + answer[start:end], prefix + text

    def _claims(self, i: int) -> list[tuple[str, list[str]]]:
        """Claims of an answer, each with the evidence it is held against."""
        if i not in self._claims_of:
            answer = self.statistics.answers[i]
            claims = [claim.text for claim in extract_claims(answer)] or [answer]
            if self.sources.contexts is not None:
                self._claims_of[i] = [(claim, [self.sources.contexts[i]]) for claim in claims]
            elif not answer.strip() or self.sources.index is None:
                self._claims_of[i] = [(answer, [])]
            else:
                found = self.sources.index.search(claims, k=_PASSAGES_PER_CLAIM)
                self._claims_of[i] = [
                    (claim, [hit.passage.text for hit in hits]) for claim, hits in zip(claims, found, strict=True)
                ]
        return self._claims_of[i]

    def _evidence(self, i: int) -> Iterator[Pair]:
        yield from ((text, claim) for claim, evidence in self._claims(i) for text in evidence)

    def _verifier(self) -> Verifier:
        if self.sources.verifier is not None:
            return self.sources.verifier
        from halluc.verification import load_verifier

        return load_verifier()

    # -- the embedder ----------------------------------------------------------------------------------------------

    def embed(self, needs: Iterable[Need]) -> tuple[Fields, dict[Need, int]]:
        """The statistics' fields for these needs, and how many texts each asked about; one call of the embedder."""
        plans = {need: [list(group) for group in self._texts(need)] for need in needs}
        unique = list(dict.fromkeys(text for groups in plans.values() for group in groups for text in group))
        place = {text: i for i, text in enumerate(unique)}
        vectors = self._embedder().encode(unique).astype(np.float64)
        fields: Fields = {}
        for need, groups in plans.items():
            fields |= self._fill_similarity(need, [vectors[[place[text] for text in group]] for group in groups])
        return fields, {need: len({text for group in groups for text in group}) for need, groups in plans.items()}

    def _texts(self, need: Need) -> Iterator[list[str]]:
        """Groups of texts of which the first is compared with the rest, or all with each other."""
        s = self.statistics
        for i, (answer, samples) in enumerate(zip(s.answers, s.samples, strict=True)):
            if need is Need.similarity:
                yield [self._in_question(i, text) for text in samples]
            elif need is Need.answer_similarity:
                yield [self._in_question(i, text) for text in (answer, *samples)]
            elif need is Need.relevance:
                yield self._shortened(i, answer, s.token_spans[i])
            else:
                for text, spans in zip(samples, self.sample_spans[i], strict=True):
                    yield self._shortened(i, text, spans)

    def _shortened(self, i: int, text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
        """A text, and the text without each of its tokens."""
        return [self._in_question(i, t) for t in (text, *(text[:start] + text[end:] for start, end in spans))]

    def _fill_similarity(self, need: Need, groups: list[FloatArray]) -> Fields:
        if need is Need.similarity:
            return {"sample_similarity": np.stack([own @ own.T for own in groups])}
        to_first = [own[1:] @ own[0] for own in groups]
        if need is Need.answer_similarity:
            return {"answer_similarity": np.stack(to_first)}
        relevance = [np.maximum(1 - own, 0) for own in to_first]
        # What is 0 up to rounding (the end of the turn spells nothing) must not count when no token is relevant.
        relevance = [np.where(own < 1e-6, 0.0, own) for own in relevance]
        if need is Need.relevance:
            return {"token_relevance": tuple(relevance)}
        rest = iter(relevance)
        return {"sample_relevance": tuple(tuple(next(rest) for _ in own) for own in self.statistics.samples)}

    def _embedder(self) -> Any:
        if self.sources.embedder is not None:
            return self.sources.embedder
        from retrieval import load_embedder

        return load_embedder()

    def _in_question(self, i: int, text: str) -> str:
        question, text = self.statistics.questions[i], text.strip()
        return f"{question} {text}" if self._is_short(i) else text

    def _is_short(self, i: int) -> bool:
        """Whether the question fits before the answer and every sample: before all of them or none."""
        if i not in self._short:
            texts = (self.statistics.answers[i], *self.statistics.samples[i])
            longest = max(len(text.split()) for text in texts)
            self._short[i] = len(self.statistics.questions[i].split()) + longest <= _CLAIM_WORDS
        return self._short[i]


class _AskedPairs:
    """Pairs whose answer is not plain, in pieces where the claim is long, asked once each."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._found: dict[Pair, FloatArray] = {}
        self._pieces: dict[Pair, list[Pair]] = {}
        for pair in dict.fromkeys(pairs):
            evidence, claim = (_plain(text) for text in pair)
            if evidence == claim:
                self._found[pair] = np.array([1.0, 0.0, 0.0])
            elif not evidence or not claim:
                self._found[pair] = np.array([0.0, 0.0, 1.0])
            else:
                self._pieces[pair] = [(pair[0], piece) for piece in _pieces(pair[1])]

    def answer(self, verifier: Verifier) -> None:
        asked = list(dict.fromkeys(piece for pieces in self._pieces.values() for piece in pieces))
        if not asked:
            return
        said = dict(zip(asked, verifier.probabilities(asked), strict=True))
        for pair, pieces in self._pieces.items():
            self._found[pair] = np.mean([said[piece] for piece in pieces], axis=0)

    def probabilities(self, pairs: Sequence[Pair]) -> FloatArray:
        """(pairs, 3)."""
        return np.array([self._found[pair] for pair in pairs]).reshape(len(pairs), 3)


def _pieces(claim: str) -> list[str]:
    """The claim if it is short, else its sentences, and those in runs of words where they are long."""
    if len(claim.split()) <= _CLAIM_WORDS:
        return [claim]
    pieces = []
    for sentence in sentences_of(claim):
        words = sentence.split()
        pieces += [" ".join(words[at : at + _CLAIM_WORDS]) for at in range(0, len(words), _CLAIM_WORDS)]
    return [piece for piece in pieces if _plain(piece)] or [claim]


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .,!?\"'")


def _likely(step: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    least = step[0][1] + np.log(_LEAST_ALTERNATIVE)
    return [step[0], *(other for other in step[1:] if other[1] >= least)]


def _relation(forward: int, backward: int) -> int:
    """0 the same, 1 opposite, 2 neither or both, from labels (0 supported, 1 refuted, 2 not enough) in both directions."""
    decided = {int(forward), int(backward)} - {2}
    return decided.pop() if len(decided) == 1 else 2
