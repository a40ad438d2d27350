"""From a name to a verifier: `load_verifier`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verifiers.verifier import Verifier

__all__ = ["load_verifier"]


def load_verifier(name: str = "default", *, lm: LanguageModel | None = None) -> Verifier:
    """Load a verifier by name.

    Args:
        name: "default" or "lm": a language model is asked whether the evidence supports the claim (`LMVerifier`).
        lm: the language model to ask; the default model if None.

    Raises:
        InvalidInput: there is no verifier of that name.
    """
    if name not in ("default", "lm"):
        raise InvalidInput(f"there is no verifier {name!r}; pass 'default' or 'lm'")
    from halluc.models import load_model
    from halluc.verifiers.lm_verifier import LMVerifier

    return LMVerifier(lm or load_model())
