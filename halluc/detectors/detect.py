"""`detect`: score answers with many detectors at about the cost of the dearest.

What the detectors need is computed once (gathering.py) and handed to all. A detector that cannot run on this model or
without a source is listed with the reason, and the rest run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.answers import Claim
from halluc.claims import extract_claims
from halluc.detectors.collect import Cost, Gathered, Sources, gather, ruled_out
from halluc.detectors.detector import Detector, Need
from halluc.detectors.statistics import FloatArray, Statistics
from halluc.detectors.table import DETECTORS
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.models.language_model import Generation, LanguageModel, Prompt
    from halluc.verification.verifier import Verifier
    from retrieval import Embedder, PassageIndex

__all__ = ["ClaimScores", "Detection", "detect", "detectors_named"]


@dataclass(frozen=True)
class ClaimScores:
    """A claim of an answer with the score of every detector that can be pooled over its tokens."""

    claim: Claim
    scores: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"claim": self.claim.to_dict(), "scores": self.scores}


@dataclass(frozen=True)
class Detection(Mapping[str, FloatArray]):
    """Scores of N answers by detector: a mapping from each detector's name to its (N,) scores.

    Higher = more likely hallucinated, in the detector's own unit; NaN where a detector has nothing to read (an answer
    without tokens, a model that states no confidence).

    Attributes:
        scores: (N,) per detector that ran, in the order asked for.
        skipped: a reason per detector that could not run.
        generations: N answers.
        costs: per detector, what it would take on its own: the answers, and what it reads of them.
        answer_cost: of the answers alone.
        total: what all of them took together.
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
        """For each answer its claims, scored by the mean of each detector's token scores over the claim's characters.

        A token counts for a claim if it spells any of it (Fadeeva et al. 2024, arXiv 2403.04696, section 4). Detectors that
        judge the answer as a whole are left out; so is everything where the model does not tell the text of its tokens.
        """
        by_token = {d.name: d.token_score(self.statistics) for d in self.detectors if d.token_score}
        found = []
        for i, answer in enumerate(self.statistics.answers):
            own = []
            for claim in extract_claims(answer):
                scores = {}
                if self.statistics.token_spans:
                    start, end = self.statistics.token_spans[i].T
                    inside = (start < claim.end) & (end > claim.start) & (start < end)
                    if inside.any():
                        scores = {name: float(values[i][inside].mean()) for name, values in by_token.items()}
                own.append(ClaimScores(claim, scores))
            found.append(own)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; NaN becomes None."""
        rows = [
            {
                "question": question,
                "answer": answer,
                "scores": {name: _plain(values[i]) for name, values in self.scores.items()},
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
    answers: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    index: PassageIndex | None = None,
    verifier: Verifier | None = None,
    embedder: Embedder | None = None,
    samples: int = 5,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> Detection:
    """Score how likely the model's answers are hallucinated.

    The model generates once: a greedy answer, which is judged, and `samples` others, over one computation of the prompt.

    Args:
        lm: the model that answers.
        prompts: N prompts; plain questions where contexts are given.
        detectors: names from `halluc.detectors.table.DETECTORS`, and detectors of one's own (a fitted probe's or ensemble's
            `detector`); None runs all of the table.
        answers: N texts to judge in place of the greedy answers.
        contexts: N texts the answers must follow; they are put into the prompts.
        index: passages to hold answers against, where there are no contexts.
        verifier: measure of entailment; `load_verifier("default")` if None and needed.
        embedder: measure of similarity; `load_embedder()` if None and needed.
        samples: answers to draw, where a detector needs them.
        max_new_tokens, temperature, top_p, seed, stop: of the generation; temperature and top_p of the samples.

    Raises:
        InvalidInput: there is no such detector, or an argument does not go with the prompts.
        ContextOverflow: a prompt does not fit the model's window.
    """
    chosen = detectors_named(detectors)
    if isinstance(prompts, str):
        raise InvalidInput(f"prompts is the text {prompts[:40]!r}; pass a list of prompts")
    sources = Sources(
        lm, verifier, embedder, contexts, index, samples, max_new_tokens, temperature, top_p, seed, stop
    )  # fmt: skip
    if not prompts:
        raise InvalidInput("there are no prompts; pass at least one")
    reasons = ruled_out(sources, {need for detector in chosen for need in detector.needs})
    # What only a detector needs that cannot run is not computed.
    needs = {need for detector in chosen if not detector.needs & reasons.keys() for need in detector.needs}
    gathered = gather(sources, prompts, needs, answers=answers)
    reasons |= gathered.unavailable
    scores, skipped, costs, ran = {}, {}, {}, []
    for detector in chosen:
        missing = [reasons[need] for need in sorted(detector.needs) if need in reasons]
        if missing:
            skipped[detector.name] = missing[0]
            continue
        begin = time.perf_counter()
        scores[detector.name] = np.asarray(detector.score(gathered.statistics), dtype=np.float64)
        costs[detector.name] = Cost(time.perf_counter() - begin) + _cost(gathered, detector)
        ran.append(detector)
    return Detection(
        scores, skipped, gathered.generations, costs, gathered.answer, gathered.total, gathered.statistics, tuple(ran)
    )


def detectors_named(detectors: Sequence[str | Detector] | None) -> list[Detector]:
    """Detectors by name, each once; all of the table for None.

    Raises:
        InvalidInput: there is no detector of a name, or none is asked for.
    """
    if detectors is None:
        return list(DETECTORS.values())
    if isinstance(detectors, str):
        raise InvalidInput(f"detectors is the text {detectors!r}; pass a list of names")
    chosen: dict[str, Detector] = {}
    for detector in detectors:
        if isinstance(detector, str):
            if detector not in DETECTORS:
                raise InvalidInput(f"there is no detector {detector!r}; there are {', '.join(DETECTORS)}")
            detector = DETECTORS[detector]
        chosen[detector.name] = detector
    if not chosen:
        raise InvalidInput("no detector is asked for; name some, or pass None for all")
    return list(chosen.values())


def _cost(gathered: Gathered, detector: Detector) -> Cost:
    total = gathered.answer
    needs = set(detector.needs)
    if any(need.of_samples for need in needs):
        needs.add(Need.samples)
    for need in needs:
        total = total + gathered.costs.get(need, Cost())
    return total


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
