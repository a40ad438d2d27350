"""The prompts of chain-of-verification: text files with `${...}` places, which a user can replace one by one.

The shipped ones are in prompts_cove/. Not here: what is done with them (cove.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from halluc.errors import InvalidInput

__all__ = ["PLACES", "fill", "load_prompts"]

PLACES: Mapping[str, frozenset[str]] = {
    "baseline": frozenset({"question"}),
    "plan": frozenset({"question", "draft", "limit"}),
    "joint": frozenset({"question", "draft", "limit", "passages"}),
    "answers": frozenset({"questions", "passages"}),
    "answer": frozenset({"question"}),
    "answer_from_passages": frozenset({"question", "passages"}),
    "cross_check": frozenset({"draft", "check"}),
    "revise": frozenset({"question", "draft", "checks"}),
}
"""The files (without `.txt`) and the places each may fill; it must fill all but `limit` and `passages`."""

_OPTIONAL = frozenset({"limit", "passages"})


def load_prompts(folder: str | Path | None = None) -> dict[str, Template]:
    """The prompts by name: those of `folder`, and the shipped ones for what it does not hold.

    Raises:
        InvalidInput: the folder or a file cannot be read, a file is not one of `PLACES`, or its places are not those
            that can be filled. A dollar sign that is meant as such is written `$$`.
    """
    shipped = Path(__file__).parent / "templates"
    files = {name: shipped / f"{name}.txt" for name in PLACES}
    if folder is not None:
        own = sorted(Path(folder).glob("*.txt"))
        if not own:
            raise InvalidInput(f"{folder} holds no prompt files; it may hold {', '.join(f'{name}.txt' for name in PLACES)}")
        for path in own:
            if path.stem not in PLACES:
                raise InvalidInput(f"{path} is not a prompt of chain-of-verification; name it one of {', '.join(PLACES)}")
            files[path.stem] = path
    return {name: _load(name, path) for name, path in files.items()}


def fill(template: Template, **values: str) -> str:
    """The prompt with its places filled, without the white space around it."""
    return template.substitute(values).strip()


def _load(name: str, path: Path) -> Template:
    try:
        template = Template(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if not template.is_valid():
        raise InvalidInput(f"{path} has a dollar sign that begins no place like ${{question}}; write $$ for the sign itself")
    places = set(template.get_identifiers())
    if unknown := places - PLACES[name]:
        raise InvalidInput(f"{path} has the place ${{{min(unknown)}}}; it can fill {', '.join(sorted(PLACES[name]))}")
    if missing := PLACES[name] - places - _OPTIONAL:
        raise InvalidInput(f"{path} lacks the place ${{{min(missing)}}}; put it where that text should stand")
    return template
