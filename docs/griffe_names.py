"""Extension of Griffe: an entry of a docstring that describes several names ("k, mode: ...") becomes one entry for each."""

from __future__ import annotations

import re
from typing import Any

import griffe

ENTRY = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)


class GroupedNames(griffe.Extension):
    """Splits grouped entries in the docstrings of all objects."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = ENTRY.sub(separate, obj.docstring.value)


def separate(match: re.Match[str]) -> str:
    """One entry for each name, with the same text."""
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))
