"""Training with a factuality reward: rewards, preference pairs, and runs on the trainers of TRL.

The public names are listed once, in `__init__.pyi`, and are loaded on first use: `import training` loads neither torch nor
TRL.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from halluc.errors import needs_extra

__distribution__ = "halluc"  # checked when halluc is imported, since the name of this package is a common one
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with needs_extra("training"):
        return _load(name)
