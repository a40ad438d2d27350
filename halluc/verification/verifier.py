"""What every verifier offers: does this evidence support this claim?

`Verifier` is the protocol, `SpanVerifier` that of verifiers which also mark spans; `checked_pairs` and
`weights_fingerprint` are what implementations share. Not covered: the implementations (pair_verifier.py, cross_encoder.py,
templated.py, token_classifier.py, lm_verifier.py), loading one by name (__init__.py), and labels (judge.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from halluc.answers import Label, SpanKind
from halluc.errors import InvalidInput
from halluc.verification.evidence import TOKENS_PER_CHARACTER, TokenCounter
from retrieval.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LABELS",
    "SpanVerifier",
    "UnsupportedSpan",
    "Verifier",
    "check_claim_lengths",
    "checked_pairs",
    "reading_window",
    "room_for_claims",
    "verifier_settings",
    "weights_fingerprint",
]

LABELS: tuple[Label, ...] = get_args(Label)
"""The labels in the order of the columns of `Verifier.probabilities`."""


@runtime_checkable
class Verifier(Protocol):
    """A measure of support, used by detection, grounding and the factuality reward alike.

    Pairs are (evidence, claim). Each method raises `InvalidInput` for a pair that is not two strings with something in them.
    """

    name: str

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1] that the evidence supports the claim."""

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N, 3) probabilities of `LABELS`; each row sums to 1, and the first column is `support`."""


@dataclass(frozen=True)
class UnsupportedSpan(Record):
    """Characters [start, end) of a claim that the evidence does not support.

    Attributes:
        start, end: in the claim.
        probability: that they are not supported, in [0, 1].
        kind: why, where the verifier tells the kinds apart.
    """

    start: int
    end: int
    probability: float
    kind: SpanKind | None = None


@runtime_checkable
class SpanVerifier(Verifier, Protocol):
    """A verifier that also marks what exactly is not supported."""

    def unsupported_spans(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[UnsupportedSpan, ...]]:
        """(N,) spans of each claim, in order and without overlaps."""


def checked_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs as a list; InvalidInput names the first that is not two strings with something in them."""
    checked = []
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            kinds = type(pair).__name__ if isinstance(pair, str) else ", ".join(type(part).__name__ for part in pair)
            raise InvalidInput(f"pair {i} is ({kinds}), not (evidence, claim); pass two strings")
        evidence, claim = pair
        if not evidence.strip() or not claim.strip():
            raise InvalidInput(f"the {'claim' if evidence.strip() else 'evidence'} of pair {i} is empty; leave the pair out")
        checked.append((evidence, claim))
    return checked


def room_for_claims(tokenizer: Any, window: int, max_tokens: int, name: str) -> int:
    """Count the tokens that a window leaves for a claim beside `max_tokens` of evidence.

    Raises:
        InvalidInput: max_tokens is below 1 or leaves no room.
    """
    if max_tokens < 1:
        raise InvalidInput(f"max_tokens is {max_tokens}; read at least one token of evidence at a time")
    room: int = window - max_tokens - tokenizer.num_special_tokens_to_add(pair=True)
    if room < 1:
        raise InvalidInput(
            f"max_tokens is {max_tokens}, which leaves no room for a claim in the {window} tokens of {name}; lower it"
        )
    return room


def check_claim_lengths(written: Mapping[str, str], count_tokens: TokenCounter, room: int, name: str) -> None:
    """Refuse a claim that, as it is written for reading, has more than `room` tokens, with InvalidInput."""
    # A claim of few characters has few tokens, so it need not be counted.
    long = [claim for claim, text in written.items() if TOKENS_PER_CHARACTER * len(text) > room]
    for claim, length in zip(long, count_tokens([written[claim] for claim in long]), strict=True):
        if length > room:
            raise InvalidInput(
                f"the claim that begins {claim[:40]!r} has {length} tokens, more than the {room} that {name} reads; split "
                "it into claims with halluc.extract_claims"
            )


def verifier_settings(verifier: Verifier) -> dict[str, Any]:
    """What a kept result depends on: another verifier may have the same name."""
    return {"verifier": verifier.name, "verifier_fingerprint": getattr(verifier, "fingerprint", None)}


def weights_fingerprint(model: Any, settings: Any) -> str:
    """Hash of all that decides a probability: weights, and whatever else can be written as JSON."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128(json.dumps(settings).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # In half precision, which is what the same weights have on CUDA.
        digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy())
    return str(digest.hexdigest())


_OFFSET_POSITIONS = {"camembert", "longformer", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}
# They embed distances, whatever number of positions their configurations have.
_RELATIVE_POSITIONS = {"deberta", "deberta-v2"}
_USUAL_POSITIONS = 512


def reading_window(model: Any, tokenizer: Any, *, trained: int | None = None) -> int:
    """Count the tokens that a model reads at once, special tokens included.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        trained: the longest input of its training, which counts for a model that embeds distances in place of positions.
    """
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and model.config.model_type in _OFFSET_POSITIONS:
        # Positions are counted from the one after the padding index.
        positions -= (model.config.pad_token_id or 0) + 1
    if trained is None:
        return min(positions or _USUAL_POSITIONS, int(tokenizer.model_max_length))
    return trained if positions is None or model.config.model_type in _RELATIVE_POSITIONS else min(trained, positions)
