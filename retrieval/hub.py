"""Whether a model hub can be reached, found out in seconds.

For a model that is not in the cache, the loaders of transformers and sentence-transformers retry an unreachable hub for most
of a minute. Not covered: loading (embedders.py, and halluc's models and verifiers).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["require_hub"]

_TIMEOUT_SECONDS = 5


def require_hub(name: str | Path) -> None:
    """Return if `name` is a local folder, has files in the cache, or the hub responds, even if it does not know the name.

    Args:
        name: a folder or a hub id.

    Raises:
        OSError: the hub did not respond within five seconds, or must not be contacted (offline mode).
        ValueError: the name is not a hub id.
    """
    if Path(name).is_dir():
        return
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url = hf_hub_url(str(name), "config.json")
    # sentence-transformers puts its organization before names that have none.
    if any(Path(constants.HF_HUB_CACHE).glob(f"models--*{str(name).replace('/', '--')}/snapshots")):
        return
    try:
        get_hf_file_metadata(url, timeout=_TIMEOUT_SECONDS)
    except HfHubHTTPError:
        return
    # An error of httpx or httpx2, depending on the version of huggingface_hub.
    except Exception as error:
        raise OSError(f"it is not in the cache, and {constants.ENDPOINT} cannot be reached ({error})") from error
