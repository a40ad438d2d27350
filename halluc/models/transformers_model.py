"""A transformers causal language model: batched generation and scoring that compute each prompt once.

Prompts are sorted by length, batched by tokens and left-padded. `n` samples of a prompt and several completions of one
prompt share its key-value cache. Not covered: token ids and batches (causal_network.py), endpoints (endpoint.py), the
packaged default model (packaged_models.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_same_length, check_texts
from halluc.models.causal_network import CausalNetwork
from halluc.models.generation_span import traced_generation
from halluc.models.language_model import Generation, Prompt, check_options

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersModel"]


class TransformersModel(CausalNetwork):
    """`LanguageModel` on a local folder or a hub id; for the arguments see `CausalNetwork`."""

    @property
    def num_parameters(self) -> int:
        """Number of weights in the model."""
        return int(self.model.num_parameters())

    def count_tokens(self, prompt: Prompt) -> int:
        """Count the prompt's tokens, chat template included."""
        return len(self.encode([prompt])[0])

    @traced_generation
    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int = 1,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> list[list[Generation]]:
        """Generate `n` completions of each prompt; see `LanguageModel.generate`.

        Temperature 0 is greedy: one completion is computed and returned n times. The same call with the same seed returns
        the same samples.

        Raises:
            ContextOverflow: a prompt and `max_new_tokens` exceed the context window; nothing is truncated.
            InvalidInput: a prompt or an option is unusable.
        """
        check_options(
            n=n,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop=stop,
            top_logprobs=top_logprobs,
            vocabulary_size=self.vocabulary_size,
        )
        encoded = self.encode(prompts)
        self.check_window(encoded, [max_new_tokens] * len(encoded))
        samples = n if temperature > 0 else 1
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "stop": self.stop_strings(prompts, stop),
        }
        results: list[list[Generation]] = [[] for _ in prompts]
        with self.inference(seed):
            for rows in self.batches([len(ids) for ids in encoded], copies=samples):
                generations = self._generate_batch([encoded[row] for row in rows], samples, top_logprobs, **options)
                for i, row in enumerate(rows):
                    completions = generations[i * samples : (i + 1) * samples]
                    results[row] = completions if samples == n else completions * n
        return results

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as they are generated, then the `Generation` (text without the stop string).

        The next token is computed when the next piece is requested: closing the iterator ends the work. The same seed
        returns the same sample, but not the one that `generate` returns for it.

        Raises:
            ContextOverflow, InvalidInput: as `generate`; with the first piece.
        """
        from halluc.models.continuous_batch import ContinuousBatch

        batch = ContinuousBatch(self, max_rows=1)
        completion = batch.add(
            prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop=stop,
            top_logprobs=top_logprobs,
        )
        while completion.generation is None:
            batch.step()
            if completion.error is not None:
                raise completion.error
            if piece := completion.take_text():
                yield piece
        yield completion.generation

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Compute the log-probability of each token of `completions[i]` after `prompts[i]`.

        A prompt that comes with several completions is computed once. The end-of-turn token is not scored.

        Args:
            prompts: (N,) prompts.
            completions: (N,) texts.

        Returns:
            (N,) generations with the completion's text, `token_ids` and `token_logprobs`.

        Raises:
            ContextOverflow: a prompt and its completion exceed the context window.
            InvalidInput: a prompt is unusable, the lists differ in length, or a completion has no tokens.
        """
        return self._score(self.encode(prompts), completions)

    def score_text(self, beginnings: Sequence[str], continuations: Sequence[str]) -> list[Generation]:
        """Compute the log-probability of each token of plain text, without a chat template.

        Args:
            beginnings: (N,) texts to condition on; they must not be empty.
            continuations: (N,) texts to score, each directly after its beginning.

        Returns:
            (N,) as `score`.

        Raises:
            ContextOverflow, InvalidInput: as `score`.
        """
        check_texts("beginnings", beginnings, allow_blank=True)
        if not all(beginnings):
            position = [bool(text) for text in beginnings].index(False)
            raise InvalidInput(f"beginning {position} is empty; pass some text to condition on")
        encoded = self.tokenizer(list(beginnings), split_special_tokens=True)["input_ids"] if beginnings else []
        return self._score(encoded, continuations)

    # -- private ---------------------------------------------------------------------------------------------------

    def _generate_batch(
        self, encoded: Sequence[Sequence[int]], samples: int, top_logprobs: int, *, stop: tuple[str, ...], **options: Any
    ) -> list[Generation]:
        from halluc.models.hooks import TokenLogprobs

        ids, mask = self.pad(encoded, left=True)
        cache = None
        if samples > 1 and ids.shape[1] > 1:
            # All but the last token, because `generate` must compute at least one itself.
            cache = self.prefill(ids[:, :-1], mask[:, :-1]).past_key_values
            cache.batch_repeat_interleave(samples)
        if samples > 1:
            ids, mask = ids.repeat_interleave(samples, 0), mask.repeat_interleave(samples, 0)
        recorder = TokenLogprobs(top_logprobs)
        new = self.continue_batch(ids, mask, stop=stop, processors=[recorder], cache=cache, **options)
        logprobs = recorder.finish(new)
        return [self.read_generation(new[row], logprobs[row], stop, recorder.top(row)) for row in range(len(new))]

    def _score(self, prompt_ids: Sequence[list[int]], completions: Sequence[str]) -> list[Generation]:
        import torch

        check_texts("completions", completions, allow_blank=True)
        check_same_length(prompts=prompt_ids, completions=completions)
        targets = [self.encode_text(text) for text in completions]
        for i, ids in enumerate(targets):
            if not ids:
                raise InvalidInput(f"completion {i} is empty; there is nothing to score")
        self.check_window(prompt_ids, [len(ids) for ids in targets])
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row, ids in enumerate(prompt_ids):
            rows_of.setdefault(tuple(ids), []).append(row)
        prompts = list(rows_of)
        results: dict[int, Generation] = {}
        copies = max((len(rows) for rows in rows_of.values()), default=1)
        with torch.inference_mode():
            for batch in self.batches([len(ids) for ids in prompts], copies=copies):
                rows = [row for p in batch for row in rows_of[prompts[p]]]
                prompt_of = [i for i, p in enumerate(batch) for _ in rows_of[prompts[p]]]
                logprobs = self._score_batch([list(prompts[p]) for p in batch], prompt_of, [targets[row] for row in rows])
                for row, values in zip(rows, logprobs, strict=True):
                    results[row] = Generation(completions[row], tuple(targets[row]), tuple(values))
        return [results[row] for row in range(len(prompt_ids))]

    def _score_batch(
        self, prompts: Sequence[Sequence[int]], prompt_of: Sequence[int], targets: Sequence[list[int]]
    ) -> list[list[float]]:
        """Score (M,) targets, each after `prompts[prompt_of[i]]`."""
        import torch

        ids, mask = self.pad(prompts, left=True)
        output = self.prefill(ids, mask)
        select = torch.tensor(list(prompt_of), device=self.device)
        logits = output.logits[select, -1:].float()
        # The last target token predicts nothing that is scored.
        inputs, inputs_mask = self.pad([target[:-1] or [self.pad_id] for target in targets], left=False)
        if max(len(target) for target in targets) > 1:
            cache = output.past_key_values
            cache.batch_select_indices(select)
            full_mask = torch.cat([mask[select], inputs_mask], 1)
            later: torch.Tensor = self.model(
                input_ids=inputs,
                attention_mask=full_mask,
                position_ids=(full_mask.cumsum(-1) - 1)[:, mask.shape[1] :],
                past_key_values=cache,
                use_cache=True,
            ).logits
            logits = torch.cat([logits, later.float()], 1)
        padded, _ = self.pad(targets, left=False)
        picked = logits.gather(-1, padded.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)
        return [values[: len(target)] for values, target in zip(picked.tolist(), targets, strict=True)]
