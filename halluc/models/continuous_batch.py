"""Completions that a transformers model works on together, one token each per step, and that come and go at any time.

Continuous batching (Orca, OSDI 2022) without paged memory: the rows share one left-padded key-value cache. A completion
that joins is computed once and padded to the others; one that ends, or is removed, leaves with the next step. A long prompt
is computed in chunks, between which the rows go on (Sarathi-Serve, arXiv 2403.02310). Each row has sampling options and
random numbers of its own, so that it does not depend on its neighbors. Not covered: the text and the end of a single
completion (completion.py), which beginnings of prompts are kept (prefix_cache.py), and the thread that steps a batch for a
server (halluc/server/generation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.models.completion import Completion
from halluc.models.language_model import Prompt, check_options
from halluc.models.prefix_cache import Beginning, PrefixCache

if TYPE_CHECKING:
    import torch

    from halluc.models.causal_network import CausalNetwork

__all__ = ["ContinuousBatch"]

# Tokens of each prompt that are computed in one step: few enough that rows do not wait long for their next token, and that a
# client which goes away stops the work; so many that most prompts are computed in one.
_CHUNK_BESIDE_ROWS, _CHUNK_ALONE = 512, 2048


class ContinuousBatch:
    """A changing set of completions of one model; use it from one thread.

    Of the checkpoint's generation settings, only the end tokens and the repetition penalty apply.

    Args:
        network: the model.
        max_rows: maximum number of completions per step; the others wait. A model whose cache has no rows that could be
            joined (state-space models, for example) works on one at a time.
    """

    def __init__(self, network: CausalNetwork, *, max_rows: int = 32) -> None:
        self.network = network
        config = network.model.config.get_text_config()
        window = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
        layer_types = set(getattr(config, "layer_types", None) or [window])
        # Whether the cache has only keys and values, one pair for each token of a row.
        self._joins = layer_types <= {"full_attention", "sliding_attention"} and not getattr(
            network.model, "_is_stateful", False
        )
        # Padding between a common beginning and the rest of a row would count in a window of attention.
        self._shares = self._joins and layer_types == {"full_attention"}
        self.max_rows = max_rows if self._joins else 1
        self._waiting: list[Completion] = []
        self._rows: list[Completion] = []
        self._joining: _Joining | None = None
        self._cache: Any = None
        self._mask: torch.Tensor | None = None
        self._prefixes = PrefixCache()
        self._row_turn = False
        penalty = getattr(network.model.generation_config, "repetition_penalty", None)
        self._penalty: float = 1.0 if penalty is None else float(penalty)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._rows) + (len(self._joining.completions) if self._joining else 0)

    def add(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        top_logprobs: int = 0,
    ) -> Completion:
        """Add a completion, which begins with one of the next steps; for the options see `LanguageModel.generate`.

        Raises:
            InvalidInput: the prompt or an option is unusable.
            ContextOverflow: the prompt and `max_new_tokens` exceed the context window.
        """
        options: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
            "top_logprobs": top_logprobs,
        }
        check_options(stop=stop, vocabulary_size=self.network.vocabulary_size, **options)
        encoded = self.network.encode([prompt])
        self.network.check_window(encoded, [max_new_tokens])
        completion = Completion(self.network, encoded[0], stop=self.network.stop_strings([prompt], stop), **options)
        self._waiting.append(completion)
        return completion

    def remove(self, completion: Completion) -> None:
        """Take a completion out; it gets no further token."""
        completion.removed = True
        if completion in self._waiting:
            self._waiting.remove(completion)

    def step(self) -> list[Completion]:
        """Compute a chunk of the prompts of completions that wait, if there is room for them, or the next token of each row.

        If there are both, the two take turns: completions that keep coming do not stop those that have begun.

        An exception of the model does not concern all: each completion is computed again on its own, and the exception
        becomes the `error` of those that fail alone.

        Returns:
            The completions that have a new token, or have ended or failed; none after a chunk that is not the last.
        """
        import torch

        with torch.inference_mode():
            self._leave()
            joining = not (self._rows and self._row_turn) and self._has_joining()
            self._row_turn = joining
            if not joining and not self._rows:
                return []
            try:
                if joining:
                    return self._join()
                self._decode()
                return list(self._rows)
            except Exception:
                return self._retry([*self._rows, *(self._joining.completions if self._joining else ())])

    # -- private ---------------------------------------------------------------------------------------------------

    def _has_joining(self) -> bool:
        """Whether there are prompts to compute; those of completions that all were removed are given up."""
        if self._joining is not None and all(completion.ended for completion in self._joining.completions):
            self._joining = None
        if self._joining is None and (waiting := self._next_waiting()):
            self._joining = _Joining(waiting)
        return self._joining is not None

    def _next_waiting(self) -> list[Completion]:
        """Those that can join now, the longest waiting first, as many as one forward pass takes."""
        joining: list[Completion] = []
        width = 0
        while self._waiting and len(self._rows) + len(joining) < self.max_rows:
            width = max(width, len(self._waiting[0].prompt_ids))
            if joining and width * (len(joining) + 1) > self.network.batch_tokens:
                break
            joining.append(self._waiting.pop(0))
        return joining

    def _join(self) -> list[Completion]:
        """Compute a chunk of the prompts that join; after the last one the completions get a token, and become rows."""
        import torch

        joining = self._joining
        assert joining is not None
        if joining.ids is None:
            self._begin(joining)
        chunk = _CHUNK_BESIDE_ROWS if self._rows else _CHUNK_ALONE
        logits = self._prefill(joining, chunk if self._joins else joining.ids.shape[1])
        if joining.computed < joining.ids.shape[1]:
            return []
        completions, mask = [c for c in joining.completions if not c.ended], joining.mask
        select = torch.tensor([joining.prompts.index(tuple(c.context_ids)) for c in completions], device=self.network.device)
        if not self._joins:
            self._cache, self._mask = joining.cache, mask
        else:
            layers = [(layer.keys[select], layer.values[select]) for layer in joining.cache.layers]
            if self._rows:
                layers, mask = _joined(self._layers(), self._mask, layers, mask[select])
            else:
                mask = mask[select]
            self._cache, self._mask = _new_cache(layers), mask
        self._joining = None
        self._rows += completions
        self._choose(completions, logits[select])
        return completions

    def _begin(self, joining: _Joining) -> None:
        """Lay out the distinct prompts, after the beginning that they have in common and that is computed already."""
        import torch

        prompts = list(dict.fromkeys(tuple(c.context_ids) for c in joining.completions))
        cache = _new_cache() if self._joins else None
        beginning = self._beginning(prompts) if self._shares else None
        shared = 0 if beginning is None else len(beginning.ids)
        ids, mask = self.network.pad([prompt[shared:] for prompt in prompts], left=True)
        if beginning is not None:
            cache = _new_cache(beginning.layers)
            cache.batch_repeat_interleave(len(prompts))
            mask = torch.cat([torch.ones_like(mask[:, :1]).expand(-1, shared), mask], 1)
        joining.prompts, joining.ids, joining.mask, joining.cache = prompts, ids, mask, cache

    def _prefill(self, joining: _Joining, tokens: int) -> torch.Tensor:
        """Run the model over the next tokens of each prompt; returns the (B, V) logits after them."""
        start = joining.computed
        joining.computed = min(start + tokens, joining.ids.shape[1])
        shared = joining.mask.shape[1] - joining.ids.shape[1]
        mask = joining.mask[:, : shared + joining.computed]
        output = self.network.model(
            input_ids=joining.ids[:, start : joining.computed],
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, shared + start :],
            past_key_values=joining.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        joining.cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _beginning(self, prompts: Sequence[tuple[int, ...]]) -> Beginning | None:
        """The beginning that all prompts have in common, computed here if it is not kept; None if there is none to use."""
        import torch

        known, length = self._prefixes.find(prompts)
        start = 0 if known is None else len(known.ids)
        if length == start:
            return known
        output = self.network.model(
            input_ids=torch.tensor([prompts[0][start:length]], device=self.network.device),
            past_key_values=_new_cache(None if known is None else known.layers),
            use_cache=True,
            logits_to_keep=1,
        )
        layers = tuple((layer.keys, layer.values) for layer in output.past_key_values.layers)
        beginning = Beginning(prompts[0][:length], layers)
        self._prefixes.keep(beginning)
        return beginning

    def _decode(self) -> None:
        import torch

        assert self._mask is not None
        last = torch.tensor([[row.token_ids[-1]] for row in self._rows], device=self.network.device)
        self._mask = torch.cat([self._mask, torch.ones_like(last)], 1)
        output = self.network.model(
            input_ids=last,
            attention_mask=self._mask,
            position_ids=self._mask.sum(1, keepdim=True) - 1,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = output.past_key_values
        self._choose(self._rows, output.logits[:, -1].float())

    def _choose(self, completions: Sequence[Completion], logits: torch.Tensor) -> None:
        """Give each completion its next token, from its (V,) logits."""
        for completion, scores in zip(completions, logits, strict=True):
            try:
                completion.choose(scores, self._penalty)
            except Exception as error:
                completion.error = error

    def _leave(self) -> None:
        """Drop the rows that have ended, and the padding that no other row needs."""
        kept = [i for i, row in enumerate(self._rows) if not row.ended]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in kept]
        if not kept:
            self._cache = self._mask = None
            return
        assert self._mask is not None
        mask = self._mask[kept]
        padding = int(mask.argmax(1).min())
        layers = [(keys[kept, :, padding:], values[kept, :, padding:]) for keys, values in self._layers()]
        self._cache, self._mask = _new_cache(layers), mask[:, padding:]

    def _retry(self, completions: Sequence[Completion]) -> list[Completion]:
        """Compute the next token of each completion on its own; the batch begins anew with those that work."""
        self._rows, self._cache, self._mask = [], None, None
        for completion in completions:
            if completion.ended:
                continue
            self._joining = _Joining([completion])
            try:
                while self._joining is not None:
                    self._join()
            except Exception as error:
                completion.error = error
        self._joining = None
        return list(completions)

    def _layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(layer.keys, layer.values) for layer in self._cache.layers]


@dataclass
class _Joining:
    """Completions whose prompts are being computed.

    Attributes:
        completions: one for each row to come.
        prompts: (B,) distinct prompts.
        ids: (B, L) their tokens after the common beginning, padded on the left.
        mask: (B, S + L), with the common beginning of S tokens.
        cache: keys and values of the beginning and the first `computed` tokens.
        computed: tokens of L whose keys and values are in the cache.
    """

    completions: list[Completion]
    prompts: Sequence[tuple[int, ...]] = ()
    ids: Any = None
    mask: Any = None
    cache: Any = None
    computed: int = 0


def _new_cache(layers: Sequence[tuple[torch.Tensor, torch.Tensor]] | None = None) -> Any:
    """A cache that keeps all keys and values, also of layers that attend to a window; the attention mask limits those."""
    from transformers import DynamicCache

    return DynamicCache(layers) if layers else DynamicCache()


def _joined(
    layers: Sequence[tuple[torch.Tensor, torch.Tensor]],
    mask: torch.Tensor | None,
    more_layers: Sequence[tuple[torch.Tensor, torch.Tensor]],
    more_mask: torch.Tensor,
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Put the rows of two caches, (B, H, L, D) per layer, and their (B, L) masks below each other, padded on the left."""
    import torch
    from torch.nn.functional import pad

    assert mask is not None
    length = max(mask.shape[1], more_mask.shape[1])
    gap, more_gap = length - mask.shape[1], length - more_mask.shape[1]
    joined = [
        (
            torch.cat([pad(keys, (0, 0, gap, 0)), pad(more_keys, (0, 0, more_gap, 0))]),
            torch.cat([pad(values, (0, 0, gap, 0)), pad(more_values, (0, 0, more_gap, 0))]),
        )
        for (keys, values), (more_keys, more_values) in zip(layers, more_layers, strict=True)
    ]
    return joined, torch.cat([pad(mask, (gap, 0)), pad(more_mask, (more_gap, 0))])
