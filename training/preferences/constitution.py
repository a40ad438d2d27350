"""Principles by which a model revises its answers and chooses between two (Constitutional AI, arXiv 2212.08073), from YAML.

Not covered: the pairs made with them (revised.py), and the labels (ai_labels.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halluc.errors import InvalidInput
from retrieval.records import Record

__all__ = ["Principle", "check_preferences", "load_principles"]

_FIELDS = ("name", "critique", "revision")


@dataclass(frozen=True)
class Principle(Record):
    """A principle of a constitution.

    Attributes:
        name: what pairs record.
        critique: the request to criticize the last answer.
        revision: the request to revise it after the critique.
        preference: the question which of two answers is better, for labels of an AI; empty if the principle has none.
    """

    name: str
    critique: str
    revision: str
    preference: str = ""


def load_principles(path: str | Path | None = None) -> list[Principle]:
    """Read principles from a YAML file, in its order.

    Args:
        path: the file; None for the principles of factuality in this package.

    Raises:
        InvalidInput: the file cannot be read, holds no list `principles`, or one of them lacks a name, a critique or a
            revision, has a preference that is not text, or shares the name of another.
    """
    import yaml

    path = Path(path) if path is not None else Path(__file__).with_name("constitution.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the principles {path} cannot be read: {' '.join(str(error).split())}") from error
    rows = content.get("principles") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InvalidInput(f"{path} holds no principles; write a list 'principles' of {', '.join(_FIELDS)}")
    principles = []
    for number, row in enumerate(rows):
        texts = [row.get(name) if isinstance(row, dict) else None for name in _FIELDS]
        for name, text in zip(_FIELDS, texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise InvalidInput(f"principle {number} of {path} has the {name} {text!r}; write a text")
        preference = row.get("preference", "")
        if not isinstance(preference, str):
            raise InvalidInput(
                f"principle {number} of {path} has the preference {preference!r}; write a text or leave it out"
            )
        name, critique, revision = (str(text).strip() for text in texts)
        principles.append(Principle(name, critique, revision, preference.strip()))
    name, count = Counter(principle.name for principle in principles).most_common(1)[0]
    if count > 1:
        raise InvalidInput(f"{path} has {count} principles named {name!r}; pairs record the name, so use different names")
    return principles


def check_preferences(principles: Sequence[Principle]) -> None:
    """Check that a model can choose between two answers by each of the principles.

    Raises:
        InvalidInput: a principle has no `preference`; the message names it.
    """
    for principle in principles:
        if not principle.preference:
            raise InvalidInput(
                f"the principle {principle.name!r} has no preference; write the question which of two answers is better"
            )
