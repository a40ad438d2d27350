"""What confidence sources refuse."""

from __future__ import annotations

from collections.abc import Sized

from halluc.errors import InvalidInput

__all__ = ["check_same_length"]


def check_same_length(**arguments: Sized | None) -> None:
    """InvalidInput unless all arguments that are not None have the same length."""
    lengths = {name: len(value) for name, value in arguments.items() if value is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InvalidInput(f"there are {told}; pass one of each for every question")
