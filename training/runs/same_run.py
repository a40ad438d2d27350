"""Whether a run that resumes is the run that its folder holds: the same settings and the same rows.

A checkpoint of another run would otherwise be continued, or a finished run be taken for a new one. Not covered: which
checkpoint is resumed from (callbacks.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import read_json, write_json

__all__ = ["check_same_run", "record_run"]

_FILE, _KIND, _VERSION = "settings.json", "settings of a run", 1
# Settings that do not decide what is learned, or that a resumed run may raise.
_MAY_DIFFER = re.compile(
    r"(?:logging|log|save|report|eval|monitor|dataloader|hub|push|torch_compile|vllm|ddp|fsdp|deepspeed|include|skip|trackio|activation"
    r"|gradient_checkpointing|auto_find)(?:_|\Z)|output_dir|resume|run_name|disable_tqdm|use_cpu|local_rank|project|max_steps"
    r"|num_train_epochs|restore_callback|accelerator_config|parallelism_config|average_tokens|use_cache|do_|jit_mode"
)
_ROWS = ("pairs", "examples", "prompts", "principles", "human_pairs")


def check_same_run(config: Any) -> None:
    """Refuse to resume a run with other settings or rows.

    Args:
        config: settings of a run, whose `output_dir` has checkpoints.

    Raises:
        InvalidInput: the folder holds a run with other settings or rows; the message names the first that differs.
    """
    path = Path(config.output_dir) / _FILE
    if not path.is_file():
        return
    before = read_json(path, _KIND, _VERSION).get("settings", {})
    for name, value in _settings(config).items():
        if before.get(name) == value:
            continue
        if name.startswith("content of "):
            changed = name.removeprefix("content of ")
            raise InvalidInput(
                f"{config.output_dir} holds a run on other rows: {getattr(config, changed, changed)} has changed; name "
                "another output_dir"
            )
        raise InvalidInput(
            f"{config.output_dir} holds a run with another {name}: {before.get(name)!r}, not {value!r}; name another "
            "output_dir or the same setting"
        )


def record_run(config: Any) -> None:
    """Write the settings of a run into its folder, for `check_same_run`."""
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _FILE, {"kind": _KIND, "format": _VERSION, "settings": _settings(config)})


def _settings(config: Any) -> dict[str, Any]:
    settings = {
        field.name: _plain(getattr(config, field.name)) for field in fields(config) if not _MAY_DIFFER.match(field.name)
    }
    paths = {name: getattr(config, name, None) for name in _ROWS}
    paths |= {f"groups, {name}": path for name, path in (getattr(config, "groups", None) or {}).items()}
    return settings | {
        f"content of {name}": _hash(Path(path)) for name, path in paths.items() if path and Path(path).exists()
    }


def _plain(value: Any) -> Any:
    """A value as it is after writing and reading JSON; objects as their text."""
    return json.loads(json.dumps(value, default=str))


def _hash(path: Path) -> str:
    """Hash of a file, or of the data files of a folder."""
    import xxhash

    digest = xxhash.xxh3_64()
    files = sorted(path.glob("*.arrow")) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
