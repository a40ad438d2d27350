"""Filters of a search: which passages may be hits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from retrieval.errors import InvalidQuery
from retrieval.passages import Passage

__all__ = ["Filter", "check_filter", "choices_of", "has_one_of", "passes"]

Filter = Mapping[str, Any] | Callable[[Passage], bool]


def check_filter(wanted: Any) -> None:
    """Check a filter before it is used.

    Raises:
        InvalidQuery: it is neither a mapping from metadata keys nor a predicate.
    """
    if wanted is None or callable(wanted):
        return
    if not isinstance(wanted, Mapping) or not all(isinstance(key, str) for key in wanted):
        raise InvalidQuery(
            f"filter is {wanted!r}; pass a mapping from metadata keys to values, such as {{'year': 1928}}, or a function"
        )


def passes(metadata: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]) -> bool:
    """Whether metadata have, for each key, one of the values that `choices_of` lists for it."""
    return all(has_one_of(metadata.get(key), values) for key, values in choices.items())


def choices_of(wanted: Mapping[str, Any]) -> dict[str, list[Any]]:
    """List the values that a filter accepts for each key: those of a list, set or other collection, or the one value."""
    return {key: _choices(value) for key, value in wanted.items()}


def has_one_of(value: Any, choices: Sequence[Any]) -> bool:
    """Whether a metadata value, or an element of one that is a list, is among the choices. True is not 1."""
    elements = value if isinstance(value, list) else [value]
    return any(
        element == choice and isinstance(element, bool) == isinstance(choice, bool)
        for element in elements
        for choice in choices
    )


def _choices(value: Any) -> list[Any]:
    is_one = isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Collection)
    return [value] if is_one else list(value)
