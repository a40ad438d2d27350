"""From a name to a verifier: `load_verifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier

__all__ = ["load_verifier"]


def load_verifier(name: str = "default", *, lm: LanguageModel | None = None, **options: Any) -> Verifier:
    """Load a verifier by name.

    Args:
        name: "default", the cross-encoder that comes with halluc; "lm", a language model that is asked (`LMVerifier`); a
            folder written by `halluc train verifier`; or a folder or hub id of any transformers sequence classifier that
            reads evidence and claim: an NLI cross-encoder, a MiniCheck- or HHEM-style classifier.
        lm: with "lm", the language model to ask; the default model if None.
        options: of a cross-encoder: `device`, `columns`, `max_tokens`, `batch_tokens` (see `load_cross_encoder`).

    Raises:
        InvalidInput: the name is empty, or an option does not go with it.
        ModelUnavailable: the verifier cannot be had; the message says what was tried and what to do.
        VerifierMismatch: the weights of a trained verifier do not belong to the base found here.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f"the verifier is {name!r}; pass 'default', 'lm', a folder or a hub id")
    if name == "lm":
        if options:
            raise InvalidInput(
                f"{next(iter(options))} is an option of cross-encoders, not of the verifier 'lm'; leave it out"
            )
        from halluc.models import load_model
        from halluc.verification.lm_verifier import LMVerifier

        return LMVerifier(lm or load_model())
    if lm is not None:
        raise InvalidInput(f"lm goes with the verifier 'lm', not with {name!r}; leave one of them out")
    from halluc.verification.cross_encoder import load_cross_encoder

    if name == "default":
        return load_cross_encoder(_PACKAGED, name="halluc-minilm", **options)
    return load_cross_encoder(name, **options)


_PACKAGED = Path(__file__).parent / "default"
