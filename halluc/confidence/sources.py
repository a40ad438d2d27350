"""Any source of confidence by its name, so that a saved calibrator can compute the same number again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from halluc.answers import Answer
from halluc.confidence.consistency import self_consistency
from halluc.confidence.likelihood import (
    length_normalized_likelihood,
    mean_token_probability,
    min_token_probability,
    sequence_likelihood,
)
from halluc.confidence.self_evaluation import p_true, verbalized_confidence
from halluc.errors import InvalidInput
from halluc.verification.judge import verdict_support

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from halluc.models.language_model import Generation, LanguageModel, Prompt

__all__ = ["SOURCES", "Source", "estimate_confidence", "source_names"]

Source = Literal[
    "length_normalized_likelihood",
    "mean_token_probability",
    "min_token_probability",
    "sequence_likelihood",
    "p_true",
    "verbalized",
    "self_consistency",
    "verifier_support",
]
SOURCES: tuple[Source, ...] = get_args(Source)
"""The names that `estimate_confidence`, `halluc.calibrate` and a calibrator's `source` take."""

_LIKELIHOODS: dict[str, Callable[[Sequence[Generation]], NDArray[np.float64]]] = {
    "length_normalized_likelihood": length_normalized_likelihood,
    "mean_token_probability": mean_token_probability,
    "min_token_probability": min_token_probability,
    "sequence_likelihood": sequence_likelihood,
}
# The curves of arXiv 2302.09664 (figure 3) flatten at ten samples; temperature 1 samples what the model believes.
_N_SAMPLES = 10
# Of a reply that states no confidence: neither for nor against the answer.
_UNSTATED = 0.5


def estimate_confidence(
    source: str,
    answers: Sequence[Answer],
    *,
    lm: LanguageModel,
    prompts: Sequence[Prompt] | None = None,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Compute the confidence of answers that are not abstentions.

    Args:
        source: one of `SOURCES`, or several joined by "+". Likelihoods and verifier support are read from the answers;
            "p_true" and "verbalized" ask `lm` once more for each answer (a reply without a confidence counts as 0.5, with a
            warning); "self_consistency" draws ten samples for each prompt at temperature 1.
        answers: N answers with text, and with what the source reads: a generation, or verdicts.
        lm: the model that gave them.
        prompts: the prompt of each answer; only "self_consistency" needs them.
        max_new_tokens: longest sample.
        seed: of the samples.

    Returns:
        (N,) in [0, 1]; (N, S) of S sources.

    Raises:
        InvalidInput: the source is unknown, or an answer or `prompts` lacks what it reads.
        ModelResponseError: the model reports no log-probabilities, and the source needs them.
    """
    names = source_names(source)
    for i, answer in enumerate(answers):
        if not isinstance(answer, Answer):
            raise InvalidInput(f"answers[{i}] is {answer!r}; pass a list of Answer")
    if len(names) > 1:
        options: dict[str, Any] = {"lm": lm, "prompts": prompts, "max_new_tokens": max_new_tokens, "seed": seed}
        return np.stack([estimate_confidence(name, answers, **options) for name in names], axis=1)
    questions, texts = [answer.question for answer in answers], [answer.text for answer in answers]
    if source in _LIKELIHOODS:
        return _LIKELIHOODS[source]([_generation(i, answer) for i, answer in enumerate(answers)])
    if source == "p_true":
        return p_true(lm, questions, texts)
    if source == "verbalized":
        return verbalized_confidence(lm, questions, texts, missing=_UNSTATED)
    if source == "verifier_support":
        return verdict_support(answers)
    if prompts is None or len(prompts) != len(answers):
        raise InvalidInput("self_consistency draws samples; pass the prompt of each answer as prompts")
    drawn = lm.generate(prompts, n=_N_SAMPLES, temperature=1.0, seed=seed, max_new_tokens=max_new_tokens) if prompts else []
    return self_consistency(texts, [[sample.text for sample in samples] for samples in drawn])


def source_names(source: str) -> list[str]:
    """The names in a source: one of `SOURCES`, or several different ones joined by "+".

    Raises:
        InvalidInput: a name is unknown or repeated.
    """
    names = source.split("+") if isinstance(source, str) else [source]
    for name in names:
        if name not in SOURCES:
            raise InvalidInput(f"there is no confidence source {name!r}; pass one of {', '.join(SOURCES)}")
        if names.count(name) > 1:
            raise InvalidInput(f"the source {name} is named twice; name different sources")
    return names


def _generation(number: int, answer: Answer) -> Generation:
    if answer.generation is None:
        raise InvalidInput(f"answer {number} has no generation to read its likelihood from; leave out abstentions")
    return answer.generation
