"""What a detector is: a name, what it needs, and a pure function from `Statistics` to scores.

Not here: the detectors themselves (one file a family), the table of them (table.py) and who computes the statistics
(gathering.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc.detectors.statistics import FloatArray

if TYPE_CHECKING:
    from halluc.detectors.statistics import Statistics

__all__ = ["Detector", "Family", "Need"]


class Family(StrEnum):
    """Where a detector's evidence comes from."""

    token_probability = "token probability"
    sampling = "sampling"
    reflexive = "reflexive"
    internal_state = "internal state"
    grounded = "grounded"
    reasoning = "reasoning"
    learned = "learned"


class Need(StrEnum):
    """What is computed for detectors, each once however many ask for it; the fields of `Statistics` it fills follow.

    The answer itself (`questions`, `answers`) is always there.
    """

    logprobs = "logprobs"  # token_logprobs
    distribution = "distribution"  # token_entropy, token_self_certainty
    spans = "spans"  # token_spans
    alternatives = "alternatives"  # alternative_logprobs, alternative_relation
    relevance = "relevance"  # token_relevance
    hidden_state = "hidden_state"  # hidden_state
    attention = "attention"  # previous_attention, lookback
    samples = "samples"  # samples
    sample_logprobs = "sample_logprobs"  # sample_logprobs
    sample_relevance = "sample_relevance"  # sample_relevance
    sample_hidden_state = "sample_hidden_state"  # sample_hidden_state
    entailment = "entailment"  # entailment
    answer_entailment = "answer_entailment"  # answer_entailment
    sentence_entailment = "sentence_entailment"  # sentence_entailment
    sentence_question = "sentence_question"  # sentence_no
    similarity = "similarity"  # sample_similarity
    answer_similarity = "answer_similarity"  # answer_similarity
    p_true = "p_true"  # p_true
    verbalised = "verbalised"  # verbalised
    support = "support"  # claim_support
    context_free = "context_free"  # context_free_logprobs

    @property
    def of_samples(self) -> bool:
        """Whether samples must be drawn for it."""
        return self.value.startswith(("sample", "sentence")) or self in (
            Need.entailment,
            Need.answer_entailment,
            Need.similarity,
            Need.answer_similarity,
        )


@dataclass(frozen=True)
class Detector:
    """A hallucination detector.

    Attributes:
        name: what it is called on the command line and in results.
        family: where its evidence comes from.
        needs: the statistics it reads.
        score: from the `Statistics` of N prompts to (N,) scores, higher = more likely hallucinated. Scores of different
            detectors have different units; calibration makes them probabilities (calibrated.py).
        token_score: for detectors that are pooled from tokens, N arrays (T,) of the tokens' own scores, which
            `Detection.claims` pools over the span of each claim.
    """

    name: str
    family: Family
    needs: frozenset[Need]
    score: Callable[[Statistics], FloatArray]
    token_score: Callable[[Statistics], Sequence[FloatArray]] | None = None

    @property
    def summary(self) -> str:
        """First line of the score function's docstring."""
        return (self.score.__doc__ or self.name).strip().splitlines()[0]
