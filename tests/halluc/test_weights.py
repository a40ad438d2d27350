"""Files of trained verifiers: written, read back, packed, and refused when damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import halluc.verification
from calibration.platt_map import PlattMap
from halluc.errors import InvalidInput, ModelUnavailable, VerifierMismatch
from halluc.verification import load_verifier
from halluc.verification.weights import new_pair_encoder, read_weights, save_weights

PACKAGED = Path(halluc.verification.__file__).parent / "default"
SETTINGS = {"base": None, "max_tokens": 64, "calibrator": None, "span_threshold": 0.6}
ANSWERS = PlattMap(0.5, -0.25)


def test_weights_are_read_back_as_they_were_saved(tmp_path):
    model, _ = new_pair_encoder()
    save_weights(tmp_path / "v", model, **SETTINGS, facts={"pairs": 0}, answer_calibrator=ANSWERS)
    trained = read_weights(tmp_path / "v")
    assert trained.answer_calibrator == ANSWERS
    assert (trained.max_tokens, trained.calibrator, trained.facts) == (64, None, {"pairs": 0})
    assert trained.span_threshold == 0.6
    assert trained.model.token_head.weight.detach().numpy() == pytest.approx(
        model.token_head.weight.detach().numpy(), abs=1e-4
    )
    # Only the new heads differ from the base, so nothing else is saved.
    assert (tmp_path / "v" / "weights.safetensors").stat().st_size < 400_000
    assert load_verifier(tmp_path / "v").max_tokens == 64


def test_packed_differences_take_an_eighth_of_the_bytes_and_keep_the_weights(tmp_path):
    base, _ = new_pair_encoder()
    model, _ = new_pair_encoder()
    generator = torch.Generator().manual_seed(0)
    for layer in model.layers:
        layer.output.dense.weight.data += 0.01 * torch.randn(layer.output.dense.weight.shape, generator=generator)
    sizes = {}
    for packed in (False, True):
        folder = tmp_path / str(packed)
        save_weights(folder, model, **SETTINGS, facts={}, packed=packed)
        sizes[packed] = (folder / "weights.safetensors").stat().st_size
    heads = 2 * sum(parameter.numel() for name, parameter in model.named_parameters() if "_head" in name)
    assert (sizes[True] - heads) < 0.3 * (sizes[False] - heads)
    trained = read_weights(tmp_path / "True").model
    for layer, read, original in zip(model.layers, trained.layers, base.layers, strict=True):
        wanted, found, before = (x.output.dense.weight.detach().numpy() for x in (layer, read, original))
        error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted - before)
        assert error < 0.15


def test_weights_on_another_base_are_refused(tmp_path):
    from retrieval.encoders import encoder_folder

    model, _ = new_pair_encoder()
    save_weights(tmp_path / "v", model, **SETTINGS, facts={})
    shutil.copytree(encoder_folder(), tmp_path / "base")
    with (tmp_path / "base" / "model.safetensors").open("r+b") as file:
        header = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(header))
        words = next(value for name, value in described.items() if name.endswith("word_embeddings.weight"))
        file.seek(8 + header + words["data_offsets"][0] + 2)
        file.write(b"\x11\x3c")
    with pytest.raises(VerifierMismatch, match="was trained on all-MiniLM-L6-v2 with fingerprint"):
        read_weights(tmp_path / "v", base=str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: (folder / "verifier.json").write_text("{"), ModelUnavailable, "holds no usable verifier"),
        (
            lambda folder: _edit(folder, "format", 99),
            VerifierMismatch,
            "has format 99; this version of halluc reads format 2: upgrade halluc",
        ),
        (lambda folder: _edit(folder, "format", 1), VerifierMismatch, "has format 1; .* reads format 2: train it again"),
        (lambda folder: _edit(folder, "span_threshold", None), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: _edit(folder, "base", "/no/such/base"), ModelUnavailable, "/no/such/base is not a folder"),
        (lambda folder: _edit(folder, "calibrator", {"class": []}), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: _edit(folder, "max_tokens", None), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: _edit(folder, "facts", float("nan")), ModelUnavailable, "holds NaN"),
        (lambda folder: _reshape(folder), VerifierMismatch, "do not fit all-MiniLM-L6-v2"),
    ],
)
def test_damaged_weights_are_named(tmp_path, damage, error, message):
    shutil.copytree(PACKAGED, tmp_path / "v")
    damage(tmp_path / "v")
    with pytest.raises(error, match=message):
        load_verifier(str(tmp_path / "v"))


def _reshape(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    tensors["token_head.bias"] = tensors["token_head.bias"][:2].clone()
    save_file(tensors, folder / "weights.safetensors")


def _edit(folder, key, value):
    path = folder / "verifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def test_weights_that_cannot_be_written_are_named_and_leave_the_old_ones(tmp_path, monkeypatch):
    shutil.copytree(PACKAGED, tmp_path / "v")
    model, _ = new_pair_encoder()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("halluc.verification.weights.write_atomically", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space left"):
        save_weights(tmp_path / "v", model, **SETTINGS, facts={})
    assert read_weights(tmp_path / "v").max_tokens == read_weights(PACKAGED).max_tokens
