"""Every error halluc raises on purpose, and the checks of arguments that many functions share.

    HallucError
    ├── ModelUnavailable     a model cannot be loaded: what was tried, and what to do
    ├── ModelResponseError   an endpoint was reached but its reply cannot be used
    ├── ContextOverflow      prompt plus max_new_tokens exceed the context window
    ├── VerifierMismatch     the weights of a verifier do not belong to the base they are loaded on
    ├── InvalidInput         an argument or an input row cannot be used
    ├── RetrievalFailed      an error of `retrieval`, raised by a call of halluc
    ├── MissingExtra         a library of an extra is not installed: which extra to install
    └── ShadowedPackage      another package was imported in place of retrieval, calibration or training

The leaf packages have trees of their own, `retrieval.errors` and `calibration.errors`. What they raise inside a call of
halluc is raised as a HallucError (`leaf_errors_as_ours`), so that `except halluc.HallucError` catches it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

__all__ = [
    "ContextOverflow",
    "HallucError",
    "InvalidInput",
    "MissingExtra",
    "ModelResponseError",
    "ModelUnavailable",
    "RetrievalFailed",
    "ShadowedPackage",
    "VerifierMismatch",
    "check_integer",
    "check_number",
    "check_same_length",
    "check_text",
    "check_texts",
    "leaf_errors_as_ours",
    "needs_extra",
]


class HallucError(Exception):
    """Root of halluc's errors; its message is one sentence to show to a user."""


class ModelUnavailable(HallucError):
    """A model cannot be loaded or reached."""


class ModelResponseError(HallucError):
    """An endpoint's reply is not a usable completion."""


class ContextOverflow(HallucError, ValueError):
    """Prompt plus max_new_tokens exceed the context window."""


class VerifierMismatch(HallucError):
    """A trained verifier is loaded on a base other than the one it was trained on, or has a newer format."""


class InvalidInput(HallucError, ValueError):
    """An argument or an input row is unusable."""


class RetrievalFailed(HallucError):
    """An index or an embedder failed inside a call of halluc; `__cause__` is the error of `retrieval`."""


class MissingExtra(HallucError, ImportError):
    """A library that comes with an extra of halluc is not installed."""


class ShadowedPackage(HallucError, ImportError):
    """A package of the same name was imported in place of one of halluc's siblings."""


@contextmanager
def leaf_errors_as_ours() -> Iterator[None]:
    """Raise errors of `retrieval` and `calibration` as errors of halluc, with the same message and the original as cause.

    Raises:
        InvalidInput: the leaf refused an argument.
        RetrievalFailed: an index or an embedder failed.
        HallucError: calibration failed for another reason.
    """
    from calibration.errors import CalibrationError
    from retrieval.errors import RetrievalError

    try:
        yield
    except (RetrievalError, CalibrationError) as error:
        if isinstance(error, ValueError):
            raise InvalidInput(str(error)) from error
        if isinstance(error, RetrievalError):
            raise RetrievalFailed(str(error)) from error
        raise HallucError(str(error)) from error


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Run imports of libraries that come with an extra.

    Args:
        extra: the name of the extra ("mcp").

    Raises:
        MissingExtra: one of the libraries is not installed.
    """
    from retrieval.errors import MissingExtra as MissingHere
    from retrieval.errors import needs_extra

    try:
        with needs_extra(extra):
            yield
    except MissingHere as error:
        raise MissingExtra(str(error)) from error


def check_text(name: str, text: Any, *, allow_blank: bool = False) -> None:
    """Check that an argument is a text that can be encoded as UTF-8.

    Args:
        name: the argument as a message names it ("the question").
        text: what was passed.
        allow_blank: accept a text without any letter.

    Raises:
        InvalidInput: it is not a string, it is blank, or it has a lone surrogate.
    """
    from retrieval.errors import check_text

    with leaf_errors_as_ours():
        check_text(name, text, allow_blank=allow_blank)


def check_texts(name: str, texts: Sequence[Any], *, allow_blank: bool = False) -> None:
    """Check that an argument is a list of texts, and not one string, whose characters would be taken for texts.

    Args:
        name: the argument, in the plural ("answers").
        texts: what was passed.
        allow_blank: accept texts of white space alone, or empty ones.

    Raises:
        InvalidInput: it is one string, or one of its texts is refused by `check_text`.
    """
    from retrieval.errors import check_texts

    with leaf_errors_as_ours():
        check_texts(name, texts, allow_blank=allow_blank)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Check that an argument is an integer from `least` to `most` (None for no limit).

    Raises:
        InvalidInput: it is not.
    """
    try:
        usable = not isinstance(value, bool) and operator.index(value) >= least and (most is None or value <= most)
    except TypeError:
        usable = False
    if not usable:
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InvalidInput(f"{name} is {value!r}; pass an integer {limits}")


def check_number(name: str, value: Any, least: float, most: float = math.inf) -> None:
    """Check that an argument is a finite number from `least` to `most`.

    Raises:
        InvalidInput: it is not.
    """
    try:
        usable = not isinstance(value, (bool, str, bytes)) and math.isfinite(value) and least <= value <= most
    except (TypeError, ValueError, OverflowError):
        usable = False
    if not usable:
        limits = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise InvalidInput(f"{name} is {value!r}; pass a number {limits}")


def check_same_length(**arguments: Sized | None) -> None:
    """Check that all arguments that are not None have the same length.

    Raises:
        InvalidInput: they do not.
    """
    lengths = {name: len(value) for name, value in arguments.items() if value is not None}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InvalidInput(f"there are {counts}; pass one of each for every question")
