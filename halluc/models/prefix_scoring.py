"""Log-probabilities of continuations of many contexts; whatever contexts have in common is computed once.

Multiple-choice benchmarks score several continuations of one context, and their contexts begin with the same examples. The
common beginning of all contexts is computed once, each context once after it, and then all its continuations. Texts are
plain, without a chat template. Not covered: scoring replies to chat prompts (`LanguageModel.score`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_text, check_texts
from halluc.models.causal_network import CausalNetwork
from retrieval.records import Record

if TYPE_CHECKING:
    import torch

__all__ = ["Choices", "ContinuationScore", "check_scores_continuations", "score_choices"]

# A shorter common beginning is not worth a pass of its own.
_LEAST_PREFIX = 8


@dataclass(frozen=True)
class Choices(Record):
    """A context and the continuations to score after it, each directly after the context's last character."""

    context: str
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class ContinuationScore(Record):
    """The summed log-probability of a continuation in nats, and how many tokens it has."""

    logprob: float
    n_tokens: int


def check_scores_continuations(lm: Any) -> CausalNetwork:
    """Check that a model computes log-probabilities of given texts.

    Raises:
        InvalidInput: it does not; an endpoint reports log-probabilities of the tokens that it generates only.
    """
    if isinstance(lm, CausalNetwork):
        return lm
    raise InvalidInput(
        f"{getattr(lm, 'name', lm)} reports no log-probabilities of given texts, which a likelihood benchmark needs; pass a "
        "model that is loaded here (a packaged name, a folder or a hub id)"
    )


def score_choices(lm: CausalNetwork, queries: Sequence[Choices]) -> list[list[ContinuationScore]]:
    """Score continuations.

    Context and continuation are tokenized together, and the tokens after those of the context alone belong to the
    continuation, as in lm-evaluation-harness.

    Args:
        lm: the model.
        queries: (N,) contexts with their continuations.

    Returns:
        (N,) lists with one score per continuation.

    Raises:
        InvalidInput: a context or a continuation is empty.
        ContextOverflow: a context and a continuation exceed the context window.
    """
    import torch

    rows = _encode(lm, queries)
    lm.check_window([row.context for row in rows], [len(row.continuation) for row in rows])
    rows_of: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        rows_of.setdefault(row.context, []).append(row)
    results: list[dict[int, ContinuationScore]] = [{} for _ in queries]
    with torch.inference_mode():
        prefix = _common_prefix(list(rows_of))
        cache = lm.prefill(*lm.pad([prefix], left=True)).past_key_values if prefix else None
        for contexts in _batches(rows_of, lm.batch_tokens):
            batch = [row for context in contexts for row in rows_of[context]]
            for row, logprob in zip(batch, _score_batch(lm, prefix, cache, contexts, batch), strict=True):
                results[row.query][row.position] = ContinuationScore(logprob, len(row.continuation))
    return [[scores[position] for position in range(len(scores))] for scores in results]


@dataclass(frozen=True)
class _Row:
    """The token ids of one continuation and of its context, and where its score belongs."""

    query: int
    position: int
    context: tuple[int, ...]
    continuation: tuple[int, ...]


def _encode(lm: CausalNetwork, queries: Sequence[Choices]) -> list[_Row]:
    for number, query in enumerate(queries):
        check_text(f"context {number}", query.context)
        check_texts(f"continuations of context {number}", query.continuations, allow_blank=True)
        if not query.continuations or not all(query.continuations):
            raise InvalidInput(f"context {number} has an empty continuation, or none; there is nothing to score")
    if not queries:
        return []
    lengths = [len(ids) for ids in _ids(lm, [query.context for query in queries])]
    places = [(i, j) for i, query in enumerate(queries) for j in range(len(query.continuations))]
    texts = _ids(lm, [queries[i].context + queries[i].continuations[j] for i, j in places])
    rows = []
    for (i, j), ids in zip(places, texts, strict=True):
        # If the tokenizer merges characters of both, the cut is where the context alone would end.
        cut = min(lengths[i], len(ids) - 1)
        rows.append(_Row(i, j, tuple(ids[:cut]), tuple(ids[cut:])))
    return rows


def _ids(lm: CausalNetwork, texts: Sequence[str]) -> list[list[int]]:
    return [list(ids) for ids in lm.tokenizer(list(texts), split_special_tokens=True)["input_ids"]]


def _common_prefix(contexts: Sequence[tuple[int, ...]]) -> list[int]:
    """The tokens that all contexts begin with; at least one token of each is left to compute."""
    if len(contexts) < 2:
        return []
    first, last = min(contexts), max(contexts)
    longest = min(len(context) for context in contexts) - 1
    length = next((i for i in range(longest) if first[i] != last[i]), longest)
    return list(first[:length]) if length >= _LEAST_PREFIX else []


def _batches(rows_of: dict[tuple[int, ...], list[_Row]], most: int) -> list[list[tuple[int, ...]]]:
    """Contexts, longest first, in batches whose continuations with their contexts have at most `most` tokens."""
    batches: list[list[tuple[int, ...]]] = []
    width = copies = 0
    for context in sorted(rows_of, key=len, reverse=True):
        longest = len(context) + max(len(row.continuation) for row in rows_of[context])
        wider, more = max(width, longest), copies + len(rows_of[context])
        if batches and wider * more <= most:
            batches[-1].append(context)
            width, copies = wider, more
        else:
            batches.append([context])
            width, copies = longest, len(rows_of[context])
    return batches


def _score_batch(
    lm: CausalNetwork,
    prefix: Sequence[int],
    prefix_cache: Any,
    contexts: Sequence[tuple[int, ...]],
    rows: Sequence[_Row],
) -> list[float]:
    import torch

    ids, mask = lm.pad([context[len(prefix) :] for context in contexts], left=True)
    cache = None
    if prefix:
        cache = copy.deepcopy(prefix_cache)
        cache.batch_repeat_interleave(len(contexts))
        mask = torch.cat([mask.new_ones(len(contexts), len(prefix)), mask], 1)
    output = lm.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=_positions(mask)[:, len(prefix) :],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    number = {context: i for i, context in enumerate(contexts)}
    select = torch.tensor([number[row.context] for row in rows], device=lm.device)
    targets, targets_mask = lm.pad([row.continuation for row in rows], left=False)
    logits = output.logits[select, -1:].float()
    if targets.shape[1] > 1:
        logits = torch.cat([logits, _later_logits(lm, output.past_key_values, select, mask, targets, targets_mask)], 1)
    logprobs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    sums: list[float] = (logprobs.double() * targets_mask).sum(1).tolist()
    return sums


def _later_logits(
    lm: CausalNetwork,
    cache: Any,
    select: torch.Tensor,
    mask: torch.Tensor,
    targets: torch.Tensor,
    targets_mask: torch.Tensor,
) -> torch.Tensor:
    """Logits that predict all but the first token of each continuation; its last token predicts nothing that is scored."""
    import torch

    cache.batch_select_indices(select)
    full_mask = torch.cat([mask[select], targets_mask[:, :-1]], 1)
    logits: torch.Tensor = lm.model(
        input_ids=targets[:, :-1],
        attention_mask=full_mask,
        position_ids=_positions(full_mask)[:, mask.shape[1] :],
        past_key_values=cache,
        use_cache=True,
    ).logits.float()
    return logits


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)
