"""One pass over given answers after cached prompts: the distributions, hidden states and attention along them.

Not covered: choosing the answers and building observations of them (internals.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from halluc.models.hooks import distribution_shape

if TYPE_CHECKING:
    from halluc.models.causal_network import CausalNetwork

__all__ = ["ForcedAnswers", "teacher_force"]

FloatArray = NDArray[np.float64]


class ForcedAnswers:
    """What one pass over B answers of up to T tokens computed.

    Attributes:
        logprobs: (B, T) log-probability of each token, in nats; empty unless distributions were read.
        entropy, self_certainty: (B, T); see `halluc.models.internals.Observation`. Empty as `logprobs`.
        hidden_state: (B, T, D) middle layer at the position that predicts each token; empty unless requested.
        previous_attention, lookback: B arrays (L, H, T), or none; see `halluc.models.internals.Observation`.
    """

    def __init__(self) -> None:
        self.logprobs = self.entropy = self.self_certainty = self.hidden_state = torch.empty(0)
        self.previous_attention: list[FloatArray] = []
        self.lookback: list[FloatArray] = []
        self._best: Any = None

    def read_distributions(self, output: Any, targets: torch.Tensor, top: int, hidden_state: bool) -> None:
        """Read the distributions (and states) that predict the (B, T) targets from the network's output."""
        logprobs = output.logits.float().log_softmax(-1)
        self.logprobs = logprobs.gather(-1, targets.unsqueeze(-1)).squeeze(-1).cpu()
        self.entropy, self.self_certainty = distribution_shape(logprobs)
        self._best = logprobs.topk(top, -1) if top else None
        if hidden_state:
            states = output.hidden_states
            self.hidden_state = states[len(states) // 2].float().cpu()

    def read_attention(self, output: Any, prompt_mask: torch.Tensor) -> None:
        """Summarize attention weights, unless a layer has kept a window of the prompt only."""
        steps, prompt = output.attentions[0].shape[2], prompt_mask.shape[1] + 1
        if any(layer.shape[-1] != prompt - 1 + steps for layer in output.attentions):
            return
        for row, mask in enumerate(prompt_mask):
            weights = torch.stack([layer[row] for layer in output.attentions]).float()
            previous, lookback = _summarize(weights, mask)
            self.previous_attention.append(previous)
            self.lookback.append(lookback)

    def top(self, row: int) -> list[list[tuple[int, float]]]:
        """Return, per token of one row, the most likely (token id, log-probability), best first."""
        if self._best is None:
            return []
        pairs = zip(self._best.indices[row].tolist(), self._best.values[row].tolist(), strict=True)
        return [list(zip(ids, values, strict=True)) for ids, values in pairs]


def teacher_force(
    model: CausalNetwork,
    prompt: tuple[torch.Tensor, torch.Tensor],
    cache: Any,
    targets: Sequence[Sequence[int]],
    *,
    distributions: bool,
    alternatives: int,
    hidden_state: bool,
    attention: bool,
) -> ForcedAnswers:
    """Run the last prompt token and all but the last token of each answer over the prompts' cache.

    Args:
        model: a transformers model.
        prompt: (B, L) left-padded token ids and attention mask.
        cache: key-value cache of all but the last token of the prompts; it is used up.
        targets: (B,) token ids of the answers.
        distributions: whether to read log-probabilities (and states).
        alternatives: how many of the most likely tokens to keep per token.
        hidden_state: whether to keep the middle layer's states; needs `distributions`.
        attention: whether to summarize attention weights.
    """
    ids, mask = prompt
    inputs, inputs_mask = model.pad([[0, *tokens[:-1]] for tokens in targets], left=False)
    inputs[:, 0] = ids[:, -1]
    full_mask = torch.cat([mask[:, :-1], inputs_mask], 1)
    network = model.model
    implementation = network.config._attn_implementation
    if attention:
        network.set_attn_implementation("eager")
    try:
        output = network(
            input_ids=inputs,
            attention_mask=full_mask,
            position_ids=((full_mask.cumsum(-1) - 1).clamp(min=0))[:, ids.shape[1] - 1 :],
            past_key_values=cache,
            use_cache=True,
            output_attentions=attention,
            output_hidden_states=distributions and hidden_state,
            logits_to_keep=0 if distributions else 1,
        )
    finally:
        if attention:
            network.set_attn_implementation(implementation)
    forced = ForcedAnswers()
    if distributions:
        padded, _ = model.pad(targets, left=False)
        forced.read_distributions(output, padded, alternatives, hidden_state)
    if attention:
        forced.read_attention(output, mask[:, :-1])
    return forced


def _summarize(weights: torch.Tensor, prompt_mask: torch.Tensor) -> tuple[FloatArray, FloatArray]:
    """Convert attention weights (L, H, T, S) of one row to previous_attention and lookback, (L, H, T) each.

    The first query is the last prompt token, which predicts the first token; so the query that predicts token t is at
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
