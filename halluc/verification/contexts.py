"""The passages of a context: one text, or several that are quoted by their names.

Not covered: contexts in files (halluc/cli/check.py and check_file.py), and looking passages up in an index (check.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from halluc.errors import InvalidInput, check_text

if TYPE_CHECKING:
    from retrieval import Passage

__all__ = ["Context", "context_passages"]

Context: TypeAlias = Union[str, "Sequence[str | Passage]"]
"""What an answer should be faithful to: a text, or a list of texts and of passages with names of their own."""


def context_passages(context: Any, name: str = "context") -> list[Passage]:
    """Make the passages of a context.

    Args:
        context: see `Context`.
        name: the argument, for messages.

    Returns:
        One passage "context" for a text; for a list, the passages "context 1", "context 2", …, and those of the list that
        are passages already, as they are.

    Raises:
        InvalidInput: the context is neither a text nor a list of texts, the list is empty, a text is blank or has a lone
            surrogate, or two passages have one id.
    """
    from retrieval import Passage

    if isinstance(context, str):
        check_text(name, context)
        return [Passage("context", context)]
    if not isinstance(context, Sequence) or isinstance(context, bytes | bytearray):
        raise InvalidInput(f"{name} is {context!r:.60}, not a text; pass a text or a list of texts")
    if not context:
        raise InvalidInput(f"{name} is an empty list; pass at least one text")
    passages: list[Passage] = []
    for number, item in enumerate(context, 1):
        text = item.text if isinstance(item, Passage) else item
        check_text(f"text {number} of {name}", text)
        passages.append(item if isinstance(item, Passage) else Passage(f"context {number}", text, f"context {number}"))
    ids = [passage.id for passage in passages]
    if repeated := next((i for i in ids if ids.count(i) > 1), None):
        raise InvalidInput(f"{name} has two passages with the id {repeated!r}; give each an id of its own")
    return passages
