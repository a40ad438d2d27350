"""What every verifier offers: does this evidence support this claim?

`Verifier` is the protocol; `checked_pairs` is the check of input that all implementations share. Not covered: the
implementations (cross_encoder.py, lm_verifier.py), loading one by name (__init__.py), and labels (judge.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, get_args, runtime_checkable

from halluc.answers import Label
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LABELS", "Verifier", "checked_pairs"]

LABELS: tuple[Label, ...] = get_args(Label)
"""The labels in the order of the columns of `Verifier.probabilities`."""


@runtime_checkable
class Verifier(Protocol):
    """A measure of support, used by detection, grounding and the factuality reward alike.

    Pairs are (evidence, claim). Each method raises `InvalidInput` for a pair that is not two strings with something in them.
    """

    name: str

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1] that the evidence supports the claim."""

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N, 3) probabilities of `LABELS`; each row sums to 1, and the first column is `support`."""


def checked_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs as a list; InvalidInput names the first that is not two strings with something in them."""
    checked = []
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            kinds = type(pair).__name__ if isinstance(pair, str) else ", ".join(type(part).__name__ for part in pair)
            raise InvalidInput(f"pair {i} is ({kinds}), not (evidence, claim); pass two strings")
        evidence, claim = pair
        if not evidence.strip() or not claim.strip():
            raise InvalidInput(f"the {'claim' if evidence.strip() else 'evidence'} of pair {i} is empty; leave the pair out")
        checked.append((evidence, claim))
    return checked
