"""BERT encoders on plain PyTorch (Devlin et al., arXiv 1810.04805), with the names that transformers gives the weights.

The default embedder and verifier are such encoders. Importing BERT from transformers takes two seconds of processor time,
and sentence-transformers another two, which is most of what a short command would spend. Not covered: other architectures
(transformers loads them), training objectives, and names of models (embedders.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from retrieval.files import parse_json_object

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BertConfig", "BertEncoder", "BertOutput", "MeanPooledBert", "PairScorer", "load_bert"]


@dataclass
class BertConfig:
    """Sizes of an encoder, by the names that they have in its config.json.

    Attributes:
        num_labels: outputs of a head on the encoder; not of the encoder itself.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int | None = 0
    model_type: str = "bert"
    num_labels: int = 2

    def to_dict(self) -> dict[str, Any]:
        """The sizes by name, as config.json has them."""
        return asdict(self)


@dataclass(frozen=True)
class BertOutput:
    """What an encoder gives.

    Attributes:
        last_hidden_state: (B, T, hidden_size).
    """

    last_hidden_state: torch.Tensor


class BertEncoder(nn.Module):
    """Embeddings and layers of BERT, without a pooler.

    Args:
        config: its sizes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))})

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, from the lowest up."""
        layers = self.encoder["layer"]
        assert isinstance(layers, nn.ModuleList)
        return layers

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> BertOutput:
        """Read (B, T) tokens, of which those with attention_mask 0 are padding."""
        hidden = self.embeddings(input_ids, token_type_ids)
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return BertOutput(hidden)


def load_bert(folder: Path) -> BertEncoder | None:
    """Load the encoder of a folder in the format of transformers.

    Returns:
        The encoder in float32, in evaluation mode; None if the folder holds another architecture, or no safetensors.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    from safetensors.torch import load_file

    settings = parse_json_object((folder / "config.json").read_bytes())
    weights = folder / "model.safetensors"
    if not _is_plain_bert(settings) or not weights.is_file():
        return None
    names = {field.name for field in fields(BertConfig)} - {"num_labels"}
    config = BertConfig(**{name: value for name, value in settings.items() if name in names})
    encoder = BertEncoder(config)
    state = {name.removeprefix("bert."): tensor.float() for name, tensor in load_file(weights).items()}
    wanted = encoder.state_dict().keys()
    if missing := sorted(wanted - state.keys()):
        raise ValueError(f"{weights} has no {missing[0]}")
    encoder.load_state_dict({name: state[name] for name in wanted}, assign=True)
    return encoder.requires_grad_().eval()


class MeanPooledBert:
    """An embedder on a `BertEncoder`: the mean of the last hidden states, as sentence-transformers computes it.

    Attributes:
        max_seq_length: tokens of a text that are read, special tokens included.
        tokenizer: that of transformers.
    """

    def __init__(self, encoder: BertEncoder, tokenizer: Any, max_seq_length: int) -> None:
        self.encoder = encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = tokenizer
        self.max_seq_length = max_seq_length

    def get_embedding_dimension(self) -> int:
        """Number of components of a vector."""
        return self.encoder.config.hidden_size

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Compute the (N, d) vectors of N texts, each of length 1; texts of similar length should be neighbors."""
        device = next(self.encoder.parameters()).device
        batches = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                encoded = self.tokenizer(
                    list(texts[start : start + batch_size]),
                    padding=True,
                    truncation=True,
                    max_length=self.max_seq_length,
                    return_tensors="pt",
                ).to(device)
                hidden = self.encoder(**encoded).last_hidden_state
                mask = encoded["attention_mask"][..., None].to(hidden.dtype)
                mean = (hidden * mask).sum(1) / mask.sum(1)
                batches.append(functional.normalize(mean).float().cpu())
        vectors: NDArray[np.float32] = torch.cat(batches).numpy()
        return vectors


class PairScorer(nn.Module):
    """A reranker on a `BertEncoder`, which reads query and passage together: a head of one output on the first token."""

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        size = encoder.config.hidden_size
        self.head = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Score a batch of pairs, encoded by the tokenizer of the encoder; returns (B,)."""
        scores: torch.Tensor = self.head(self.encoder(**inputs).last_hidden_state[:, 0]).squeeze(-1)
        return scores


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = _embedding(config.vocab_size, size)
        self.position_embeddings = _embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = _embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: torch.Tensor, types: torch.Tensor | None) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        types = torch.zeros_like(ids) if types is None else types
        embedded = self.word_embeddings(ids) + self.token_type_embeddings(types) + self.position_embeddings(places)
        hidden: torch.Tensor = self.dropout(self.LayerNorm(embedded))
        return hidden


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.attention = nn.ModuleDict({"self": _SelfAttention(config), "output": _AddAndNorm(config, size)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(size, inner)})
        self.output = _AddAndNorm(config, inner)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        attended: torch.Tensor = self.attention["output"](self.attention["self"](hidden, mask), hidden)
        result: torch.Tensor = self.output(functional.gelu(self.intermediate["dense"](attended)), attended)
        return result


class _SelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        query, key, value = (
            linear(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        dropout = self.dropout.p if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return attended.transpose(1, 2).flatten(2)


class _AddAndNorm(nn.Module):
    def __init__(self, config: BertConfig, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.LayerNorm(self.dropout(self.dense(hidden)) + residual)
        return result


def _embedding(rows: int, size: int) -> nn.Embedding:
    """Without initial values, which take longer than loading; an encoder is always loaded."""
    embedding: nn.Embedding = nn.Embedding.from_pretrained(torch.empty(rows, size), freeze=False)
    return embedding


def _is_plain_bert(settings: dict[str, Any]) -> bool:
    return (
        settings.get("model_type") == "bert"
        and settings.get("hidden_act", "gelu") == "gelu"
        and settings.get("position_embedding_type", "absolute") == "absolute"
        and not settings.get("is_decoder", False)
    )
