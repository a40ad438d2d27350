"""What every verifier offers: the probability that a piece of evidence supports a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Verifier"]


@runtime_checkable
class Verifier(Protocol):
    """A measure of support, used by detection, grounding and the factuality reward alike."""

    name: str

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1] that the evidence supports the claim, for N (evidence, claim) pairs."""
