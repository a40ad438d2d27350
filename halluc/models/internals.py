"""A greedy answer and samples from one pass over the prompt, with the model's internal states during generation.

The prompt's keys and values are computed once; the greedy answer and the samples are rows of one batch over them. A given
answer, and attention weights (which fast kernels do not keep), take one further pass over the answer's tokens. Not
covered: detectors (halluc/detectors), plain generation (transformers_model.py).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor

from halluc.errors import InvalidInput, check_integer, check_same_length, check_text
from halluc.models.hooks import AnswerRecorder, GreedyRows, MiddleLayer
from halluc.models.language_model import Generation, Prompt, check_options
from halluc.models.teacher_forcing import ForcedAnswers, teacher_force
from retrieval.progress import progress_bar

if TYPE_CHECKING:
    from halluc.models.causal_network import CausalNetwork

__all__ = ["Observation", "observe"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """The result for one prompt; T tokens of the answer, the end of the turn included if the model produced it.

    Attributes:
        answer: the greedy completion, or the given answer.
        samples: k completions drawn from the model.
        logprobs: (T,) log-probability of each token of the answer, in nats.
        entropy: (T,) entropy of the distribution that each token was chosen from, in nats.
        self_certainty: (T,) KL divergence from the uniform distribution to that distribution, in nats.
        spans: (T, 2) start and end of each token in the characters of `answer.text`.
        alternatives: (T,) per token, (text, log-probability) of the most likely tokens, the chosen one first.
        hidden_state: (D,) middle layer at the position that predicted the last token; empty unless requested.
        previous_attention: (L, H, T) attention to the previous token; see `halluc.detectors.statistics`. Empty unless
            requested, and if the model has layers that attend to a window of the prompt only.
        lookback: (L, H, T) share of the attention that is on the prompt; empty as `previous_attention`.
        sample_logprobs: k arrays (T_i,) as `logprobs`.
        sample_spans: k arrays (T_i, 2) as `spans`.
        sample_hidden_state: (k, D); empty unless requested.
        prompt_tokens: number of tokens of the prompt.
    """

    answer: Generation
    samples: tuple[Generation, ...]
    logprobs: FloatArray
    entropy: FloatArray
    self_certainty: FloatArray
    spans: NDArray[np.int64]
    alternatives: tuple[tuple[tuple[str, float], ...], ...]
    hidden_state: FloatArray
    previous_attention: FloatArray
    lookback: FloatArray
    sample_logprobs: tuple[FloatArray, ...]
    sample_spans: tuple[NDArray[np.int64], ...]
    sample_hidden_state: FloatArray
    prompt_tokens: int


@dataclass(frozen=True)
class _Row:
    """One row of the decoding batch: its tokens, their log-probabilities, and the state that predicted the last one."""

    generation: Generation
    tokens: list[int]
    logprobs: FloatArray
    hidden_state: FloatArray


@dataclass(frozen=True)
class _Request:
    """What to record of each answer."""

    alternatives: int
    hidden_state: bool
    attention: bool


def observe(
    model: CausalNetwork,
    prompts: Sequence[Prompt],
    *,
    answers: Sequence[str | Generation] | None = None,
    samples: int = 0,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    alternatives: int = 0,
    hidden_state: bool = False,
    attention: bool = False,
) -> list[Observation]:
    """Observe the greedy (or given) answer to each prompt, samples, and the model's internals.

    Args:
        model: a transformers model.
        prompts: (N,) prompts.
        answers: (N,) texts to judge in place of the greedy completions; or generations, whose own token ids are then used.
            The end of the turn is scored too.
        samples: completions to draw per prompt, at `temperature` and `top_p`.
        max_new_tokens: maximum length of a completion, in tokens.
        temperature, top_p: of the samples; see `LanguageModel.generate`.
        seed: the same call with the same seed draws the same samples.
        stop: strings that end a completion.
        alternatives: how many of the most likely tokens to record per token of the answer.
        hidden_state: whether to keep the middle layer's states of the answer and the samples.
        attention: whether to summarize attention weights; needs a model with an eager attention implementation.

    Returns:
        (N,) observations.

    Raises:
        ContextOverflow: a prompt and its completion exceed the context window.
        InvalidInput: a prompt, an answer or an option is unusable.
    """
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "stop": stop}
    check_options(seed=seed, **options)
    check_integer("samples", samples, 0)
    check_integer("alternatives", alternatives, 0, model.vocabulary_size)
    if samples and temperature == 0:
        raise InvalidInput("samples at temperature 0 all equal the greedy answer; pass a positive temperature")
    encoded = model.encode(prompts)
    forced = None if answers is None else _check_answers(model, prompts, answers)
    model.check_window(encoded, _longest_answers(len(encoded), forced, max_new_tokens if samples or forced is None else 0))
    request = _Request(alternatives, hidden_state, attention)
    options["stop"] = model.stop_strings(prompts, stop)
    results: dict[int, Observation] = {}
    with model.inference(seed), progress_bar("generating", len(prompts)) as advance:
        for batch in model.batches([len(ids) for ids in encoded], copies=max(samples + (forced is None), 1)):
            observer = _BatchObserver(model, [encoded[row] for row in batch], request, forced=forced is not None)
            answers_of_batch = None if forced is None else [forced[row] for row in batch]
            results.update(zip(batch, observer.observe(answers_of_batch, samples, options), strict=True))
            advance(len(batch))
    return [results[row] for row in range(len(prompts))]


def _check_answers(model: CausalNetwork, prompts: Sequence[Prompt], answers: Sequence[str | Generation]) -> list[_Row]:
    """Check the given answers, and make rows of them; `_BatchObserver.finish` computes log-probabilities and states."""
    if isinstance(answers, str):
        raise InvalidInput(f"answers is one string, {answers[:40]!r}; pass a list of strings")
    check_same_length(prompts=prompts, answers=answers)
    rows = []
    for i, answer in enumerate(answers):
        known: tuple[int, ...] = ()
        if isinstance(answer, Generation):
            text, known = answer.text, answer.token_ids
            check_text(f"answer {i}", text, allow_blank=True)
        else:
            text = answer
            check_text(f"answer {i}", text)
        ids = list(known) or model.encode_text(text)
        rows.append(_Row(Generation(text, tuple(ids)), [*ids, model.end_ids[0]], np.empty(0), np.empty(0)))
    return rows


def _longest_answers(count: int, forced: list[_Row] | None, max_new_tokens: int) -> list[int]:
    """The most tokens that may follow each prompt."""
    return [max(max_new_tokens, len(forced[i].tokens) if forced else 0) for i in range(count)]


class _BatchObserver:
    """One batch: its prompt cache, what decoding recorded, and what the pass over the answers adds."""

    def __init__(self, model: CausalNetwork, encoded: list[list[int]], request: _Request, *, forced: bool) -> None:
        self.model = model
        self.encoded = encoded
        self.request = request
        self.forced = forced
        self.ids, self.mask = model.pad(encoded, left=True)
        # `generate` must compute at least one token itself.
        self.cache = model.prefill(self.ids[:, :-1], self.mask[:, :-1]).past_key_values if self.ids.shape[1] > 1 else None
        self.recorder: AnswerRecorder | None = None

    def observe(self, answers: list[_Row] | None, samples: int, options: dict[str, Any]) -> list[Observation]:
        """Observe the given answers, or greedy ones if there are none, and samples."""
        rows: list[list[_Row]] = [[] for _ in self.encoded]
        if samples or answers is None:
            rows = self.decode(answers is None, samples, **options)
        if answers is None:
            answers = [prompt_rows.pop(0) for prompt_rows in rows]
        return self.finish(answers, rows)

    def decode(
        self, greedy: bool, samples: int, *, stop: tuple[str, ...], temperature: float, **options: Any
    ) -> list[list[_Row]]:
        """Generate per prompt the greedy row, if `greedy`, and then the samples."""
        copies = samples + greedy
        ids, mask = self.ids.repeat_interleave(copies, 0), self.mask.repeat_interleave(copies, 0)
        cache = None
        if self.cache is not None:
            # The pass over the answers needs the prompt's own cache.
            cache = copy.deepcopy(self.cache) if self.request.attention or self.forced else self.cache
            cache.batch_repeat_interleave(copies)
        is_greedy = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        is_greedy[::copies] = greedy
        self.recorder = AnswerRecorder(self.request.alternatives, torch.nonzero(is_greedy).squeeze(-1))
        processors: list[LogitsProcessor] = [self.recorder]
        if samples and greedy:
            processors.append(GreedyRows(is_greedy))
        with MiddleLayer(self.model.model, wanted=self.request.hidden_state) as states:
            new = self.model.continue_batch(
                ids,
                mask,
                stop=stop,
                temperature=temperature if samples else 0.0,
                processors=processors,
                cache=cache,
                **options,
            )
        logprobs = self.recorder.finish(new)
        rows = [self._row(new[i], logprobs[i], stop, states.row(i)) for i in range(len(new))]
        return [rows[start : start + copies] for start in range(0, len(rows), copies)]

    def finish(self, answers: list[_Row], samples: list[list[_Row]]) -> list[Observation]:
        """Build the batch's observations, after one more pass over the answers if it is needed."""
        force = None
        if self.forced or self.request.attention:
            force = teacher_force(
                self.model,
                (self.ids, self.mask),
                self.cache,
                [row.tokens for row in answers],
                distributions=self.forced,
                alternatives=self.request.alternatives,
                hidden_state=self.request.hidden_state,
                attention=self.request.attention,
            )
        rows = zip(answers, samples, strict=True)
        return [self._observation(i, answer, sample_rows, force) for i, (answer, sample_rows) in enumerate(rows)]

    def _observation(self, i: int, answer: _Row, sample_rows: list[_Row], force: ForcedAnswers | None) -> Observation:
        count, empty = len(answer.tokens), np.empty(0)
        generation, logprobs, hidden = answer.generation, answer.logprobs, answer.hidden_state
        if self.forced:
            assert force is not None
            logprobs = force.logprobs[i, :count].numpy().astype(np.float64)
            entropy, certainty, top = force.entropy[i, :count], force.self_certainty[i, :count], force.top(i)
            if self.request.hidden_state:
                hidden = force.hidden_state[i, count - 1].numpy().astype(np.float64)
            generation = Generation(generation.text, generation.token_ids, tuple(logprobs[:-1].tolist()))
        else:
            assert self.recorder is not None
            entropy, certainty, top = self.recorder.answer(i, count)
        return Observation(
            answer=generation,
            samples=tuple(row.generation for row in sample_rows),
            logprobs=logprobs,
            entropy=entropy.numpy().astype(np.float64),
            self_certainty=certainty.numpy().astype(np.float64),
            spans=self._spans(answer),
            alternatives=self._alternatives(answer.tokens, logprobs, top),
            hidden_state=hidden,
            previous_attention=force.previous_attention[i][:, :, :count] if force and force.previous_attention else empty,
            lookback=force.lookback[i][:, :, :count] if force and force.lookback else empty,
            sample_logprobs=tuple(row.logprobs for row in sample_rows),
            sample_spans=tuple(self._spans(row) for row in sample_rows),
            sample_hidden_state=np.stack([row.hidden_state for row in sample_rows]) if sample_rows else empty,
            prompt_tokens=len(self.encoded[i]),
        )

    def _row(self, ids: torch.Tensor, logprobs: torch.Tensor, stop: tuple[str, ...], states: torch.Tensor | None) -> _Row:
        generation = self.model.read_generation(ids, logprobs, stop)
        count = len(generation.token_ids)
        tokens: list[int] = ids.tolist()
        # The end of the turn counts, and so does a stop string if it is all there is: no answer is without tokens.
        if count == 0 or (count < len(tokens) and tokens[count] in self.model.end_ids):
            count += 1
        hidden = np.empty(0) if states is None else states[count - 1].numpy().astype(np.float64)
        return _Row(generation, tokens[:count], logprobs[:count].numpy().astype(np.float64), hidden)

    def _spans(self, row: _Row) -> NDArray[np.int64]:
        # Decoded in windows that begin with a token already read, so that what a token adds does not depend on its place.
        decode, tokens = self.model.tokenizer.decode, row.tokens
        edges, start, read = [0], 0, 0
        for i in range(1, len(tokens) + 1):
            before = decode(tokens[start:read], skip_special_tokens=True)
            after = decode(tokens[start:i], skip_special_tokens=True)
            end = edges[-1]
            # A character of several tokens is spelled by the last of them: until then it decodes to a replacement
            # character.
            if len(after) > len(before) and not after.endswith("\ufffd"):
                end += len(after) - len(before)
                start, read = read, i
            edges.append(min(end, len(row.generation.text)))
        return np.stack([np.array(edges[:-1], dtype=np.int64), np.array(edges[1:], dtype=np.int64)], -1)

    def _alternatives(
        self, tokens: list[int], logprobs: FloatArray, top: list[list[tuple[int, float]]]
    ) -> tuple[tuple[tuple[str, float], ...], ...]:
        decode = self.model.tokenizer.decode
        steps = []
        for token, logprob, likely in zip(tokens, logprobs.tolist(), top, strict=False):
            others = [(decode([other]), value) for other, value in likely if other != token]
            steps.append(((decode([token]), logprob), *others))
        return tuple(steps)
