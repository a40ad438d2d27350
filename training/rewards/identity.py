"""What decides the values of a reward or the samples of a model, by content: files made with them are resumed only then.

Not covered: the settings and rows of a build, which its folder records (training/preferences/dataset.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

__all__ = ["content_identity"]


def content_identity(thing: Any) -> Any:
    """Describe a model, verifier, reward or kind of reward, such that others with the same name differ.

    Args:
        thing: an object with a `fingerprint`, a torch module as `model`, or `parts` (a mapping of what it consists of); or a
            function, also a `functools.partial`.

    Returns:
        A value that can be written as JSON: its name, and hashes of weights where it has some.
    """
    if thing is None or isinstance(thing, str | int | float | bool):
        return thing
    if isinstance(thing, Mapping):
        return {str(key): content_identity(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [content_identity(value) for value in thing]
    if isinstance(thing, partial):
        return [content_identity(thing.func), content_identity(thing.keywords)]
    name = getattr(thing, "name", None) or getattr(thing, "__name__", type(thing).__name__)
    return [str(name), _content(thing)]


def _content(thing: Any) -> Any:
    import torch

    from halluc.verification.verifier import weights_fingerprint

    for attribute in ("fingerprint", "content_hash"):
        if isinstance(value := getattr(thing, attribute, None), str):
            return value
    if isinstance(model := getattr(thing, "model", None), torch.nn.Module):
        return weights_fingerprint(model, [])
    for attribute in ("parts", "lm"):
        if (value := getattr(thing, attribute, None)) is not None:
            return content_identity(value)
    return None
