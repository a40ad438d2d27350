"""The configuration of a model as its file has it; no code that comes with the model is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["read_model_config"]


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Read the `config.json` of a folder or hub id.

    Raises:
        OSError: there is none, or the hub cannot be reached.
        ValueError, KeyError: it cannot be read.
    """
    from transformers import PretrainedConfig

    from retrieval.hub import require_hub

    require_hub(path)
    config, _ = PretrainedConfig.get_config_dict(str(path))
    if not config:
        raise OSError("it has no config.json")
    return dict(config)
