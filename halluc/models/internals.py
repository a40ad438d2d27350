"""An answer and samples from one pass over the prompt, with what the model knows inside while it speaks.

The prompt's keys and values are computed once; the greedy answer and the samples are rows of one batch over them. An
answer given from outside, and attention weights (which fast kernels do not keep), take one further pass over the answer's
tokens alone. Not here: detectors (halluc/detectors), plain generation (transformers_model.py).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteriaList

from halluc.errors import InvalidInput
from halluc.models.hooks import StopStrings
from halluc.models.language_model import Generation, Prompt
from halluc.models.recorders import AnswerRecorder, GreedyRows, MiddleLayer, distribution_shape
from retrieval.progress import progress_bar

if TYPE_CHECKING:
    from halluc.models.transformers_model import TransformersModel

__all__ = ["Observation", "observe"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """What one prompt brought forth; T tokens of the answer, the end of the turn included where the model produced it.

    Attributes:
        answer: the greedy completion, or the one given.
        samples: k completions drawn from the model.
        logprobs: (T,) log-probability of each token of the answer, in nats.
        entropy: (T,) entropy of the distribution each was chosen from, in nats.
        self_certainty: (T,) KL divergence from the uniform distribution to it, in nats.
        spans: (T, 2) characters of `answer.text` that each token spells.
        alternatives: per token, (text, log-probability) of the likeliest tokens, the chosen one first.
        hidden_state: (D,) at the position from which the last token was predicted; empty where not asked for.
        previous_attention, lookback: (L, H, T); see `halluc.detectors.statistics`; empty where not asked for, and where the
            model gives no weights over the whole prompt (layers that see only a window of it).
        sample_logprobs: k arrays (T,).
        sample_spans: k arrays (T, 2).
        sample_hidden_state: (k, D); empty where not asked for.
        prompt_tokens: length of the prompt.
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
    """One row of the decoding batch: tokens with their log-probabilities, and where it left off."""

    generation: Generation
    tokens: list[int]
    logprobs: FloatArray
    hidden_state: FloatArray


def observe(
    model: TransformersModel,
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
    """The greedy answer (or the given one) to each prompt, samples, and the model's internals; see `Observation`.

    Args:
        model: the model to observe.
        prompts: N of them.
        answers: N texts to judge in place of the greedy completions, or generations, whose own tokens are then read; their
            end of turn is scored too.
        samples: completions to draw per prompt, at `temperature` and `top_p`.
        max_new_tokens: longest completion.
        seed: the same call with the same seed draws the same samples.
        stop: strings that end a completion.
        alternatives: how many of the likeliest tokens to record per token of the answer.
        hidden_state: whether to keep the middle layer's states (of the answer and of samples).
        attention: whether to summarise attention weights; needs a model that can give them.

    Raises:
        ContextOverflow: a prompt and its completion do not fit the context window.
        InvalidInput: an option is out of range.
    """
    from halluc.models.generation_options import check_options

    check_options(max(samples, 1), max_new_tokens, temperature, top_p, stop)
    if samples and temperature == 0:
        raise InvalidInput("samples at temperature 0 are all the greedy answer; pass a positive temperature")
    if answers is not None and len(answers) != len(prompts):
        raise InvalidInput(f"{len(prompts)} prompts for {len(answers)} answers; pass one answer a prompt")
    encoded = model._encode(prompts)
    given = None if answers is None else [[*ids, model._end_ids[0]] for ids in _token_ids(model, answers)]
    room = [
        max(max_new_tokens if samples or given is None else 0, len(given[i]) if given else 0) for i in range(len(encoded))
    ]
    model._check_window(encoded, room)
    results: dict[int, Observation] = {}
    rows_per_prompt = samples + (given is None)
    with (
        torch.inference_mode(),
        torch.random.fork_rng(devices=model._cuda_devices()),
        progress_bar("generating", len(prompts)) as advance,
    ):
        torch.manual_seed(seed)
        for batch in model._batches([len(ids) for ids in encoded], copies=max(rows_per_prompt, 1)):
            observer = _BatchObserver(
                model, [encoded[row] for row in batch], alternatives, hidden_state, attention, forced=given is not None
            )
            rows = (
                observer.decode(given is None, samples, max_new_tokens, temperature, top_p, tuple(stop))
                if rows_per_prompt
                else [[] for _ in batch]
            )
            answered = (
                [own.pop(0) for own in rows]
                if given is None
                else [observer.given_row(given[row], (answers or [])[row]) for row in batch]
            )
            results.update(zip(batch, observer.finish(answered, rows), strict=True))
            advance(len(batch))
    return [results[row] for row in range(len(prompts))]


class _BatchObserver:
    """One batch: its prompt cache, what decoding recorded, and what the pass over the answers adds."""

    def __init__(
        self,
        model: TransformersModel,
        encoded: list[list[int]],
        alternatives: int,
        hidden_state: bool,
        attention: bool,
        *,
        forced: bool,
    ) -> None:
        self.model = model
        self.forced = forced
        self.encoded = encoded
        self.alternatives = alternatives
        self.hidden_state = hidden_state
        self.attention = attention
        self.ids, self.mask = model._pad(encoded, left=True)
        # `generate` wants at least one token to compute itself.
        self.cache = model._prefill(self.ids[:, :-1], self.mask[:, :-1]).past_key_values if self.ids.shape[1] > 1 else None
        self.recorder: AnswerRecorder | None = None

    def decode(
        self, greedy: bool, samples: int, max_new_tokens: int, temperature: float, top_p: float, stop: tuple[str, ...]
    ) -> list[list[_Row]]:
        """Per prompt, the greedy row first where there is one, then the samples."""
        per = samples + greedy
        ids, mask = self.ids.repeat_interleave(per, 0), self.mask.repeat_interleave(per, 0)
        extra: dict[str, Any] = {}
        if self.cache is not None:
            # The pass over the answers goes on from the prompt's own cache.
            cache = copy.deepcopy(self.cache) if self.attention or self.forced else self.cache
            cache.batch_repeat_interleave(per)
            extra["past_key_values"] = cache
        if samples:
            extra.update(do_sample=True, temperature=temperature, top_p=top_p, top_k=0)
        is_greedy = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        is_greedy[::per] = greedy
        self.recorder = recorder = AnswerRecorder(self.alternatives, torch.nonzero(is_greedy).squeeze(-1))
        processors: list[LogitsProcessor] = [recorder]
        if samples and greedy:
            processors.append(GreedyRows(is_greedy))
        length = ids.shape[1]
        with MiddleLayer(self.model.model, wanted=self.hidden_state) as states:
            sequences = self.model.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                eos_token_id=self.model._end_ids,
                pad_token_id=self.model._pad_id,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList([StopStrings(self.model.tokenizer, stop, length)] if stop else []),
                **extra,
            )
        new = sequences[:, length:]
        logprobs = recorder.finish(new)
        rows = [self._row(new[i], logprobs[i], stop, states.row(i)) for i in range(len(new))]
        return [rows[start : start + per] for start in range(0, len(rows), per)]

    def given_row(self, tokens: list[int], answer: str | Generation) -> _Row:
        """An answer from outside; what is known of it comes with `finish`."""
        text = answer if isinstance(answer, str) else answer.text
        return _Row(Generation(text, tuple(tokens[:-1])), tokens, np.empty(0), np.empty(0))

    def finish(self, answers: list[_Row], samples: list[list[_Row]]) -> list[Observation]:
        """Observations of the batch, after one more pass over the answers where it is needed."""
        force = self._teacher_force(answers) if self.forced or self.attention else None
        observations = []
        for i, (answer, own) in enumerate(zip(answers, samples, strict=True)):
            count = len(answer.tokens)
            generation, logprobs, hidden = answer.generation, answer.logprobs, answer.hidden_state
            if self.forced:
                assert force is not None
                logprobs = force.logprobs[i, :count].numpy().astype(np.float64)
                entropy, certainty, top = force.entropy[i, :count], force.self_certainty[i, :count], force.top(i)
                hidden = force.hidden_state[i, count - 1].numpy().astype(np.float64) if self.hidden_state else hidden
                generation = Generation(generation.text, generation.token_ids, tuple(logprobs[:-1].tolist()))
            else:
                assert self.recorder is not None
                entropy, certainty, top = self.recorder.answer(i, count)
            empty = np.empty(0)
            observations.append(
                Observation(
                    answer=generation,
                    samples=tuple(row.generation for row in own),
                    logprobs=logprobs,
                    entropy=entropy.numpy().astype(np.float64),
                    self_certainty=certainty.numpy().astype(np.float64),
                    spans=self._spans(answer),
                    alternatives=self._alternatives(answer.tokens, logprobs, top),
                    hidden_state=hidden,
                    previous_attention=force.previous[i][:, :, :count] if force and force.previous else empty,
                    lookback=force.lookback[i][:, :, :count] if force and force.lookback else empty,
                    sample_logprobs=tuple(row.logprobs for row in own),
                    sample_spans=tuple(self._spans(row) for row in own),
                    sample_hidden_state=np.stack([row.hidden_state for row in own]) if own else empty,
                    prompt_tokens=len(self.encoded[i]),
                )
            )
        return observations

    def _row(self, ids: torch.Tensor, logprobs: torch.Tensor, stop: tuple[str, ...], states: torch.Tensor | None) -> _Row:
        generation = self.model._generation(ids, logprobs, stop, [])
        count = len(generation.token_ids)
        tokens: list[int] = ids.tolist()
        # The end of the turn counts, and so does a stop string where it is all that was said: no answer is without tokens.
        if count == 0 or (count < len(tokens) and tokens[count] in self.model._end_ids):
            count += 1
        hidden = np.empty(0) if states is None else states[count - 1].numpy().astype(np.float64)
        return _Row(generation, tokens[:count], logprobs[:count].numpy().astype(np.float64), hidden)

    def _teacher_force(self, answers: list[_Row]) -> _Forced:
        """Run the last prompt token and all but the last token of each answer over the prompt's cache."""
        targets = [row.tokens for row in answers]
        inputs, inputs_mask = self.model._pad([[0, *tokens[:-1]] for tokens in targets], left=False)
        inputs[:, 0] = self.ids[:, -1]
        full = torch.cat([self.mask[:, :-1], inputs_mask], 1)
        positions = ((full.cumsum(-1) - 1).clamp(min=0))[:, self.ids.shape[1] - 1 :]
        network = self.model.model
        implementation = network.config._attn_implementation
        if self.attention:
            network.set_attn_implementation("eager")
        try:
            output = network(
                input_ids=inputs,
                attention_mask=full,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                output_attentions=self.attention,
                output_hidden_states=self.forced and self.hidden_state,
                logits_to_keep=0 if self.forced else 1,
            )
        finally:
            if self.attention:
                network.set_attn_implementation(implementation)
        padded, _ = self.model._pad(targets, left=False)
        forced = _Forced(self.mask[:, :-1])
        if self.forced:
            forced.read_distributions(output, padded, self.alternatives, self.hidden_state)
        if self.attention:
            forced.read_attention(output)
        return forced

    def _spans(self, row: _Row) -> NDArray[np.int64]:
        # Decoded in windows that begin with a token already read, so that what a token adds does not depend on its place.
        decode, tokens = self.model.tokenizer.decode, row.tokens
        edges, start, read = [0], 0, 0
        for i in range(1, len(tokens) + 1):
            before = decode(tokens[start:read], skip_special_tokens=True)
            after = decode(tokens[start:i], skip_special_tokens=True)
            end = edges[-1]
            # A character of several tokens is spelt by the last of them: until then it decodes to a replacement character.
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
        for token, logprob, likeliest in zip(tokens, logprobs.tolist(), top, strict=False):
            others = [(decode([other]), value) for other, value in likeliest if other != token]
            steps.append(((decode([token]), logprob), *others))
        return tuple(steps)


class _Forced:
    """What one pass over given tokens tells: their distributions, states and attention, summarised."""

    def __init__(self, prompt_mask: torch.Tensor) -> None:
        self._prompt_mask = prompt_mask
        self._best: Any = None
        self.previous: list[FloatArray] = []
        self.lookback: list[FloatArray] = []

    def read_distributions(self, output: Any, targets: torch.Tensor, top: int, hidden_state: bool) -> None:
        logits = output.logits.float().log_softmax(-1)
        self.logprobs = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1).cpu()
        self.entropy, self.self_certainty = distribution_shape(logits)
        self._best = logits.topk(top, -1) if top else None
        states = output.hidden_states
        self.hidden_state = states[len(states) // 2].float().cpu() if hidden_state else torch.empty(0)

    def read_attention(self, output: Any) -> None:
        steps, prompt = output.attentions[0].shape[2], self._prompt_mask.shape[1] + 1
        if any(layer.shape[-1] != prompt - 1 + steps for layer in output.attentions):
            return
        for row, mask in enumerate(self._prompt_mask):
            weights = torch.stack([layer[row] for layer in output.attentions]).float()
            previous, lookback = _summarise(weights, mask)
            self.previous.append(previous)
            self.lookback.append(lookback)

    def top(self, row: int) -> list[list[tuple[int, float]]]:
        if self._best is None:
            return []
        pairs = zip(self._best.indices[row].tolist(), self._best.values[row].tolist(), strict=True)
        return [list(zip(ids, values, strict=True)) for ids, values in pairs]


def _summarise(weights: torch.Tensor, prompt_mask: torch.Tensor) -> tuple[FloatArray, FloatArray]:
    """Attention weights (L, H, T, S) of one row to previous_attention and lookback, (L, H, T) each.

    The first query is the last prompt token, which predicts the first token; so the query that predicts token t stands at
    token t - 1, the newest that it sees.
    """
    steps = weights.shape[2]
    prompt = prompt_mask.shape[0] + 1
    seen = torch.arange(steps, device=weights.device)
    previous = torch.zeros(weights.shape[:3])
    previous[:, :, 1:] = weights[:, :, seen[1:], prompt - 1 + seen[1:]].cpu()
    on_prompt = weights[..., :prompt].sum(-1) / (prompt_mask.sum() + 1)
    on_new = weights[..., prompt:].sum(-1) / seen.clamp(min=1)
    lookback = (on_prompt / (on_prompt + on_new).clamp(min=1e-12)).cpu()
    return previous.numpy().astype(np.float64), lookback.numpy().astype(np.float64)


def _token_ids(model: TransformersModel, answers: Sequence[str | Generation]) -> list[list[int]]:
    rows = []
    for i, answer in enumerate(answers):
        text = answer if isinstance(answer, str) else answer.text
        if isinstance(answer, str) and not text.strip():
            raise InvalidInput(f"answer {i} is empty; there is nothing to judge")
        known = () if isinstance(answer, str) else answer.token_ids
        rows.append(list(known) or list(model.tokenizer(text, add_special_tokens=False)["input_ids"]))
    return rows
