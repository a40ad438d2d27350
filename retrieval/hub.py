"""Whether a hub of models and data sets can be reached, found out in seconds.

For what is not in the cache, the loaders of transformers, sentence-transformers and datasets retry an unreachable hub for
half a minute and more. Not covered: loading (embedders.py, and halluc's models and verifiers).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

__all__ = ["require_hub"]

_TIMEOUT_SECONDS = 5


def require_hub(name: str | Path, *, kind: Literal["model", "dataset"] = "model") -> None:
    """Return if `name` is a local folder, has files in the cache, or the hub responds, even if it does not know the name.

    Args:
        name: a folder or a hub id.
        kind: what is loaded.

    Raises:
        OSError: the hub did not respond within five seconds, or must not be contacted (offline mode).
        ValueError: the name is not a hub id.
    """
    if Path(name).is_dir():
        return
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url = hf_hub_url(str(name), "config.json" if kind == "model" else "README.md", repo_type=kind)
    # sentence-transformers puts its organization before names that have none.
    cached = [Path(constants.HF_HUB_CACHE).glob(f"{kind}s--*{str(name).replace('/', '--')}/snapshots")]
    if kind == "dataset":
        # The tables that `datasets` made of the files.
        tables = os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets")
        cached.append(Path(tables).glob(str(name).replace("/", "___")))
    if any(path for paths in cached for path in paths):
        return
    try:
        get_hf_file_metadata(url, timeout=_TIMEOUT_SECONDS)
    except HfHubHTTPError:
        return
    # An error of httpx or httpx2, depending on the version of huggingface_hub.
    except Exception as error:
        raise OSError(f"it is not in the cache, and {constants.ENDPOINT} cannot be reached ({error})") from error
