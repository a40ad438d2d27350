"""What the network reads in training: each claim with an excerpt of its evidence, and labels of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.verifier.pairs import ClaimSpan, Pair

if TYPE_CHECKING:
    import torch

__all__ = ["PairCollator", "encode"]

_UNKNOWN = -100
# "not_supported" is either of the two labels other than "supported".
_LABELS = {"supported": 0, "refuted": 1, "not_enough_info": 2, "not_supported": 3, "unlabeled": _UNKNOWN}
_KINDS = {"conflict": 1, "baseless": 2, None: 3}


def encode(pairs: Sequence[Pair], tokenizer: Any, max_tokens: int) -> list[dict[str, Any]]:
    """Tokenize each claim with the excerpt of its evidence that inference would read.

    Args:
        pairs: the pairs.
        tokenizer: of the encoder.
        max_tokens: longest excerpt.

    Returns:
        (N,) rows with `input_ids`, what else the tokenizer gives, `labels` (-100 where there is none) and `token_labels`: of
        the tokens of the claim, and -100 elsewhere or where the spans are not known.
    """
    from halluc.verification.evidence import EvidenceText
    from halluc.verification.reading import as_read, moved_span

    def lengths(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    distinct = dict.fromkeys(pair.evidence for pair in pairs)
    texts = {evidence: EvidenceText(as_read(evidence), lengths, max_tokens=max_tokens) for evidence in distinct}
    claims = [as_read(pair.claim) for pair in pairs]
    encoded = tokenizer(
        [texts[pair.evidence].excerpt(claim) for pair, claim in zip(pairs, claims, strict=True)],
        claims,
        truncation="longest_first",
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    names = [name for name in encoded if name != "offset_mapping"]
    rows = []
    for i, pair in enumerate(pairs):
        row = {name: encoded[name][i] for name in names}
        row["labels"] = _LABELS[pair.label]
        spans = pair.spans
        if spans:
            ends = [moved_span(pair.claim, claims[i], span.start, span.end) for span in spans]
            spans = tuple(span._replace(start=start, end=end) for span, (start, end) in zip(spans, ends, strict=True))
        row["token_labels"] = _token_labels(spans, encoded["offset_mapping"][i], encoded.sequence_ids(i))
        rows.append(row)
    return rows


def _token_labels(
    spans: Sequence[ClaimSpan] | None, offsets: Sequence[tuple[int, int]], sequences: Sequence[int | None]
) -> list[int]:
    if spans is None:
        return [_UNKNOWN] * len(offsets)
    labels = []
    for (start, end), sequence in zip(offsets, sequences, strict=True):
        inside = [_KINDS[span.kind] for span in spans if span.start < end and start < span.end]
        labels.append(_UNKNOWN if sequence != 1 else inside[0] if inside else 0)
    return labels


class PairCollator:
    """Pads rows to a batch.

    Args:
        tokenizer: of the encoder.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Make (B, T) tensors, (B,) labels and, if there is a teacher, (B, 3) probabilities."""
        import torch

        own = {"labels", "token_labels", "teacher"}
        batch = self._tokenizer.pad(
            [{name: row[name] for name in row if name not in own} for row in rows], return_tensors="pt"
        )
        length = batch["input_ids"].shape[1]
        tokens = [row["token_labels"] + [_UNKNOWN] * (length - len(row["token_labels"])) for row in rows]
        made = {"labels": torch.tensor([row["labels"] for row in rows]), "token_labels": torch.tensor(tokens)}
        if "teacher" in rows[0]:
            made["teacher"] = torch.tensor([row["teacher"] for row in rows])
        return {**batch, **made}
