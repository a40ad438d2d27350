"""The reranker that comes with this package, and others that are stored as differences from their base.

    reranker.json       format, base and its fingerprint, longest pair, weights of rank and similarity, facts of the training
    weights.safetensors trained weights and head in float16, those of matrices as 4-bit differences from the base

The network is a text encoder that reads query and passage together, with a head of one output on the first token. Not
covered: the interface and cross-encoders of transformers (rerank.py), training (training/reranker.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.embedders import DEFAULT_EMBEDDER
from retrieval.encoders import encoder_folder
from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.files import parse_json_object, write_atomically
from retrieval.precision import cpu_multiplies_bfloat16
from retrieval.weight_differences import EMBEDDINGS, embeddings_fingerprint, pack_difference, packs, unpack_differences

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from retrieval.passages import Hit

__all__ = [
    "DEFAULT_RERANKER",
    "TrainedReranker",
    "default_reranker",
    "is_trained_reranker",
    "new_network",
    "save_trained_reranker",
]

DEFAULT_RERANKER = "default"
"""The name of the reranker that comes with this package."""

_FORMAT = 1
_FACTS, _WEIGHTS = "reranker.json", "weights.safetensors"


def is_trained_reranker(folder: str | Path) -> bool:
    """Whether a folder was written by `save_trained_reranker`."""
    return (Path(folder) / _FACTS).is_file()


@cache
def default_reranker() -> TrainedReranker:
    """Get the reranker that comes with this package, loaded once."""
    return TrainedReranker(str(files("retrieval") / "reranker"), name=DEFAULT_RERANKER)


class TrainedReranker:
    """A reranker stored as differences from its base, loaded on first use.

    Args:
        folder: written by `save_trained_reranker`.
        name: shown in reports; the folder by default.
        batch_tokens: tokens, padding included, per forward pass.
    """

    def __init__(self, folder: str, *, name: str | None = None, batch_tokens: int = 4096) -> None:
        self.folder = Path(folder)
        self.name = name or str(folder)
        self.batch_tokens = batch_tokens

    @cached_property
    def model(self) -> tuple[nn.Module, Any, int]:
        """The network, its tokenizer, and the longest pair in tokens.

        Raises:
            RerankerUnavailable: it cannot be loaded, or its base is another than the one installed.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            description = parse_json_object((self.folder / _FACTS).read_bytes())
            if description["format"] != _FORMAT:
                raise ValueError(f"format {description['format']}; this version reads format {_FORMAT}")
            base, fingerprint = str(description["base"]), str(description["fingerprint"])
            max_tokens = int(description["max_tokens"])
            tensors = load_file(self.folder / _WEIGHTS)
            network, tokenizer = new_network(base)
            state = network.state_dict()
            if (installed := embeddings_fingerprint(state)) != fingerprint:
                raise ValueError(f"its base {base} has the fingerprint {fingerprint}, and the installed one {installed}")
            network.load_state_dict(state | unpack_differences(tensors, state))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EmbedderUnavailable, SafetensorError) as error:
            raise RerankerUnavailable(
                f"reranker {self.name} cannot be loaded: {error}; train one with 'halluc train reranker'"
            ) from error
        on_gpu = torch.cuda.is_available()
        dtype = torch.float16 if on_gpu else torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
        return network.eval().to("cuda" if on_gpu else "cpu", dtype), tokenizer, max_tokens

    @cached_property
    def fusion(self) -> tuple[float, float]:
        """How much the logarithm of a hit's rank takes away, and how much its cosine similarity adds."""
        stored = parse_json_object((self.folder / _FACTS).read_bytes()).get("fusion") or {}
        return float(stored.get("rank", 0.0)), float(stored.get("similarity", 0.0))

    def combine(self, scores: NDArray[np.float64], hits: Sequence[Hit]) -> NDArray[np.float64]:
        """Combine the scores (N,) of the hits of one query with what the search says about them.

        A network of this size alone is worse than a hybrid search, and the two together are better than either.
        """
        import numpy as np

        of_rank, of_similarity = self.fusion
        similarity = np.array([hit.similarity or 0.0 for hit in hits])
        fused: NDArray[np.float64] = scores - of_rank * np.log(np.arange(1, len(hits) + 1)) + of_similarity * similarity
        return fused

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score N pairs of a query and the text of a passage; the ends of long texts are not read."""
        import torch

        if not pairs:
            return []
        network, tokenizer, max_tokens = self.model
        device = next(network.parameters()).device
        queries, texts = zip(*pairs, strict=True)
        encoded = tokenizer(list(queries), list(texts), truncation="longest_first", max_length=max_tokens)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        order = sorted(range(len(pairs)), key=lambda row: -lengths[row])
        scores = [0.0] * len(pairs)
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, self.batch_tokens // lengths[order[start]])]
            start += len(rows)
            batch = tokenizer.pad(
                {name: [values[row] for row in rows] for name, values in encoded.items()}, return_tensors="pt"
            )
            with torch.inference_mode():
                values = network(**batch.to(device)).float().tolist()
            for row, value in zip(rows, values, strict=True):
                scores[row] = value
        return scores


def save_trained_reranker(
    folder: Path, network: nn.Module, *, base: str | None, max_tokens: int, facts: dict[str, Any]
) -> None:
    """Write a folder that `TrainedReranker` reads.

    Args:
        folder: where to write; created if missing.
        network: of `new_network`, trained.
        base: the base it was trained on, as for `encoder_folder`.
        max_tokens: longest pair, in tokens.
        facts: about the training.
    """
    import torch
    from safetensors.torch import save

    original = new_network(base)[0].state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        trained = tensor.detach().to("cpu", torch.float32)
        if EMBEDDINGS in name:
            continue
        if name.startswith("encoder.") and packs(trained):
            tensors |= pack_difference(name, trained - original[name])
        else:
            tensors[name] = trained.to(torch.float16).contiguous()
    description = {
        "format": _FORMAT,
        "base": base or DEFAULT_EMBEDDER,
        "fingerprint": embeddings_fingerprint(original),
        "max_tokens": max_tokens,
        "facts": facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _WEIGHTS, save(tensors))
    write_atomically(folder / _FACTS, json.dumps(description, indent=1, allow_nan=False) + "\n")


def new_network(base: str | None = None) -> tuple[nn.Module, Any]:
    """Put a new head on a base.

    Args:
        base: as for `encoder_folder`; an encoder of BERT's architecture.

    Returns:
        The network and its tokenizer.

    Raises:
        EmbedderUnavailable: there is no such base.
        ValueError: it has another architecture.
    """
    from retrieval.bert import PairScorer, load_bert
    from retrieval.encoder_tokenizer import load_tokenizer

    folder = encoder_folder(base)
    encoder = load_bert(folder)
    if encoder is None:
        raise ValueError(f"{folder} is no encoder of BERT's architecture")
    tokenizer = load_tokenizer(folder)
    # Text that spells a special token, such as "[SEP]", is text.
    tokenizer.split_special_tokens = True
    return PairScorer(encoder), tokenizer
