"""Log-probabilities of continuations of many contexts; whatever contexts have in common is computed once.

Multiple-choice benchmarks score several continuations of one context, and their contexts begin with the same examples. The
common beginning of all contexts is computed once, each context once after it, and then all its continuations, those of
similar length together. Texts are plain, without a chat template. Not covered: scoring replies to chat prompts
(`LanguageModel.score`).
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
# Continuations that are at most this many times as long as the shortest of their group are computed together.
_MOST_PADDING = 1.34


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
        # A quarter of a batch is left for contexts, since every continuation needs a copy of its context.
        for contexts in _batches(list(rows_of), lm.batch_tokens // 4):
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


def _batches(contexts: Sequence[tuple[int, ...]], most: int) -> list[list[tuple[int, ...]]]:
    """Contexts, longest first, in batches of at most `most` tokens."""
    batches: list[list[tuple[int, ...]]] = []
    for context in sorted(contexts, key=len, reverse=True):
        if batches and len(batches[-1][0]) * (len(batches[-1]) + 1) <= most:
            batches[-1].append(context)
        else:
            batches.append([context])
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
    first = output.logits[:, -1].float().log_softmax(-1)
    sums = {row: first[number[row.context], row.continuation[0]].item() for row in rows}
    later = sorted((row for row in rows if len(row.continuation) > 1), key=lambda row: len(row.continuation))
    for group in _groups(later, mask.shape[1], lm.batch_tokens):
        select = torch.tensor([number[row.context] for row in group], device=lm.device)
        group_cache = copy.deepcopy(output.past_key_values)
        group_cache.batch_select_indices(select)
        for row, logprob in zip(group, _later_logprobs(lm, group_cache, mask[select], group), strict=True):
            sums[row] += logprob
    return [sums[row] for row in rows]


def _groups(rows: Sequence[_Row], width: int, most: int) -> list[list[_Row]]:
    """Rows, shortest continuation first, in groups that waste little on padding and have at most `most` tokens.

    Args:
        rows: by length.
        width: tokens of the contexts.
        most: tokens of a group with its contexts.
    """
    groups: list[list[_Row]] = []
    for row in rows:
        length = len(row.continuation)
        fits = groups and length <= _MOST_PADDING * len(groups[-1][0].continuation)
        if fits and (width + length) * (len(groups[-1]) + 1) <= most:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _later_logprobs(lm: CausalNetwork, cache: Any, mask: torch.Tensor, rows: Sequence[_Row]) -> list[float]:
    """Summed log-probability of all but the first token of each continuation; `cache` and `mask` are of their contexts."""
    import torch

    targets, targets_mask = lm.pad([row.continuation for row in rows], left=False)
    # The last token of a continuation predicts nothing that is scored.
    full_mask = torch.cat([mask, targets_mask[:, :-1]], 1)
    logits = lm.model(
        input_ids=targets[:, :-1],
        attention_mask=full_mask,
        position_ids=_positions(full_mask)[:, mask.shape[1] :],
        past_key_values=cache,
        use_cache=True,
    ).logits.float()
    logprobs = logits.log_softmax(-1).gather(-1, targets[:, 1:].unsqueeze(-1)).squeeze(-1)
    sums: list[float] = (logprobs.double() * targets_mask[:, 1:]).sum(1).tolist()
    return sums


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)
