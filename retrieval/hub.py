"""Whether a model hub can be asked at all, known in seconds.

Where a model is not in the cache, the loaders of transformers and sentence-transformers try a hub that cannot be reached
again and again, for most of a minute. Not here: loading (embedders.py, and halluc's models and verifiers).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["require_hub"]

_SECONDS = 5


def require_hub(name: str | Path) -> None:
    """Return if `name` is a local folder, has files in the cache, or the hub answers, whatever it says of the name.

    Raises:
        OSError: the hub was asked once and did not answer within five seconds, or may not be asked (offline mode).
        ValueError: the name is no hub id.
    """
    if Path(name).is_dir():
        return
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url = hf_hub_url(str(name), "config.json")
    # sentence-transformers puts its organisation before names that have none.
    if any(Path(constants.HF_HUB_CACHE).glob(f"models--*{str(name).replace('/', '--')}/snapshots")):
        return
    try:
        get_hf_file_metadata(url, timeout=_SECONDS)
    except HfHubHTTPError:
        return
    # Of httpx or httpx2, by the version of huggingface_hub.
    except Exception as error:
        raise OSError(f"it is not in the cache, and {constants.ENDPOINT} cannot be reached ({error})") from error
