"""What the network reads in training: each claim with an excerpt of its evidence, and labels of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.verifier.pairs import ClaimSpan, Pair

if TYPE_CHECKING:
    import torch

__all__ = ["PairCollator", "encode"]

_UNKNOWN = -100
_OUTSIDE = (0, 0)
_PAIRS_AT_ONCE = 1000
# "not_supported" is either of the two labels other than "supported".
_LABELS = {"supported": 0, "refuted": 1, "not_enough_info": 2, "not_supported": 3, "unlabeled": _UNKNOWN}
_KINDS = {"conflict": 1, "baseless": 2, None: 3}


def encode(pairs: Sequence[Pair], tokenizer: Any, excerpts: Sequence[int]) -> list[dict[str, Any]]:
    """Tokenize each claim with the excerpt of its evidence that inference would read.

    Args:
        pairs: (N,) pairs.
        tokenizer: of the encoder.
        excerpts: (N,) tokens of the longest excerpt of each.

    Returns:
        (N,) rows with `input_ids`, what else the tokenizer gives, `labels` (-100 where there is none), and for each token
        `token_labels` (-100 outside of the claim and where the spans are not known) and `claim_offsets`: its characters
        [start, end) in the claim as it is read, (0, 0) outside of it.
    """
    from halluc.verification.evidence import EvidenceText
    from halluc.verification.reading import as_read, moved_span

    def lengths(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    keys = [(pair.evidence, excerpt) for pair, excerpt in zip(pairs, excerpts, strict=True)]
    texts = {key: EvidenceText(as_read(key[0]), lengths, max_tokens=key[1]) for key in dict.fromkeys(keys)}
    rows = []
    # What the tokenizer returns for all pairs at once would need many times the memory of the rows.
    for first in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = pairs[first : first + _PAIRS_AT_ONCE]
        claims = [as_read(pair.claim) for pair in part]
        encoded = tokenizer(
            [texts[key].excerpt(claim) for key, claim in zip(keys[first : first + len(part)], claims, strict=True)],
            claims,
            truncation="longest_first",
            max_length=tokenizer.model_max_length,
            return_offsets_mapping=True,
        )
        names = [name for name in encoded if name != "offset_mapping"]
        for i, (pair, claim) in enumerate(zip(part, claims, strict=True)):
            row = {name: encoded[name][i] for name in names}
            row["labels"] = _LABELS[pair.label]
            spans = pair.spans
            if spans:
                ends = [moved_span(pair.claim, claim, span.start, span.end) for span in spans]
                spans = tuple(span._replace(start=start, end=end) for span, (start, end) in zip(spans, ends, strict=True))
            of_claim = [sequence == 1 for sequence in encoded.sequence_ids(i)]
            offsets = [
                offset if inside else _OUTSIDE for offset, inside in zip(encoded["offset_mapping"][i], of_claim, strict=True)
            ]
            row["claim_offsets"] = offsets
            row["token_labels"] = _token_labels(spans, offsets, of_claim)
            rows.append(row)
    return rows


def _token_labels(
    spans: Sequence[ClaimSpan] | None, offsets: Sequence[tuple[int, int]], of_claim: Sequence[bool]
) -> list[int]:
    if spans is None:
        return [_UNKNOWN] * len(offsets)
    labels = []
    for (start, end), inside in zip(offsets, of_claim, strict=True):
        kinds = [_KINDS[span.kind] for span in spans if span.start < end and start < span.end]
        labels.append(_UNKNOWN if not inside else kinds[0] if kinds else 0)
    return labels


class PairCollator:
    """Pads rows to a batch.

    Args:
        tokenizer: of the encoder.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Make (B, T) tensors, (B,) labels and, if there is a teacher, its probabilities: (B, 3) and (B, T, 3)."""
        import torch

        names = [name for name in self._tokenizer.model_input_names if name in rows[0]]
        batch = self._tokenizer.pad([{name: row[name] for name in names} for row in rows], return_tensors="pt")
        length = batch["input_ids"].shape[1]
        tokens = [row["token_labels"] + [_UNKNOWN] * (length - len(row["token_labels"])) for row in rows]
        made = {"labels": torch.tensor([row["labels"] for row in rows]), "token_labels": torch.tensor(tokens)}
        for name in ("teacher", "teacher_share"):
            if name in rows[0]:
                made[name] = torch.tensor([row[name] for row in rows])
        if "token_teacher" in rows[0]:
            made["token_teacher"] = torch.zeros(len(rows), length, 3)
            for judged, row in zip(made["token_teacher"], rows, strict=True):
                judged[: len(row["token_teacher"])] = torch.from_numpy(row["token_teacher"])
        return {**batch, **made}
