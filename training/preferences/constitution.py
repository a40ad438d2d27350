"""Principles that a model criticises and revises its answers by (Constitutional AI, arXiv 2212.08073), read from YAML.

Not here: the pairs made with them (revision_pairs.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from halluc.errors import InvalidInput

__all__ = ["Principle", "load_principles"]

_FIELDS = ("name", "critique", "revision")


@dataclass(frozen=True)
class Principle:
    """A name, what the model is asked to criticise in its answer, and how to revise it then."""

    name: str
    critique: str
    revision: str

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


def load_principles(path: str | Path | None = None) -> list[Principle]:
    """The principles in a file, in its order; by default those of factuality that come with the package.

    Raises:
        InvalidInput: the file cannot be read, holds no list `principles`, or one of them lacks a name, a critique or a
            revision, or has the name of another.
    """
    import yaml

    path = Path(path) if path is not None else Path(__file__).with_name("constitution.yaml")
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the principles {path} cannot be read: {' '.join(str(error).split())}") from error
    rows = held.get("principles") if isinstance(held, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InvalidInput(f"{path} holds no principles; write a list 'principles' of {', '.join(_FIELDS)}")
    found = []
    for number, row in enumerate(rows):
        texts = [row.get(name) if isinstance(row, dict) else None for name in _FIELDS]
        for name, text in zip(_FIELDS, texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise InvalidInput(f"principle {number} of {path} has the {name} {text!r}; pass a text")
        found.append(Principle(*(str(text).strip() for text in texts)))
    name, count = Counter(principle.name for principle in found).most_common(1)[0]
    if count > 1:
        raise InvalidInput(f"{path} has {count} principles named {name!r}; pairs record the name, so give each its own")
    return found
