"""Filters in SQL: metadata are compared as `retrieval.filters` compares them, with jsonb and its index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrieval.filters import choices_of

__all__ = ["Condition", "condition_of"]


@dataclass(frozen=True)
class Condition:
    """A condition on rows of `passages`.

    Attributes:
        sql: with the names of parameters, such as %(f0)s.
        parameters: their values.
    """

    sql: str = "true"
    parameters: Mapping[str, Any] = field(default_factory=dict)


def condition_of(wanted: Mapping[str, Any]) -> Condition:
    """Translate a filter: each key has one of its values, or, if it is a list, an element that is one of them."""
    parameters: dict[str, Any] = {}

    def named(value: str) -> str:
        parameters[name := f"f{len(parameters)}"] = value
        return f"%({name})s::text"

    conditions = []
    for key, choices in choices_of(wanted).items():
        alternatives = [_equal(key, choice, named) for choice in choices if _is_json(choice)]
        conditions.append("(" + " or ".join(alternatives or ["false"]) + ")")
    return Condition(" and ".join(conditions) or "true", parameters)


def _equal(key: str, choice: Any, named: Any) -> str:
    """Compose the condition that the value of a key, or an element of it, is equal to a choice."""
    if choice is None:
        absent = f"not facets ? {named(key)}"
        return f"{absent} or {_contains({key: None}, named)} or {_contains({key: [None]}, named)}"
    if not isinstance(choice, (list, Mapping)):
        return f"{_contains({key: choice}, named)} or {_contains({key: [choice]}, named)}"
    # Containment of lists and mappings is less than equality.
    value, wanted = f"facets -> {named(key)}", f"{named(json.dumps(choice))}::jsonb"
    elements = f"jsonb_array_elements(case jsonb_typeof({value}) when 'array' then {value} else '[]' end)"
    whole = "false" if isinstance(choice, list) else f"{value} = {wanted}"
    return f"{whole} or exists (select from {elements} element where element = {wanted})"


def _contains(part: Mapping[str, Any], named: Any) -> str:
    return f"facets @> {named(json.dumps(part))}::jsonb"


def _is_json(choice: Any) -> bool:
    """Whether metadata in PostgreSQL can have a value: others, such as a date or a text with NUL, are equal to none."""
    try:
        text = json.dumps(choice, allow_nan=False, ensure_ascii=False)
        text.encode()
        return bool(json.loads(text) == choice) and "\\u0000" not in text
    except (TypeError, ValueError, RecursionError):
        return False
