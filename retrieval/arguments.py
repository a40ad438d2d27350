"""Checks of the arguments of a search or a change, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeGuard, get_args

from retrieval.changes import Duplicates
from retrieval.errors import InvalidQuery, check_text, check_texts
from retrieval.files import lone_surrogate

__all__ = ["can_be_id", "check_duplicates", "check_k", "checked_queries"]


def checked_queries(query: str | Sequence[str]) -> list[str]:
    """Check one query or several, and list them.

    Raises:
        InvalidQuery: one is empty or not a text.
    """
    if isinstance(query, str):
        check_text("the query", query)
        return [query]
    check_texts("queries", query)
    return list(query)


def check_k(k: Any, name: str = "k") -> None:
    """Check a number of hits.

    Raises:
        InvalidQuery: it is not a whole number of at least 1.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise InvalidQuery(f"{name} is {k!r}; pass a whole number of at least 1")


def check_duplicates(duplicates: str) -> None:
    """Check the option of `add` of that name.

    Raises:
        InvalidQuery: it is neither "skip" nor "keep".
    """
    if duplicates not in get_args(Duplicates):
        raise InvalidQuery(f"duplicates is {duplicates!r}; pass 'skip' or 'keep'")


def can_be_id(value: object) -> TypeGuard[str]:
    """Whether a value can be the id of a stored passage: a text that UTF-8 can represent."""
    return isinstance(value, str) and lone_surrogate(value) is None
