"""`detect`: score answers with many detectors for about the cost of the most expensive one.

The statistics that the detectors need are computed once (collect.py) and shared by all. A detector that cannot run on this
model, or without a source, is listed with the reason; the others run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.answers import Claim
from halluc.claims import extract_claims
from halluc.detectors.collect import CollectedStatistics, Cost, collect_statistics, question_of
from halluc.detectors.detector import Detector
from halluc.detectors.statistics import FloatArray, Resources, Statistic, Statistics, unavailable_statistics
from halluc.detectors.table import detectors_named
from halluc.errors import InvalidInput, check_same_length, check_text, check_texts, leaf_errors_as_ours
from halluc.models.language_model import check_options
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.models.language_model import Generation, LanguageModel, Prompt
    from halluc.verification.verifier import Verifier
    from retrieval import Embedder, PassageStore

__all__ = ["ClaimScores", "Detection", "detect"]


@dataclass(frozen=True)
class ClaimScores(Record):
    """A claim of an answer, with the score of every detector that can be pooled over its tokens."""

    claim: Claim
    scores: dict[str, float]


@dataclass(frozen=True)
class Detection(Mapping[str, FloatArray]):
    """Scores of N answers by detector: a mapping from each detector's name to its (N,) scores.

    Higher = more likely hallucinated, in the detector's own unit; NaN where a detector has nothing to read (an answer
    without tokens or without a source, a model that states no confidence).

    Attributes:
        scores: (N,) per detector that ran, in the order in which they were named.
        skipped: per detector that could not run, the reason.
        generations: N answers.
        costs: per detector, its cost if it ran alone: that of the answers and of the statistics it reads.
        answer_cost: cost of the answers alone.
        total: cost of all detectors together.
        statistics: what the detectors read; probes and ensembles are fitted on it.
        detectors: those that ran.
    """

    scores: dict[str, FloatArray]
    skipped: dict[str, str]
    generations: tuple[Generation, ...]
    costs: dict[str, Cost]
    answer_cost: Cost
    total: Cost
    statistics: Statistics
    detectors: tuple[Detector, ...]

    def __getitem__(self, name: str) -> FloatArray:
        if name in self.skipped:
            raise KeyError(f"{name} did not run: {self.skipped[name]}")
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def claims(self) -> list[list[ClaimScores]]:
        """Score the claims of each answer by the mean of each detector's token scores over the claim's characters.

        A token counts for a claim if it spells any of its characters (Fadeeva et al. 2024, arXiv 2403.04696, section 4).
        Detectors that judge an answer as a whole are left out; a claim has no scores where the model does not expose the
        text of its tokens.

        Returns:
            N lists of claims with their scores.
        """
        by_token = {d.name: d.token_score(self.statistics) for d in self.detectors if d.token_score}
        return [
            [ClaimScores(claim, self._pooled(i, claim, by_token)) for claim in extract_claims(answer)]
            for i, answer in enumerate(self.statistics.answers)
        ]

    def _pooled(self, i: int, claim: Claim, by_token: Mapping[str, Sequence[FloatArray]]) -> dict[str, float]:
        if not self.statistics.token_spans:
            return {}
        start, end = self.statistics.token_spans[i].T
        inside = (start < claim.end) & (end > claim.start) & (start < end)
        if not inside.any():
            return {}
        means = {name: float(scores[i][inside].mean()) for name, scores in by_token.items()}
        return {name: mean for name, mean in means.items() if not np.isnan(mean)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; NaN becomes None."""
        rows = [
            {
                "question": question,
                "answer": answer,
                "scores": {name: _none_for_nan(values[i]) for name, values in self.scores.items()},
            }
            for i, (question, answer) in enumerate(zip(self.statistics.questions, self.statistics.answers, strict=True))
        ]
        return {
            "rows": rows,
            "skipped": self.skipped,
            "costs": {name: cost.to_dict() for name, cost in self.costs.items()},
            "total": self.total.to_dict(),
        }


def detect(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    detectors: Sequence[str | Detector] | None = None,
    answers: Sequence[str | None] | None = None,
    contexts: Sequence[str | None] | None = None,
    index: PassageStore | None = None,
    verifier: Verifier | None = None,
    embedder: Embedder | None = None,
    n_samples: int = 5,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> Detection:
    """Score how likely answers are hallucinated.

    The model generates once: a greedy answer, which is judged, and `n_samples` others, from one computation of the prompt.

    Args:
        lm: the model that answers.
        prompts: N prompts; those with a context must be plain questions.
        detectors: names from `halluc.detectors.table.DETECTORS`, and `Detector` objects (such as the `detector` of a fitted
            probe or ensemble); None runs the whole table.
        answers: N texts to judge in place of the greedy answers; where one is None, the model answers.
        contexts: N texts that the answers must follow, which are added to the prompts; None for an answer without one.
        index: passages to judge answers against that have no context.
        verifier: measure of entailment; `load_verifier("default")` if None and needed.
        embedder: measure of similarity; `load_embedder()` if None and needed.
        n_samples: answers to draw per prompt, where a detector needs them.
        max_new_tokens, seed, stop: of the generation.
        temperature, top_p: of the samples.

    Returns:
        The scores.

    Raises:
        InvalidInput: there is no such detector, or an argument does not match the prompts.
        ContextOverflow: a prompt does not fit the model's context window.
        RetrievalFailed: the index or the embedder failed.
    """
    selected = detectors_named(detectors)
    _check_texts(prompts, answers, contexts)
    if not isinstance(n_samples, int) or n_samples < 0:
        raise InvalidInput(f"n_samples is {n_samples!r}; pass a whole number of at least 0")
    check_options(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop)
    resources = Resources(
        lm, verifier, embedder, contexts, index, n_samples, max_new_tokens, temperature, top_p, seed, stop
    )  # fmt: skip
    reasons = unavailable_statistics(resources, {statistic for detector in selected for statistic in detector.needs})
    # What is needed only by a detector that cannot run is not computed.
    wanted = {statistic for detector in selected if not detector.needs & reasons.keys() for statistic in detector.needs}
    with leaf_errors_as_ours():
        collected = collect_statistics(resources, prompts, wanted, answers=answers)
    return _scored(selected, collected, reasons | collected.unavailable)


def _check_texts(
    prompts: Sequence[Prompt], answers: Sequence[str | None] | None, contexts: Sequence[str | None] | None
) -> None:
    for name, values in (("prompts", prompts), ("answers", answers), ("contexts", contexts)):
        if isinstance(values, str) or not isinstance(values, Sequence | None):
            raise InvalidInput(f"{name} is {str(values)[:40]!r}; pass a list")
    if not prompts:
        raise InvalidInput("there are no prompts; pass at least one")
    check_texts("prompts", [question_of(prompt) for prompt in prompts], allow_blank=True)
    for name, texts in (("answers", answers), ("contexts", contexts)):
        for i, text in enumerate(texts or ()):
            if text is not None:
                check_text(f"{name}[{i}]", text, allow_blank=name == "answers")
    check_same_length(prompts=prompts, answers=answers, contexts=contexts)


def _scored(selected: Sequence[Detector], collected: CollectedStatistics, unavailable: Mapping[Statistic, str]) -> Detection:
    scores, skipped, costs, ran = {}, {}, {}, []
    for detector in selected:
        reasons = [unavailable[statistic] for statistic in sorted(detector.needs) if statistic in unavailable]
        if reasons:
            skipped[detector.name] = reasons[0]
            continue
        begin = time.perf_counter()
        scores[detector.name] = np.asarray(detector.score(collected.statistics), dtype=np.float64)
        costs[detector.name] = Cost(time.perf_counter() - begin) + _cost(collected, detector)
        ran.append(detector)
    return Detection(
        scores=scores,
        skipped=skipped,
        generations=collected.generations,
        costs=costs,
        answer_cost=collected.answer_cost,
        total=collected.total,
        statistics=collected.statistics,
        detectors=tuple(ran),
    )


def _cost(collected: CollectedStatistics, detector: Detector) -> Cost:
    statistics = set(detector.needs)
    if any(statistic.needs_samples for statistic in statistics):
        statistics.add(Statistic.samples)
    return sum((collected.costs.get(statistic, Cost()) for statistic in statistics), collected.answer_cost)


def _none_for_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
