"""The network of halluc's own verifiers: an encoder that reads evidence and claim together, with two heads.

One head gives the label of the pair, from the first token. The other gives a label to each token of the claim, which shows
what exactly is not supported. Not covered: how texts are cut and read (cross_encoder.py), and files (weights.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    import torch

__all__ = ["TOKEN_LABELS", "PairEncoder", "PairOutput"]

TOKEN_LABELS = ("supported", "conflict", "baseless")
"""The columns of the token head."""


@dataclass(frozen=True)
class PairOutput:
    """Logits of a batch.

    Attributes:
        logits: (B, 3) of supported, refuted and not enough information.
        token_logits: (B, T, 3) of `TOKEN_LABELS`; only those at the tokens of the claim mean anything.
    """

    logits: torch.Tensor
    token_logits: torch.Tensor


class PairEncoder(nn.Module):
    """An encoder with a head for pairs and one for tokens.

    Args:
        encoder: a `BertEncoder`, or a transformers encoder, without a pooler.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = encoder.config
        # Users of sequence classifiers ask the config for the number of labels.
        self.config.num_labels = 3
        size = encoder.config.hidden_size
        dense, label = nn.Linear(size, size), nn.Linear(size, 3)
        self.pair_head = nn.Sequential(dense, nn.Tanh(), label)
        self.token_head = nn.Linear(size, len(TOKEN_LABELS))
        for head in (dense, label, self.token_head):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    @property
    def layers(self) -> nn.ModuleList:
        """The layers of the encoder, from the lowest up."""
        inner: Any = self.encoder.encoder
        layers = inner["layer"] if isinstance(inner, nn.ModuleDict) else inner.layer
        assert isinstance(layers, nn.ModuleList)
        return layers

    def forward(self, **inputs: torch.Tensor) -> PairOutput:
        """Read a batch of pairs, encoded by the tokenizer of the encoder."""
        hidden = self.encoder(**inputs).last_hidden_state
        return PairOutput(self.pair_head(hidden[:, 0]), self.token_head(hidden))
