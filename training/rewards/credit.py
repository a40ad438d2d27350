"""Which tokens of a completion state what the evidence supports or contradicts: credit for parts of a completion.

A reward of a whole completion pays its true and its false sentences alike. FSPO (arXiv 2505.24630) changes the sign of the
advantage where a sentence is judged. Not covered: judging (factuality.py), and the trainers that use it (training/trainers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from halluc.answers import Verdict

__all__ = ["CreditedSpan", "claim_credits", "credited_advantages", "located_sentences", "token_credits"]


@dataclass(frozen=True)
class CreditedSpan:
    """A part of a completion that states something.

    Attributes:
        text: the part, as it is written in the completion.
        start: its place in the answer.
        credit: 1 if the evidence supports it, −1 if it contradicts it, 0 if it does neither.
    """

    text: str
    start: int
    credit: int


def claim_credits(answer: str, verdicts: Sequence[Verdict]) -> list[CreditedSpan]:
    """The spans of the judged claims of an answer."""
    credits = {"supported": 1, "refuted": -1}
    return [
        CreditedSpan(answer[v.claim.start : v.claim.end], v.claim.start, credits.get(v.label, 0))
        for v in verdicts
        if v.claim.end > v.claim.start
    ]


def token_credits(tokenizer: Any, ids: Sequence[int], spans: Sequence[CreditedSpan]) -> list[int]:
    """Find the credit of each token.

    Args:
        tokenizer: decodes the tokens.
        ids: (T,) tokens of a completion.
        spans: what it states.

    Returns:
        (T,) −1 for tokens in a contradicted span, 1 for others in a supported one, 0 for the rest; see `located_sentences`.
    """
    credits = [span.credit for span in spans]
    return [_credit([credits[number] for number in numbers]) for numbers in _spans_of_tokens(tokenizer, ids, spans)]


def located_sentences(tokenizer: Any, ids: Sequence[int], sentences: Sequence[Mapping[str, Any]]) -> list[int]:
    """Find the sentence that each token belongs to.

    Args:
        tokenizer: decodes the tokens.
        ids: (T,) tokens of a completion.
        sentences: fields of a `CreditedSpan` each.

    Returns:
        (T,) numbers of the sentences, −1 for none. A token in several belongs to the first that is contradicted, or else to
        the first that is supported. Sentences are looked for from the end of the text, since answers follow thoughts; those
        that are not found, in order, have no tokens.
    """
    spans = [CreditedSpan(sentence["text"], sentence["start"], sentence["credit"]) for sentence in sentences]
    rank = {-1: 0, 1: 1, 0: 2}
    return [
        min(numbers, key=lambda number: (rank[spans[number].credit], number), default=-1)
        for numbers in _spans_of_tokens(tokenizer, ids, spans)
    ]


def _spans_of_tokens(tokenizer: Any, ids: Sequence[int], spans: Sequence[CreditedSpan]) -> list[list[int]]:
    """(T,) numbers of all spans that each token is in."""
    text, ends = "", []
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], skip_special_tokens=True)
        ends.append(len(text))
    places = _places(text, spans)
    return [
        [number for first, last, number in places if start < last and first < end]
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def _places(text: str, spans: Sequence[CreditedSpan]) -> list[tuple[int, int, int]]:
    """(start, end, number) of the spans in the text; the last of several equal places, unless another span follows."""
    places, limit = [], len(text)
    previous = None
    order = sorted(range(len(spans)), key=lambda number: (spans[number].start, len(spans[number].text)), reverse=True)
    for number in order:
        span = spans[number]
        # Claims of one sentence share its place.
        end = len(text) if previous is not None and span.start + len(span.text) > previous.start else limit
        start = text.rfind(span.text, 0, end)
        if start < 0:
            continue
        places.append((start, start + len(span.text), number))
        limit, previous = start, span
    return places


def _credit(credits: Sequence[int]) -> int:
    return -1 if -1 in credits else 1 if 1 in credits else 0


def credited_advantages(
    tokenizer: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    credits: Sequence[Sequence[CreditedSpan]],
) -> torch.Tensor:
    """Make advantages negative at contradicted sentences and positive at supported ones (arXiv 2505.24630, section 4.2).

    Args:
        tokenizer: decodes the tokens.
        ids: (B, T) tokens of completions, padded on the right.
        mask: (B, T) 1 at tokens, 0 at padding.
        advantages: (B,) of completions, or (B, T) of tokens.
        credits: the spans of each of the B completions.

    Returns:
        (B, T) −|A| at tokens with credit −1, |A| at those with credit 1, and A elsewhere.
    """
    import torch

    if advantages.dim() == 1:
        advantages = advantages[:, None].expand(ids.shape)
    table = torch.zeros(ids.shape, dtype=advantages.dtype)
    for row, (spans, length) in enumerate(zip(credits, mask.sum(dim=1).long().tolist(), strict=True)):
        if spans and length:
            table[row, :length] = torch.tensor(
                token_credits(tokenizer, ids[row, :length].tolist(), spans), dtype=table.dtype
            )
    table = table.to(advantages.device)
    return torch.where(table == 0, advantages, table * advantages.abs())
