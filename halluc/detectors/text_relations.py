"""Entailment, similarity and relevance between texts; each pair and each text is computed once for all detectors.

Samples are compared as answers to their question, which precedes each text (as in arXiv 2302.09664, section 5.1) where both
together are short. Verifiers read short claims, so a long sample is compared in pieces and the mean of their probabilities
counts: two samples may agree in part. Claims of the answer are judged against contexts or passages by
`halluc.verification.judge`. Not covered: which detector needs what (collect.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.answers import Claim
from halluc.claims import extract_claims
from halluc.detectors.sampling import sentences_of
from halluc.detectors.statistics import FloatArray, Resources, Statistic, Statistics

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import Passage

__all__ = ["TextRelations"]

# The packaged verifier reads claims of about 90 tokens; and a long question (an instruction, a document to summarize) would
# outweigh the answers that are compared.
_CLAIM_WORDS = 45
# An alternative less likely than this share of the chosen token's probability changes its claim-conditioned probability by
# less than that share.
_MIN_ALTERNATIVE_SHARE = 0.1
_PASSAGES_PER_CLAIM = 3

Arrays = dict[str, Any]
Pair = tuple[str, str]


class TextRelations:
    """What verifier and embedder compute about the texts in `statistics`.

    Args:
        statistics: answers and samples.
        alternatives: per answer and token, (text, log-probability) of likely tokens, the chosen one first.
        sample_spans: per prompt and sample, (T, 2) characters of each token.
        resources: verifier, embedder, contexts and index.
    """

    def __init__(
        self, statistics: Statistics, alternatives: Sequence[Any], sample_spans: Sequence[Any], resources: Resources
    ) -> None:
        self.statistics = statistics
        self.alternatives = alternatives
        self.sample_spans = sample_spans
        self.resources = resources
        self._short: dict[int, bool] = {}

    # -- the verifier ----------------------------------------------------------------------------------------------

    def by_verifier(self, wanted: Iterable[Statistic]) -> tuple[Arrays, dict[Statistic, int]]:
        """Compute statistics with one call of the verifier.

        Returns:
            The fields of `Statistics`, and per statistic the number of distinct pairs that it compares.
        """
        pairs = {statistic: list(self._pairs(statistic)) for statistic in wanted}
        compared = _ComparedPairs(pair for of_statistic in pairs.values() for pair in of_statistic)
        compared.compare(self._verifier())
        arrays: Arrays = {}
        for statistic, of_statistic in pairs.items():
            arrays |= self._from_probabilities(statistic, compared.probabilities(of_statistic))
        return arrays, {statistic: len(set(of_statistic)) for statistic, of_statistic in pairs.items()}

    def _pairs(self, statistic: Statistic) -> Iterator[Pair]:
        """The pairs (evidence, claim) of a statistic, in the order in which `_from_probabilities` reads them."""
        s = self.statistics
        for i, (answer, samples) in enumerate(zip(s.answers, s.samples, strict=True)):
            in_question = [self._in_question(i, sample) for sample in samples]
            if statistic is Statistic.entailment:
                yield from ((first, second) for first in in_question for second in in_question)
            elif statistic is Statistic.answer_entailment:
                answer_in_question = self._in_question(i, answer)
                for sample in in_question:
                    yield answer_in_question, sample
                    yield sample, answer_in_question
            elif statistic is Statistic.sentence_entailment:
                yield from ((sample, sentence) for sentence in sentences_of(answer) for sample in samples)
            elif statistic is Statistic.alternatives:
                for chosen, other in self._replacements(i):
                    yield chosen, other
                    yield other, chosen

    def _from_probabilities(self, statistic: Statistic, probabilities: FloatArray) -> Arrays:
        """Arrange (pairs, 3) probabilities, in the order of `_pairs`, as fields of `Statistics`."""
        s = self.statistics
        n, k = len(s), len(s.samples[0]) if s.samples else 0
        if statistic is Statistic.entailment:
            return {"entailment": probabilities.reshape(n, k, k, 3)}
        if statistic is Statistic.answer_entailment:
            return {"answer_entailment": probabilities.reshape(n, k, 2, 3)}
        if statistic is Statistic.sentence_entailment:
            counts = [len(sentences_of(answer)) for answer in s.answers]
            parts = np.split(probabilities, np.cumsum([count * k for count in counts])[:-1])
            return {"sentence_entailment": tuple(p.reshape(c, k, 3) for p, c in zip(parts, counts, strict=True))}
        return self._from_alternatives(probabilities)

    def _from_alternatives(self, probabilities: FloatArray) -> Arrays:
        labels = iter(probabilities.argmax(-1))
        logprobs, relations = [], []
        for steps in self.alternatives:
            likely = [_likely(step) for step in steps]
            logprobs.append(tuple(np.array([value for _, value in step]) for step in likely))
            relations.append(
                tuple(np.array([0, *(_relation(next(labels), next(labels)) for _ in step[1:])]) for step in likely)
            )
        return {"alternative_logprobs": tuple(logprobs), "alternative_relation": tuple(relations)}

    def _replacements(self, i: int) -> Iterator[Pair]:
        """The answer up to each token, with that token and with an alternative (arXiv 2403.04696, section 3.2).

        For long answers, only the last words before the token.
        """
        answer = self.statistics.answers[i]
        for (start, end), step in zip(self.statistics.token_spans[i], self.alternatives[i], strict=True):
            words = answer[:start].split(" ")
            prefix = " ".join(words[1 - _CLAIM_WORDS :])
            for text, _ in _likely(step)[1:]:
                yield prefix + answer[start:end], prefix + text

    def by_judge(self, _wanted: Iterable[Statistic]) -> tuple[Arrays, dict[Statistic, int]]:
        """Judge the claims of the answers against their contexts or, without one, against passages of the index.

        Returns:
            `claim_support`, and the number of pairs of passage and claim.
        """
        from halluc.verification.judge import Judge

        rows = range(len(self.statistics))
        claims = [self._claims(i) for i in rows]
        passages = [self._evidence(i, claims[i]) for i in rows]
        verdicts = iter(
            Judge(self._verifier()).verdicts(
                [claim for of_answer in claims for claim in of_answer],
                [of_claim for of_answer in passages for of_claim in of_answer],
            )
        )
        support = [np.array([next(verdicts).support for _ in claims[i]] or [self._support_without_claims(i)]) for i in rows]
        pairs = sum(len(of_claim) for of_answer in passages for of_claim in of_answer)
        return {"claim_support": tuple(support)}, {Statistic.support: pairs}

    def _claims(self, i: int) -> list[Claim]:
        """The claims of answer i, or the whole answer; none of an empty answer or where there is no source."""
        answer = self.statistics.answers[i]
        if not answer.strip() or not self._has_source(i):
            return []
        return extract_claims(answer) or [Claim(answer, 0, len(answer))]

    def _evidence(self, i: int, claims: Sequence[Claim]) -> list[list[Passage]]:
        """The passages that each claim of answer i is judged against."""
        from retrieval import Passage

        context, index = self.resources.context(i), self.resources.index
        if context is not None:
            return [[Passage(f"context {i}", context)] for _ in claims]
        if index is None or not claims:
            return [[] for _ in claims]
        hits = index.search([claim.text for claim in claims], k=_PASSAGES_PER_CLAIM)
        return [[hit.passage for hit in of_claim] for of_claim in hits]

    def _support_without_claims(self, i: int) -> float:
        return 0.0 if self._has_source(i) else math.nan

    def _has_source(self, i: int) -> bool:
        return self.resources.context(i) is not None or self.resources.index is not None

    def _verifier(self) -> Verifier:
        if self.resources.verifier is not None:
            return self.resources.verifier
        from halluc.verification import load_verifier

        return load_verifier()

    # -- the embedder ----------------------------------------------------------------------------------------------

    def by_embedder(self, wanted: Iterable[Statistic]) -> tuple[Arrays, dict[Statistic, int]]:
        """Compute statistics with one call of the embedder.

        Returns:
            The fields of `Statistics`, and per statistic the number of distinct texts that it compares.
        """
        groups = {statistic: list(self._groups(statistic)) for statistic in wanted}
        distinct = list(dict.fromkeys(text for of_statistic in groups.values() for group in of_statistic for text in group))
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors = self._embedder().encode(distinct).astype(np.float64)
        arrays: Arrays = {}
        for statistic, of_statistic in groups.items():
            embedded = [vectors[[row_of[text] for text in group]] for group in of_statistic]
            arrays |= self._from_vectors(statistic, embedded)
        return arrays, {
            statistic: len({text for group in of_statistic for text in group}) for statistic, of_statistic in groups.items()
        }

    def _groups(self, statistic: Statistic) -> Iterator[list[str]]:
        """Groups of texts: the first is compared with the others or, for `similarity`, all with each other."""
        s = self.statistics
        for i, (answer, samples) in enumerate(zip(s.answers, s.samples, strict=True)):
            if statistic is Statistic.similarity:
                yield [self._in_question(i, text) for text in samples]
            elif statistic is Statistic.answer_similarity:
                yield [self._in_question(i, text) for text in (answer, *samples)]
            elif statistic is Statistic.relevance:
                yield self._without_each_token(i, answer, s.token_spans[i])
            else:
                for text, spans in zip(samples, self.sample_spans[i], strict=True):
                    yield self._without_each_token(i, text, spans)

    def _without_each_token(self, i: int, text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
        """The text, and the text without each of its tokens."""
        shortened = (text[:start] + text[end:] for start, end in spans)
        return [self._in_question(i, variant) for variant in (text, *shortened)]

    def _from_vectors(self, statistic: Statistic, groups: list[FloatArray]) -> Arrays:
        """Arrange groups of embeddings, in the order of `_groups`, as fields of `Statistics`."""
        if statistic is Statistic.similarity:
            return {"sample_similarity": np.stack([vectors @ vectors.T for vectors in groups])}
        to_first = [vectors[1:] @ vectors[0] for vectors in groups]
        if statistic is Statistic.answer_similarity:
            return {"answer_similarity": np.stack(to_first)}
        # Rounding must not make a token relevant that spells nothing (the end of the turn).
        relevance = [np.where(1 - similarity < 1e-6, 0.0, 1 - similarity) for similarity in to_first]
        if statistic is Statistic.relevance:
            return {"token_relevance": tuple(relevance)}
        remaining = iter(relevance)
        return {"sample_relevance": tuple(tuple(next(remaining) for _ in drawn) for drawn in self.statistics.samples)}

    def _embedder(self) -> Any:
        if self.resources.embedder is not None:
            return self.resources.embedder
        from retrieval import load_embedder

        return load_embedder()

    def _in_question(self, i: int, text: str) -> str:
        question, text = self.statistics.questions[i], text.strip()
        return f"{question} {text}" if self._question_fits(i) else text

    def _question_fits(self, i: int) -> bool:
        """Whether the question precedes the texts: before the answer and every sample, or before none."""
        if i not in self._short:
            texts = (self.statistics.answers[i], *self.statistics.samples[i])
            longest = max(len(text.split()) for text in texts)
            self._short[i] = len(self.statistics.questions[i].split()) + longest <= _CLAIM_WORDS
        return self._short[i]


class _ComparedPairs:
    """Pairs of texts: equal and empty texts are decided here, the others once each by the verifier."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._probabilities: dict[Pair, FloatArray] = {}
        self._pieces: dict[Pair, list[Pair]] = {}
        for pair in dict.fromkeys(pairs):
            evidence, claim = (_plain(text) for text in pair)
            if evidence == claim:
                self._probabilities[pair] = np.array([1.0, 0.0, 0.0])
            elif not evidence or not claim:
                self._probabilities[pair] = np.array([0.0, 0.0, 1.0])
            else:
                self._pieces[pair] = [(pair[0], piece) for piece in _pieces(pair[1])]

    def compare(self, verifier: Verifier) -> None:
        distinct = list(dict.fromkeys(piece for pieces in self._pieces.values() for piece in pieces))
        if not distinct:
            return
        probabilities = dict(zip(distinct, verifier.probabilities(distinct), strict=True))
        for pair, pieces in self._pieces.items():
            self._probabilities[pair] = np.mean([probabilities[piece] for piece in pieces], axis=0)

    def probabilities(self, pairs: Sequence[Pair]) -> FloatArray:
        """(pairs, 3)."""
        return np.array([self._probabilities[pair] for pair in pairs]).reshape(len(pairs), 3)


def _pieces(claim: str) -> list[str]:
    """The claim if it is short; otherwise its sentences, those that are long in runs of words."""
    if len(claim.split()) <= _CLAIM_WORDS:
        return [claim]
    pieces = []
    for sentence in sentences_of(claim):
        words = sentence.split()
        pieces += [" ".join(words[start : start + _CLAIM_WORDS]) for start in range(0, len(words), _CLAIM_WORDS)]
    return [piece for piece in pieces if _plain(piece)] or [claim]


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .,!?\"'")


def _likely(step: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    threshold = step[0][1] + np.log(_MIN_ALTERNATIVE_SHARE)
    return [step[0], *(alternative for alternative in step[1:] if alternative[1] >= threshold)]


def _relation(forward: int, backward: int) -> int:
    """0 same, 1 opposite, 2 neither or both, from labels (0 supported, 1 refuted, 2 not enough) in both directions."""
    decided = {int(forward), int(backward)} - {2}
    return decided.pop() if len(decided) == 1 else 2
