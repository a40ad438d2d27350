"""How the predictions of a trained model differ from those of the model before training.

Both models read the same text: prompts with the greedy replies of the trained model. Not covered: weights (weights.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from retrieval.progress import progress_bar
from retrieval.records import Record
from training.inspection.states import hidden_states

if TYPE_CHECKING:
    import torch

    from halluc.models.language_model import Prompt

__all__ = ["PredictionChange", "ReplyShift", "compare_predictions"]

_BATCH = 8
# Ranks of a token before training up to which it is called marginal (arXiv 2312.01552, section 2).
_MARGINAL_RANK = 3


@dataclass(frozen=True)
class ReplyShift(Record):
    """A reply of the trained model, token by token.

    Attributes:
        prompt: the prompt, as text.
        tokens: (T,) texts of the tokens.
        ranks: (T,) rank of each under the model before training, from 1.
        divergences: (T,) KL(after ‖ before) in nats of the distributions that each token was chosen from.
    """

    prompt: str
    tokens: tuple[str, ...]
    ranks: tuple[int, ...]
    divergences: tuple[float, ...]

    @property
    def mean_divergence(self) -> float:
        """Mean over the tokens."""
        return sum(self.divergences) / len(self.divergences)


@dataclass(frozen=True)
class PredictionChange(Record):
    """How predictions differ over all replies.

    Attributes:
        n_tokens: tokens of the replies.
        unshifted, marginal, shifted: shares in [0, 1] of tokens that the model before training ranks first, second or third,
            and lower (arXiv 2312.01552, section 2).
        divergence: mean KL(after ‖ before) in nats per token.
        divergence_by_layer: (L + 1,) the same for what the output head reads from the embeddings and from each layer (the
            logit lens); the last is `divergence`.
        replies: the replies, those that changed most first.
    """

    n_tokens: int
    unshifted: float
    marginal: float
    shifted: float
    divergence: float
    divergence_by_layer: tuple[float, ...]
    replies: tuple[ReplyShift, ...]


def compare_predictions(
    before: Any, after: Any, tokenizer: Any, prompts: Sequence[Prompt], *, max_new_tokens: int = 64
) -> PredictionChange:
    """Compare next-token distributions on greedy replies of the trained model.

    Args:
        before, after: causal language models with one vocabulary.
        tokenizer: of both.
        prompts: texts or conversations.
        max_new_tokens: longest reply.

    Raises:
        InvalidInput: there is no prompt, or the vocabularies differ.
    """
    import torch

    if not prompts:
        raise InvalidInput("there are no prompts; pass at least one")
    sizes = [model.get_output_embeddings().weight.shape[0] for model in (before, after)]
    if sizes[0] != sizes[1]:
        raise InvalidInput(
            f"the models have {sizes[0]} and {sizes[1]} output tokens; compare a model with one trained from it"
        )
    replies: list[ReplyShift] = []
    totals: torch.Tensor | None = None
    with progress_bar("comparing predictions", len(prompts)) as advance, torch.inference_mode():
        for start in range(0, len(prompts), _BATCH):
            rows = [_tokens(tokenizer, prompt) for prompt in prompts[start : start + _BATCH]]
            completions = _greedy(after, tokenizer, rows, max_new_tokens)
            sums, batch = _compare(before, after, tokenizer, rows, completions)
            totals = sums if totals is None else totals + sums
            replies += batch
            advance(len(rows))
    ranks = [rank for reply in replies for rank in reply.ranks]
    n = len(ranks)
    assert totals is not None
    divergences = tuple((totals / n).tolist())
    unshifted = sum(rank == 1 for rank in ranks) / n
    shifted = sum(rank > _MARGINAL_RANK for rank in ranks) / n
    ordered = tuple(sorted(replies, key=lambda reply: -reply.mean_divergence))
    return PredictionChange(n, unshifted, 1 - unshifted - shifted, shifted, divergences[-1], divergences, ordered)


def _tokens(tokenizer: Any, prompt: Prompt) -> list[int]:
    if isinstance(prompt, str) and not tokenizer.chat_template:
        return list(tokenizer(prompt)["input_ids"])
    from halluc.models.chat_template import fit_conversation

    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]
    fitted = fit_conversation(tokenizer, messages)
    return list(
        tokenizer.apply_chat_template(fitted, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    )


def _greedy(model: Any, tokenizer: Any, prompts: Sequence[list[int]], max_new_tokens: int) -> list[list[int]]:
    """The reply to each prompt, with its end-of-sequence token if it has one; prompts are padded on the left."""
    import torch

    longest, eos = max(map(len, prompts)), tokenizer.eos_token_id
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos
    ids = torch.tensor([[padding or 0] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    output = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=padding,
        eos_token_id=eos,
    )
    replies = output[:, longest:].tolist()
    return [reply[: reply.index(eos) + 1] if eos in reply else reply for reply in replies]


def _compare(
    before: Any, after: Any, tokenizer: Any, prompts: Sequence[list[int]], completions: Sequence[list[int]]
) -> tuple[torch.Tensor, list[ReplyShift]]:
    """(L + 1,) sums over tokens of the divergence by layer, and the replies."""
    import torch

    sequences = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    # Positions whose next token belongs to the reply.
    places = [
        (i, place)
        for i, (prompt, row) in enumerate(zip(prompts, sequences, strict=True))
        for place in range(len(prompt) - 1, len(row) - 1)
    ]
    rows, columns = (torch.tensor(values, device=after.device) for values in zip(*places, strict=True))
    states = [[state[rows, columns] for state in hidden_states(model, sequences)] for model in (before, after)]
    sums = []
    logprobs: list[torch.Tensor] = []
    for layer in range(len(states[0])):
        logprobs = [
            _lens(model, own[layer], last=layer == len(own) - 1) for model, own in zip((before, after), states, strict=True)
        ]
        divergence = (logprobs[1].exp() * (logprobs[1] - logprobs[0])).sum(-1)
        sums.append(divergence.sum().cpu())
    chosen = torch.tensor([token for completion in completions for token in completion], device=after.device)
    # The last layer is the prediction itself.
    own_logprob = logprobs[0].gather(-1, chosen[:, None])
    ranks = ((logprobs[0] > own_logprob).sum(-1) + 1).tolist()
    divergences = divergence.tolist()
    shifts, done = [], 0
    for prompt, completion in zip(prompts, completions, strict=True):
        part = slice(done, done + len(completion))
        done += len(completion)
        texts = tuple(tokenizer.convert_tokens_to_string([token]) for token in tokenizer.convert_ids_to_tokens(completion))
        text = tokenizer.decode(prompt, skip_special_tokens=True)
        shifts.append(ReplyShift(text, texts, tuple(ranks[part]), tuple(divergences[part])))
    return torch.stack(sums).double(), shifts


def _lens(model: Any, states: torch.Tensor, *, last: bool) -> torch.Tensor:
    """(N, V) log-probabilities that the output head gives for hidden states; the last ones are normalized already."""
    import torch

    normalized = states if last else _final_norm(model)(states)
    return torch.log_softmax(model.get_output_embeddings()(normalized).float(), dim=-1)


def _final_norm(model: Any) -> Any:
    """The normalization before the output head, by the names that architectures give it."""
    decoder = model.get_decoder()
    for name in ("norm", "final_layernorm", "ln_f", "final_layer_norm"):
        if (norm := getattr(decoder, name, None)) is not None:
            return norm
    raise InvalidInput(f"{type(model).__name__} has no final normalization that is known; its layers cannot be read")
