"""Every error halluc raises on purpose.

    HallucError
    ├── ModelUnavailable     a model cannot be had: what was tried, and what to do
    ├── ModelResponseError   an endpoint was reached but its reply cannot be used
    ├── ContextOverflow      a prompt does not fit the model's context window
    ├── VerifierMismatch     weights of a verifier do not belong to the base they are loaded on
    ├── InvalidInput         an argument or an input row cannot be used
    └── ShadowedPackage      another package stands in the place of retrieval, calibration or training

The leaf packages have trees of their own: `retrieval.errors`, `calibration.errors`.
"""

__all__ = [
    "ContextOverflow",
    "HallucError",
    "InvalidInput",
    "ModelResponseError",
    "ModelUnavailable",
    "ShadowedPackage",
    "VerifierMismatch",
]


class HallucError(Exception):
    """Root of halluc's errors; its message is one sentence fit to be shown to a user."""


class ModelUnavailable(HallucError):
    """A model cannot be loaded or reached."""


class ModelResponseError(HallucError):
    """An endpoint answered with something that is not a usable completion."""


class ContextOverflow(HallucError, ValueError):
    """A prompt, with the room asked for its completion, is longer than the model's context window."""


class VerifierMismatch(HallucError):
    """A trained verifier is loaded on another base than it was trained on, or has a newer format."""


class InvalidInput(HallucError, ValueError):
    """An argument or an input row is unusable."""


class ShadowedPackage(HallucError, ImportError):
    """A package of the same name was imported in place of one of halluc's siblings."""
