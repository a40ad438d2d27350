"""What is known about N answers, as arrays: everything a detector may read.

A field that no detector asked for is empty. Probabilities of tokens are those of the model at temperature 1, whatever the
samples were drawn at. The token that ends the turn counts among the tokens where the model produced it, so that an
empty answer has one token. Not here: who computes it (gathering.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "IntArray", "Statistics"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class Statistics:
    """N answers to N prompts; T tokens (another number for each answer), k samples, L layers, H heads, D dimensions.

    Attributes:
        questions: N texts of the last user turn.
        answers: N texts that are judged.
        token_logprobs: N arrays (T,), in nats.
        token_entropy: N arrays (T,), entropy of the distribution each token was chosen from, in nats.
        token_self_certainty: N arrays (T,), KL divergence from the uniform distribution to that distribution, in nats.
        token_spans: N arrays (T, 2), the characters of `answers` that each token spells; the end of the turn spells none.
        alternative_logprobs: N tuples of T arrays (A,), the chosen token first, then likely other ones.
        alternative_relation: N tuples of T arrays (A,): 0 where the answer with that token entails the answer with the
            chosen one or is entailed by it, 1 where they contradict, 2 otherwise (and where both hold). The first is 0.
        token_relevance: N arrays (T,), 1 - similarity of question and answer with and without the token, at least 0.
        hidden_state: (N, D), middle layer, at the position from which the last token was predicted.
        previous_attention: N arrays (L, H, T), weight given to the token before, in the step that predicts the token; 0
            for the first.
        lookback: N arrays (L, H, T), mean weight on a prompt token over the sum of it and the mean weight on a generated
            token, in the step that predicts the token; 1 for the first.
        samples: N tuples of k texts drawn from the model.
        sample_logprobs: N tuples of k arrays (T,), in nats.
        sample_relevance: N tuples of k arrays (T,), as token_relevance.
        sample_hidden_state: (N, k, D), as hidden_state.
        entailment: (N, k, k, 3), probabilities that sample i [supports, refutes, says nothing of] sample j.
        answer_entailment: (N, k, 2, 3), the same of the answer as evidence for sample i, and of sample i for the answer.
        sentence_entailment: N arrays (S, k, 3), of sample i as evidence for each sentence of the answer.
        sentence_no: N arrays (S, k), the model's own probability of "No" when asked whether sample i supports the
            sentence.
        sample_similarity: (N, k, k), cosine similarity of the samples' embeddings.
        answer_similarity: (N, k), of the answer's and each sample's.
        p_true: (N,), the probability the model gives to its answer being true.
        verbalised: (N,), the confidence the model states; NaN where it states none.
        claim_support: N arrays (C,), probability that context or index support each claim of the answer; one of the
            whole answer where it makes no claim.
        context_free_logprobs: N arrays (T,), as token_logprobs, but after the question without its context.
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
    hidden_state: FloatArray = field(default_factory=_nothing)
    previous_attention: tuple[FloatArray, ...] = ()
    lookback: tuple[FloatArray, ...] = ()
    samples: tuple[tuple[str, ...], ...] = ()
    sample_logprobs: tuple[tuple[FloatArray, ...], ...] = ()
    sample_relevance: tuple[tuple[FloatArray, ...], ...] = ()
    sample_hidden_state: FloatArray = field(default_factory=_nothing)
    entailment: FloatArray = field(default_factory=_nothing)
    answer_entailment: FloatArray = field(default_factory=_nothing)
    sentence_entailment: tuple[FloatArray, ...] = ()
    sentence_no: tuple[FloatArray, ...] = ()
    sample_similarity: FloatArray = field(default_factory=_nothing)
    answer_similarity: FloatArray = field(default_factory=_nothing)
    p_true: FloatArray = field(default_factory=_nothing)
    verbalised: FloatArray = field(default_factory=_nothing)
    claim_support: tuple[FloatArray, ...] = ()
    context_free_logprobs: tuple[FloatArray, ...] = ()

    def __len__(self) -> int:
        return len(self.answers)

    def rows(self, chosen: NDArray[np.bool_]) -> Statistics:
        """The statistics of some answers; `chosen` is (N,) booleans."""
        at = np.flatnonzero(chosen)
        taken: dict[str, Any] = {}
        for part in fields(self):
            values = getattr(self, part.name)
            if isinstance(values, tuple):
                taken[part.name] = tuple(values[i] for i in at) if values else values
            else:
                taken[part.name] = values[at] if values.size else values
        return Statistics(**taken)
