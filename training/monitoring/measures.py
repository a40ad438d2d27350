"""Measures of the answers of a model in training: length, repetition, diversity, abstentions, entropy, and KL to its start.

Not covered: support by verifiers, which a factuality reward measures (training/rewards), and when a run is measured
(training/runs/monitor.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from halluc.claims.abstention import abstains
from training.rewards.guards import repeated_share

__all__ = ["Replies", "distinct_share", "sample_replies", "text_measures"]

# Replies that are sampled, and whose logits are held, together.
_BATCH = 8
# Short replies repeat short phrases: the guard of rewards, which counts 8 words, would see none of them.
_REPEATED_WORDS = 3


@dataclass(frozen=True)
class Replies:
    """Sampled replies of a model.

    Attributes:
        texts: (N,) the replies.
        entropy: mean entropy of the distributions that the tokens were sampled from, in nats.
        kl: mean over the replies of the sum of KL(model ‖ reference) over the tokens, in nats per reply.
        cut: share of the replies that reached the longest length.
    """

    texts: list[str]
    entropy: float
    kl: float
    cut: float


def text_measures(texts: Sequence[str]) -> dict[str, float]:
    """Measure replies.

    Returns:
        words: mean number of words.
        repetition: mean share of the 3-grams of a reply that repeat an earlier one (seq-rep-n, arXiv 1908.04319).
        distinct_1, distinct_2: distinct words and pairs of words of all replies per word and pair (arXiv 1510.03055). They
            fall with the number of replies, so compare only equally many.
        abstained: share of replies that abstain (`halluc.claims.abstention`).
        empty: share of replies without a word.
    """
    count = len(texts)
    words = [re.findall(r"\w+", text.lower()) for text in texts]
    return {
        "words": sum(map(len, words)) / count,
        "repetition": sum(repeated_share(text, n=_REPEATED_WORDS) for text in texts) / count,
        "distinct_1": distinct_share(words, 1),
        "distinct_2": distinct_share(words, 2),
        "abstained": sum(abstains(text) for text in texts) / count,
        "empty": sum(not row for row in words) / count,
    }


def distinct_share(words: Sequence[Sequence[str]], n: int) -> float:
    """Distinct n-grams of all texts per n-gram, in [0, 1]; 0 if there is none."""
    grams = [tuple(row[i : i + n]) for row in words for i in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def sample_replies(
    model: Any,
    reference: Any,
    as_reference: Callable[[], AbstractContextManager[Any]],
    tokenizer: Any,
    prompts: Sequence[list[dict[str, str]]],
    *,
    max_new_tokens: int,
    seed: int,
) -> Replies:
    """Sample one reply to each prompt at temperature 1, and compare the model's distributions with those of a reference.

    The random state of a training that is under way does not change.

    Args:
        model: a causal language model.
        reference: the model to compare with, which may be `model` itself.
        as_reference: makes a context within which `reference` computes as the reference does.
        tokenizer: with a chat template.
        prompts: (N,) conversations.
        max_new_tokens: longest reply, in tokens.
        seed: of sampling.
    """
    training = model.training
    model.eval()
    texts: list[str] = []
    entropies = divergences = tokens = cut = 0.0
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            for start in range(0, len(prompts), _BATCH):
                ids, attention, mask = _sampled(model, tokenizer, prompts[start : start + _BATCH], max_new_tokens)
                count = mask.shape[1]
                logprobs = _log_distributions(model, ids, attention, count)
                with as_reference():
                    base = _log_distributions(reference, ids, attention, count)
                probabilities = logprobs.exp()
                entropies += float((-(probabilities * logprobs).sum(-1) * mask).sum())
                divergences += float(((probabilities * (logprobs - base)).sum(-1) * mask).sum())
                tokens += float(mask.sum())
                lengths = mask.sum(dim=1).long().tolist()
                cut += sum(length == max_new_tokens for length in lengths)
                texts += [
                    tokenizer.decode(row[-count:][:length], skip_special_tokens=True).strip()
                    for row, length in zip(ids, lengths, strict=True)
                ]
    finally:
        model.train(training)
    return Replies(texts, entropies / max(tokens, 1), divergences / len(prompts), cut / len(prompts))


def _sampled(
    model: Any, tokenizer: Any, prompts: Sequence[list[dict[str, str]]], max_new_tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, P + T) tokens and attention mask, and the (B, T) mask of the replies, up to the token that ends them."""
    from transformers import GenerationConfig

    encoded = [
        list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])
        for prompt in prompts
    ]
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    longest = max(map(len, encoded))
    ids = torch.tensor([[padding] * (longest - len(row)) + row for row in encoded], device=model.device)
    attention = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in encoded], device=model.device)
    generation = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=True, temperature=1.0, top_p=1.0, top_k=0,
        pad_token_id=padding, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    sequences = model.generate(input_ids=ids, attention_mask=attention, generation_config=generation, disable_compile=True)
    completions = sequences[:, longest:]
    ended = (completions == tokenizer.eos_token_id).long()
    mask = (ended.cumsum(dim=1) - ended == 0).float()
    return sequences, torch.cat([attention, mask.long()], dim=1), mask


def _log_distributions(model: Any, ids: torch.Tensor, attention: torch.Tensor, count: int) -> torch.Tensor:
    """(B, T, V) log-probabilities of the next token at the last T tokens."""
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    output = model(
        input_ids=ids, attention_mask=attention, position_ids=positions, logits_to_keep=count + 1, use_cache=False
    )
    return torch.log_softmax(output.logits[:, :-1].float(), dim=-1)
