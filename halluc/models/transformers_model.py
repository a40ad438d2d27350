"""A transformers causal language model: batched generation and scoring with the prompt computed once.

Prompts are sorted by length, batched by tokens and left-padded. `n` samples of a prompt and several completions of one
prompt share its key-value cache. Not here: endpoints (endpoint.py), fetching the default model (pull.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import ContextOverflow, InvalidInput, ModelUnavailable
from halluc.models.generation_options import check_options
from halluc.models.language_model import Generation, Prompt

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersModel"]


class TransformersModel:
    """`LanguageModel` on a local folder or a hub id.

    Args:
        path: a folder or hub id that `AutoModelForCausalLM.from_pretrained` understands.
        name: how results call the model; the path by default.
        device: "cpu", "cuda", "cuda:1", ...; by default CUDA where there is one.
        dtype: "float32", "bfloat16", "float16"; by default float32 on CPU and bfloat16 elsewhere.
        batch_tokens: prompt tokens, padding included, computed at a time.

    Raises:
        ModelUnavailable: the folder or hub id cannot be loaded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_tokens: int = 8192,
    ) -> None:
        import torch

        self.name = name or str(path)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_tokens = batch_tokens
        dtype = dtype or ("float32" if self.device.type == "cpu" else "bfloat16")
        if dtype not in ("float32", "bfloat16", "float16"):
            raise InvalidInput(f"dtype {dtype!r} is not one of float32, bfloat16, float16")
        self.tokenizer, self.model = _load(path, getattr(torch, dtype))
        self.model.to(self.device).eval()
        # Greedy generation would otherwise inherit sampling settings from the checkpoint.
        self.model.generation_config.update(do_sample=False, temperature=None, top_p=None, top_k=None)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._end_ids = [i for i in {*ends, self.tokenizer.eos_token_id} if i is not None]
        pad = self.tokenizer.pad_token_id
        self._pad_id: int = self._end_ids[0] if pad is None else pad

    @property
    def context_window(self) -> int | None:
        """Tokens a prompt and its completion may take together."""
        return getattr(self.model.config, "max_position_embeddings", None)

    @property
    def num_parameters(self) -> int:
        """Weights in the model."""
        return int(self.model.num_parameters())

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Strings that the tokenizer turns into control tokens wherever they stand in a text."""
        return tuple(token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special)

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens the prompt takes, chat template included."""
        return len(self._encode([prompt])[0])

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
        """`n` completions of each prompt; see `LanguageModel.generate`.

        Temperature 0 is greedy: one completion is computed and given n times. The same call with the same seed gives the
        same samples.

        Raises:
            ContextOverflow: a prompt and `max_new_tokens` do not fit the context window; nothing is cut.
            InvalidInput: an option is out of range, or a conversation meets a tokenizer without a chat template.
        """
        import torch

        check_options(n, max_new_tokens, temperature, top_p, stop)
        encoded = self._encode(prompts)
        self._check_window(encoded, [max_new_tokens] * len(encoded))
        samples = n if temperature > 0 else 1
        results: list[list[Generation]] = [[] for _ in prompts]
        with torch.inference_mode(), torch.random.fork_rng(devices=self._cuda_devices()):
            torch.manual_seed(seed)
            for rows in self._batches([len(ids) for ids in encoded], copies=samples):
                generations = self._generate_batch(
                    [encoded[row] for row in rows],
                    samples,
                    max_new_tokens,
                    temperature,
                    top_p,
                    tuple(stop),
                    top_logprobs,
                )
                for i, row in enumerate(rows):
                    own = generations[i * samples : (i + 1) * samples]
                    results[row] = own if samples == n else own * n
        return results

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> Iterator[str | Generation]:
        """Yield pieces of text as they are generated, then the `Generation` (text without the stop string)."""
        from transformers import TextIteratorStreamer

        from halluc.models.hooks import until_stop

        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        outcome: list[Generation | BaseException] = []

        def work() -> None:
            import torch

            try:
                check_options(1, max_new_tokens, temperature, 1.0, stop)
                encoded = self._encode([prompt])
                self._check_window(encoded, [max_new_tokens])
                with torch.inference_mode(), torch.random.fork_rng(devices=self._cuda_devices()):
                    torch.manual_seed(seed)
                    outcome.extend(
                        self._generate_batch(encoded, 1, max_new_tokens, temperature, 1.0, tuple(stop), 0, streamer)
                    )
            except BaseException as error:
                outcome.append(error)
                streamer.end()

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        yield from until_stop(streamer, stop)
        worker.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        yield outcome[0]

    def score(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Generation]:
        """Log-probability of each token of `completions[i]` after `prompts[i]`, as `Generation.token_logprobs`.

        A prompt that comes with several completions is computed once. The end-of-turn token is not scored.

        Raises:
            ContextOverflow: a prompt and its completion do not fit the context window.
            InvalidInput: the lists differ in length or a completion has no tokens.
        """
        return self._scored(self._encode(prompts), completions)

    def score_text(self, beginnings: Sequence[str], continuations: Sequence[str]) -> list[Generation]:
        """`score` for plain text: `continuations[i]` goes on after `beginnings[i]`, without a chat template.

        Raises:
            ContextOverflow, InvalidInput: as `score`; a beginning must have text too.
        """
        if not all(beginnings):
            raise InvalidInput(f"beginning {[*map(bool, beginnings)].index(False)} is empty; give the text some context")
        return self._scored(self.tokenizer(list(beginnings))["input_ids"] if beginnings else [], continuations)

    # -- private ---------------------------------------------------------------------------------------------------

    def _encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        if not prompts:
            return []
        template = self.tokenizer.chat_template is not None
        texts = []
        for prompt in prompts:
            if not prompt:
                raise InvalidInput("a prompt is empty; pass some text or at least one message")
            if isinstance(prompt, str) and not template:
                texts.append(prompt)
                continue
            if not template:
                raise InvalidInput(f"the tokenizer of {self.name} has no chat template; pass prompts as plain strings")
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
            texts.append(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        # A chat template writes the special tokens itself.
        return [list(ids) for ids in self.tokenizer(texts, add_special_tokens=not template)["input_ids"]]

    def _scored(self, prompt_ids: Sequence[list[int]], completions: Sequence[str]) -> list[Generation]:
        import torch

        if len(prompt_ids) != len(completions):
            raise InvalidInput(f"{len(prompt_ids)} prompts for {len(completions)} completions; pass one completion a prompt")
        targets: list[list[int]] = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in completions]
        for i, ids in enumerate(targets):
            if not ids:
                raise InvalidInput(f"completion {i} is empty; there is nothing to score")
        self._check_window(prompt_ids, [len(ids) for ids in targets])
        members: dict[tuple[int, ...], list[int]] = {}
        for row, ids in enumerate(prompt_ids):
            members.setdefault(tuple(ids), []).append(row)
        unique = list(members)
        results: dict[int, Generation] = {}
        copies = max((len(rows) for rows in members.values()), default=1)
        with torch.inference_mode():
            for batch in self._batches([len(ids) for ids in unique], copies=copies):
                rows = [row for u in batch for row in members[unique[u]]]
                owner = [i for i, u in enumerate(batch) for _ in members[unique[u]]]
                logprobs = self._score_batch([list(unique[u]) for u in batch], owner, [targets[row] for row in rows])
                for row, values in zip(rows, logprobs, strict=True):
                    results[row] = Generation(completions[row], tuple(targets[row]), tuple(values))
        return [results[row] for row in range(len(prompt_ids))]

    def _check_window(self, encoded: Sequence[Sequence[int]], new_tokens: Sequence[int]) -> None:
        window = self.context_window
        for i, (ids, new) in enumerate(zip(encoded, new_tokens, strict=True)):
            if window is not None and len(ids) + new > window:
                raise ContextOverflow(
                    f"prompt {i} has {len(ids)} tokens and asks for {new} more, but {self.name} holds {window} in all; "
                    "shorten the prompt or lower max_new_tokens"
                )

    def _batches(self, lengths: Sequence[int], *, copies: int) -> Iterator[list[int]]:
        """Row numbers, longest prompts first (the largest allocation comes early), at most `batch_tokens` a batch."""
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        start = 0
        while start < len(order):
            size = max(1, self.batch_tokens // (lengths[order[start]] * copies or 1))
            yield order[start : start + size]
            start += size

    def _pad(self, encoded: Sequence[Sequence[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        width = max(len(ids) for ids in encoded)
        ids = torch.full((len(encoded), width), self._pad_id)
        mask = torch.zeros_like(ids)
        for row, own in enumerate(encoded):
            span = slice(width - len(own), width) if left else slice(0, len(own))
            ids[row, span] = torch.tensor(own, dtype=ids.dtype)
            mask[row, span] = 1
        return ids.to(self.device), mask.to(self.device)

    def _prefill(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)

    def _generate_batch(
        self,
        encoded: Sequence[Sequence[int]],
        samples: int,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        stop: tuple[str, ...],
        top_logprobs: int,
        streamer: Any = None,
    ) -> list[Generation]:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        from halluc.models.hooks import StopStrings, TokenLogprobs

        ids, mask = self._pad(encoded, left=True)
        extra: dict[str, Any] = {}
        if samples > 1 and ids.shape[1] > 1:
            # All but the last token: `generate` computes the rest itself, from the cache on.
            cache = self._prefill(ids[:, :-1], mask[:, :-1]).past_key_values
            cache.batch_repeat_interleave(samples)
            extra["past_key_values"] = cache
        if samples > 1:
            ids, mask = ids.repeat_interleave(samples, 0), mask.repeat_interleave(samples, 0)
        if temperature > 0:
            extra.update(do_sample=True, temperature=temperature, top_p=top_p, top_k=0)
        recorder = TokenLogprobs(top_logprobs)
        prompt_length = ids.shape[1]
        sequences = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            eos_token_id=self._end_ids,
            pad_token_id=self._pad_id,
            logits_processor=LogitsProcessorList([recorder]),
            stopping_criteria=StoppingCriteriaList([StopStrings(self.tokenizer, stop, prompt_length)] if stop else []),
            streamer=streamer,
            **extra,
        )
        new = sequences[:, prompt_length:]
        logprobs = recorder.finish(new)
        return [self._generation(new[row], logprobs[row], stop, recorder.top(row)) for row in range(len(new))]

    def _generation(self, ids: torch.Tensor, logprobs: torch.Tensor, stop: tuple[str, ...], top: list[Any]) -> Generation:
        tokens: list[int] = ids.tolist()
        end = next((i for i, token in enumerate(tokens) if token in self._end_ids), len(tokens))
        finished = end < len(tokens)
        tokens = tokens[:end]
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        if (cut := min((at for s in stop if (at := text.find(s)) >= 0), default=-1)) >= 0:
            finished = True
            text = text[:cut]
            # The fewest tokens that spell the text before the stop string.
            while tokens and len(self.tokenizer.decode(tokens[:-1], skip_special_tokens=True)) >= len(text):
                tokens.pop()
        count = len(tokens)
        return Generation(
            text=text,
            token_ids=tuple(tokens),
            token_logprobs=tuple(logprobs[:count].tolist()),
            finish_reason="stop" if finished else "length",
            top_logprobs=tuple(
                tuple((self.tokenizer.decode([token]), value) for token, value in step) for step in top[:count]
            ),
        )

    def _score_batch(
        self, prompts: Sequence[Sequence[int]], owner: Sequence[int], targets: Sequence[list[int]]
    ) -> list[list[float]]:
        import torch

        ids, mask = self._pad(prompts, left=True)
        output = self._prefill(ids, mask)
        select = torch.tensor(list(owner), device=self.device)
        logits = output.logits[select, -1:].float()
        # The last target token predicts nothing that is asked for.
        inputs, inputs_mask = self._pad([target[:-1] or [self._pad_id] for target in targets], left=False)
        if max(len(target) for target in targets) > 1:
            cache = output.past_key_values
            cache.batch_select_indices(select)
            full_mask = torch.cat([mask[select], inputs_mask], 1)
            positions = (full_mask.cumsum(-1) - 1)[:, mask.shape[1] :]
            rest = self.model(
                input_ids=inputs,
                attention_mask=full_mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).logits
            logits = torch.cat([logits, rest.float()], 1)
        padded, _ = self._pad(targets, left=False)
        picked = logits.gather(-1, padded.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)
        return [values[: len(target)] for values, target in zip(picked.tolist(), targets, strict=True)]

    def _cuda_devices(self) -> list[Any]:
        return [self.device] if self.device.type == "cuda" else []


def _load(path: str | Path, dtype: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from retrieval.hub import require_hub

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        require_hub(path)
        return AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        where = "folder" if isinstance(path, Path) else "hub id (no such local folder)"
        raise ModelUnavailable(
            f"{path} could not be loaded as a {where}: {reason}; pass 'default', a folder that holds a causal language "
            "model, a hub id this machine can reach, or http://host:port/v1#model"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
