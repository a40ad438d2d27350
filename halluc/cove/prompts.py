"""The prompts of chain-of-verification: text files with placeholders `${...}`, which users can replace one by one.

The shipped files are in templates/. Not covered: running the prompts (calls.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from halluc.errors import InvalidInput

__all__ = ["PLACEHOLDERS", "fill", "load_prompts"]

PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "baseline": frozenset({"question"}),
    "plan": frozenset({"question", "draft", "limit"}),
    "joint": frozenset({"question", "draft", "limit", "passages"}),
    "answers": frozenset({"questions", "passages"}),
    "answer": frozenset({"question"}),
    "answer_from_passages": frozenset({"question", "passages"}),
    "cross_check": frozenset({"draft", "check"}),
    "revise": frozenset({"question", "draft", "checks"}),
}
"""Per file (without `.txt`), the placeholders it may have; it must have all of them but `limit` and `passages`."""

_OPTIONAL = frozenset({"limit", "passages"})


def load_prompts(folder: str | Path | None = None) -> dict[str, Template]:
    """Load the prompts by name: those in `folder`, and the shipped ones for the others.

    A literal dollar sign is written `$$`.

    Raises:
        InvalidInput: the folder or a file cannot be read, a file is not one of `PLACEHOLDERS`, or it has other placeholders.
    """
    shipped = Path(__file__).parent / "templates"
    files = {name: shipped / f"{name}.txt" for name in PLACEHOLDERS}
    if folder is not None:
        replacements = sorted(Path(folder).glob("*.txt"))
        if not replacements:
            raise InvalidInput(
                f"{folder} holds no prompt files; it may hold {', '.join(f'{name}.txt' for name in PLACEHOLDERS)}"
            )
        for path in replacements:
            if path.stem not in PLACEHOLDERS:
                raise InvalidInput(
                    f"{path} is not a prompt of chain-of-verification; name it one of {', '.join(PLACEHOLDERS)}"
                )
            files[path.stem] = path
    return {name: _load(name, path) for name, path in files.items()}


def fill(template: Template, **values: str) -> str:
    """Fill the placeholders of a prompt, and strip surrounding white space."""
    return template.substitute(values).strip()


def _load(name: str, path: Path) -> Template:
    try:
        template = Template(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if not template.is_valid():
        raise InvalidInput(
            f"{path} has a dollar sign that begins no placeholder like ${{question}}; write $$ for the sign itself"
        )
    placeholders, allowed = set(template.get_identifiers()), PLACEHOLDERS[name]
    if unknown := placeholders - allowed:
        raise InvalidInput(f"{path} has the placeholder ${{{min(unknown)}}}; it may have {', '.join(sorted(allowed))}")
    if missing := allowed - placeholders - _OPTIONAL:
        raise InvalidInput(f"{path} lacks the placeholder ${{{min(missing)}}}; put it where that text belongs")
    return template
