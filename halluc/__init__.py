"""Detect, ground, calibrate and train away language-model hallucinations.

The public names are listed once, in `__init__.pyi`, and are loaded on first use: `import halluc` loads neither torch nor
transformers nor faiss.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import lazy_loader

from halluc.errors import ShadowedPackage

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _check_siblings() -> None:
    """Refuse to run with another package in place of `retrieval`, `calibration` or `training`, which are common names.

    Another package of the name may come first on the import path, or its installation may have overwritten our files.
    """
    home = Path(__file__).resolve().parent.parent
    for name in ("retrieval", "calibration", "training"):
        spec = find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != home:
            actual = origin or (list(spec.submodule_search_locations or []) if spec else "nothing")
            raise ShadowedPackage(
                f"'{name}' resolves to {actual}, not to the package installed with halluc in {home}; rename that file or "
                "folder, or take its directory off the import path"
            )
        if b'__distribution__ = "halluc"' not in Path(origin).read_bytes():
            raise ShadowedPackage(
                f"{origin} was overwritten by {_overwriter(name)}, which installs a package '{name}' too; uninstall it, "
                "then reinstall halluc with 'pip install --force-reinstall --no-deps halluc'"
            )


def _overwriter(name: str) -> str:
    """The other distributions that installed a package of this name."""
    from importlib.metadata import packages_distributions

    others = sorted(set(packages_distributions().get(name, [])) - {"halluc"})
    return " and ".join(others) or "another distribution"


_check_siblings()
