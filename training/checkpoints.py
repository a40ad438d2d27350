"""Where a run goes on that was ended: the last checkpoint that was written whole.

Not here: what is in a checkpoint, which is transformers' affair (weights, optimiser, schedule, random numbers), and the run
itself (runs.py).
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

__all__ = ["last_checkpoint"]


def last_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint of the most steps in the output folder of a run; None if there is none.

    A process that is ended while it writes leaves a folder that cannot be gone on from. transformers writes
    trainer_state.json last, so that a checkpoint is whole if that can be read; others are passed over with a warning, and
    the run writes them anew when it comes to their step.
    """
    found = [path for path in Path(folder).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    for path in sorted(found, key=lambda path: int(path.name.partition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            warnings.warn(f"{path} was not written whole and is passed over", stacklevel=2)
        else:
            return path
    return None
