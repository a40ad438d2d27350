"""The data between models and detectors: what is computed, the arrays it fills, and the resources it is computed from.

`Statistic` names what can be computed about answers, `Statistics` holds it as arrays, and detectors read nothing else.
Token probabilities are those of the model at temperature 1, whatever temperature the samples were drawn at. The token that
ends the turn counts as a token where the model generated it, so an empty answer has one token. Not covered: computing the
statistics (collect.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import Embedder, PassageStore

__all__ = ["FloatArray", "IntArray", "Resources", "Statistic", "Statistics", "is_local", "unavailable_statistics"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Statistic(StrEnum):
    """What can be computed for detectors; each is computed once, however many detectors need it.

    The comments name the fields of `Statistics` that it fills. `questions` and `answers` are always filled.
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
    verbalized = "verbalized"  # verbalized
    support = "support"  # claim_support
    context_free = "context_free"  # context_free_logprobs

    @property
    def needs_samples(self) -> bool:
        """Whether it is computed from samples."""
        return self.value.startswith(("sample", "sentence")) or self in (
            Statistic.entailment,
            Statistic.answer_entailment,
            Statistic.similarity,
            Statistic.answer_similarity,
        )


@dataclass(frozen=True)
class Resources:
    """The models, evidence and generation settings that statistics are computed from.

    Attributes:
        lm: the model whose answers are judged.
        verifier, embedder: measures of entailment and similarity; the default ones are loaded if None and needed.
        contexts: N texts that the answers must follow, None for an answer without one; None if no answer has one.
        index: passages that answers without a context are judged against, or None.
        n_samples: completions to draw per prompt.
        max_new_tokens, seed, stop: of the generation.
        temperature, top_p: of the samples; the answer is greedy.
    """

    lm: LanguageModel
    verifier: Verifier | None = None
    embedder: Embedder | None = None
    contexts: Sequence[str | None] | None = None
    index: PassageStore | None = None
    n_samples: int = 5
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: Sequence[str] = ()

    def context(self, i: int) -> str | None:
        """The context of answer i, if it has one."""
        return None if self.contexts is None else self.contexts[i]


def _empty() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class Statistics:
    """Statistics of N answers to N prompts; a field that no detector needs is empty.

    T is the number of tokens, which differs between answers and samples; k the number of samples, L layers, H heads, D
    dimensions.

    Attributes:
        questions: N texts, the last user turn of each prompt.
        answers: N texts that are judged.
        token_logprobs: N arrays (T,), in nats; a single NaN for an answer whose log-probabilities are unknown.
        token_entropy: N arrays (T,), entropy of the distribution each token was chosen from, in nats.
        token_self_certainty: N arrays (T,), KL divergence from the uniform distribution to that distribution, in nats.
        token_spans: N arrays (T, 2), the characters of `answers` that each token spells; the end of the turn spells none.
        alternative_logprobs: N tuples of T arrays (A,), the chosen token first, then other likely tokens.
        alternative_relation: N tuples of T arrays (A,): 0 where the answer with that token entails the answer with the
            chosen one or is entailed by it, 1 where they contradict, 2 otherwise (and where both hold). The first is 0.
        token_relevance: N arrays (T,), 1 - similarity of question and answer with and without the token, at least 0.
        hidden_state: (N, D), middle layer, at the position that predicts the last token.
        previous_attention: N arrays (L, H, T), weight on the preceding token in the step that predicts the token; 0 for the
            first token.
        lookback: N arrays (L, H, T), mean weight on a prompt token, divided by the sum of it and the mean weight on a
            generated token, in the step that predicts the token; 1 for the first token.
        samples: N tuples of k texts drawn from the model.
        sample_logprobs: N tuples of k arrays (T,), in nats.
        sample_relevance: N tuples of k arrays (T,), as token_relevance.
        sample_hidden_state: (N, k, D), as hidden_state.
        entailment: (N, k, k, 3), probabilities that sample i [supports, refutes, says nothing about] sample j.
        answer_entailment: (N, k, 2, 3), the same for the answer as evidence for sample i, and for sample i as evidence for
            the answer.
        sentence_entailment: N arrays (S, k, 3), for sample i as evidence for each sentence of the answer.
        sentence_no: N arrays (S, k), the model's own probability of "No" when asked whether sample i supports the sentence.
        sample_similarity: (N, k, k), cosine similarity of the samples' embeddings.
        answer_similarity: (N, k), cosine similarity of the answer to each sample.
        p_true: (N,), the probability the model gives to its answer being true.
        verbalized: (N,), the confidence the model states; NaN where it states none.
        claim_support: N arrays (C,), probability that the context or the index supports each claim of the answer; one value
            for the whole answer where it makes no claim, and NaN where there is neither context nor index.
        context_free_logprobs: N arrays (T,), as token_logprobs, but after the question without its context; NaN where the
            answer has no context.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    token_logprobs: tuple[FloatArray, ...] = ()
    token_entropy: tuple[FloatArray, ...] = ()
    token_self_certainty: tuple[FloatArray, ...] = ()
    token_spans: tuple[IntArray, ...] = ()
    alternative_logprobs: tuple[tuple[FloatArray, ...], ...] = ()
    alternative_relation: tuple[tuple[IntArray, ...], ...] = ()
    token_relevance: tuple[FloatArray, ...] = ()
    hidden_state: FloatArray = field(default_factory=_empty)
    previous_attention: tuple[FloatArray, ...] = ()
    lookback: tuple[FloatArray, ...] = ()
    samples: tuple[tuple[str, ...], ...] = ()
    sample_logprobs: tuple[tuple[FloatArray, ...], ...] = ()
    sample_relevance: tuple[tuple[FloatArray, ...], ...] = ()
    sample_hidden_state: FloatArray = field(default_factory=_empty)
    entailment: FloatArray = field(default_factory=_empty)
    answer_entailment: FloatArray = field(default_factory=_empty)
    sentence_entailment: tuple[FloatArray, ...] = ()
    sentence_no: tuple[FloatArray, ...] = ()
    sample_similarity: FloatArray = field(default_factory=_empty)
    answer_similarity: FloatArray = field(default_factory=_empty)
    p_true: FloatArray = field(default_factory=_empty)
    verbalized: FloatArray = field(default_factory=_empty)
    claim_support: tuple[FloatArray, ...] = ()
    context_free_logprobs: tuple[FloatArray, ...] = ()

    def __len__(self) -> int:
        return len(self.answers)

    def rows(self, selected: NDArray[np.bool_]) -> Statistics:
        """Select answers; `selected` is (N,) booleans."""
        indices = np.flatnonzero(selected)
        columns: dict[str, Any] = {}
        for column in fields(self):
            values = getattr(self, column.name)
            if isinstance(values, tuple):
                columns[column.name] = tuple(values[i] for i in indices) if values else values
            else:
                columns[column.name] = values[indices] if values.size else values
        return Statistics(**columns)


# What each statistic reads that only a model in this process exposes.
_LOCAL_MODEL_ONLY = {
    Statistic.distribution: "the distribution over the whole vocabulary",
    Statistic.spans: "the text of each token",
    Statistic.alternatives: "alternatives to each token with their text",
    Statistic.relevance: "the text of each token",
    Statistic.sample_relevance: "the text of each token",
    Statistic.hidden_state: "hidden states",
    Statistic.sample_hidden_state: "hidden states",
    Statistic.attention: "attention weights",
    Statistic.context_free: "log-probabilities of a given text",
}


def unavailable_statistics(resources: Resources, wanted: Iterable[Statistic]) -> dict[Statistic, str]:
    """Give a reason for each statistic that certainly cannot be computed, before anything is."""
    reasons: dict[Statistic, str] = {}
    has_context = any(context is not None for context in resources.contexts or ())
    for statistic in wanted:
        if statistic in _LOCAL_MODEL_ONLY and not is_local(resources.lm):
            reasons[statistic] = (
                f"{resources.lm.name} does not expose {_LOCAL_MODEL_ONLY[statistic]}; load the model with transformers"
            )
        elif statistic is Statistic.context_free and not has_context:
            reasons[statistic] = "there is no context; pass contexts"
        elif statistic is Statistic.support and not has_context and resources.index is None:
            reasons[statistic] = "there is no source to judge the answer against; pass contexts or an index"
        elif statistic.needs_samples and resources.n_samples < 2:
            reasons[statistic] = f"n_samples is {resources.n_samples}; draw at least 2"
    return reasons


def is_local(lm: object) -> bool:
    """Whether a model runs in this process, so that its internals can be observed."""
    from halluc.models.transformers_model import TransformersModel

    return isinstance(lm, TransformersModel)
