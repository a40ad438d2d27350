"""Frozen features of texts by a sentence encoder or a language model, kept on disk.

Not covered: what is learned on them (experiment.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import leaf_errors_as_ours
from training.inspection.truth import last_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ENCODERS", "features_of"]

ENCODERS = ("minilm", "mpnet")
"""Sentence encoders by name; any other name is a language model."""

_DEPTH = 2 / 3
"""Depth of the layer of a language model that is read, as a share of its layers: truth is linear in the later middle."""

# Texts per call of an encoder: the step of the progress bar.
_TEXTS = 64


def features_of(name: str, rows: Sequence[Mapping[str, Any]], cache: Path) -> NDArray[np.float32]:
    """Compute the features of statements, or of pairs of evidence and claim.

    A statement is its embedding by a sentence encoder, or the state of its last token in a language model. A pair is
    [u, v, |u − v|, u·v] for the vectors u of the evidence and v of the claim (InferSent, arXiv 1705.02364); a language
    model reads both as one text.

    Args:
        name: a name in `ENCODERS`, or of a language model (`halluc.load_model`).
        rows: N rows with `statement`, or with `evidence` and `claim`.
        cache: folder in which the features are kept, by model and texts.

    Returns:
        (N, D) features.

    Raises:
        ModelUnavailable: the language model cannot be loaded.
        RetrievalFailed: the encoder cannot be loaded.
    """
    import xxhash

    texts = [[row["statement"]] if "statement" in row else [row["evidence"], row["claim"]] for row in rows]
    key = xxhash.xxh3_64_hexdigest(json.dumps([name, texts], ensure_ascii=False).encode())
    path = cache / f"features-{key}.npy"
    if path.is_file():
        kept: NDArray[np.float32] = np.load(path)
        return kept
    features = _encoded(name, texts) if name in ENCODERS else _read(name, [" ".join(parts) for parts in texts])
    temporary = path.with_suffix(".partial.npy")
    np.save(temporary, features)
    temporary.rename(path)
    return features


def _encoded(name: str, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    from retrieval.embedders import load_embedder
    from retrieval.progress import progress_bar

    distinct = list(dict.fromkeys(part for parts in texts for part in parts))
    vectors: list[NDArray[np.float32]] = []
    with leaf_errors_as_ours():
        embedder = load_embedder(None if name == "minilm" else name)
        with progress_bar(f"encoding with {name}", len(distinct)) as advance:
            for start in range(0, len(distinct), _TEXTS):
                vectors.append(embedder.encode(distinct[start : start + _TEXTS]))
                advance(len(vectors[-1]))
    of = dict(zip(distinct, np.concatenate(vectors), strict=True))
    if len(texts[0]) == 1:
        return np.stack([of[parts[0]] for parts in texts])
    pairs = [(of[evidence], of[claim]) for evidence, claim in texts]
    return np.stack([np.concatenate([u, v, np.abs(u - v), u * v]) for u, v in pairs])


def _read(name: str, texts: Sequence[str]) -> NDArray[np.float32]:
    from halluc.models import load_model

    lm: Any = load_model(name)
    states = last_states(lm.model, lm.tokenizer, texts)
    layer: NDArray[np.float32] = states[round(_DEPTH * (len(states) - 1))]
    return layer
