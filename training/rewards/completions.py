"""Prompts and completions as TRL passes them: their messages, text, question and stated confidence, and checks of them.

Not covered: the rewards (factuality.py, composite.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halluc.claims.markup import final_answer
from halluc.errors import InvalidInput, check_text
from retrieval.files import whole_characters
from retrieval.split import sentence_spans

if TYPE_CHECKING:
    from halluc.models.language_model import Prompt

__all__ = [
    "as_messages",
    "check_one_each",
    "check_text_or_messages",
    "completion_text",
    "message_text",
    "prompt_question",
    "split_confidence",
]

# Of TRL's formats and of common chat templates; a template writes any other one without complaint.
_ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython", "document", "context")


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt as a conversation; a string is one user turn."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def completion_text(completion: Any) -> str:
    """The answer in a completion: a string for plain prompts, a list of messages for conversations.

    Only the final words of the assistant count: the last message, unless a tool or another role wrote it. What a model
    thinks before it answers and its calls of tools are left out. Content that is a list of parts is read if all parts are
    text. Lone surrogates, which no verifier can read, are replaced.

    >>> completion_text([{"role": "tool", "content": "It is 1928."}, {"role": "assistant", "content": "In 1928."}])
    'In 1928.'

    Raises:
        InvalidInput: the last message has content other than text.
    """
    if isinstance(completion, str):
        return _spoken(completion)
    if not completion or completion[-1].get("role", "assistant") != "assistant":
        return ""
    return _spoken(message_text(completion[-1]))


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message, whose content is a text or a list of parts of the type text.

    Raises:
        InvalidInput: the content is something else.
    """
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"a message has the content {str(content)[:60]!r}; only text can be read")
    return "".join(map(str, texts))


def _spoken(text: str) -> str:
    return _TOOL_CALL.sub("", final_answer(whole_characters(text)))


# A call of a tool that was not parsed into the message's `tool_calls`.
_TOOL_CALL = re.compile(r"\s*<(tool_call|tool_response|function_call)>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)


def prompt_question(prompt: Any) -> str | None:
    """The last question in the last message of a prompt, without "Question:" before it; None if it asks none.

    >>> prompt_question("Paris fell in 1940. Question: Who took it? Answer:")
    'Who took it?'

    Raises:
        InvalidInput: the message has content other than text, or a lone surrogate.
    """
    text = prompt if isinstance(prompt, str) else (message_text(prompt[-1]) if prompt else "")
    check_text("the prompt", text, allow_blank=True)
    sentences = [line[start:end].strip() for line in text.splitlines() for start, end in sentence_spans(line)]
    questions = [s for s in sentences if s.endswith("?") and any(character.isalnum() for character in s)]
    return re.sub(r"^(?:Q|Question)\s*:\s*", "", questions[-1]) if questions else None


def split_confidence(text: str) -> tuple[str, float | None]:
    r"""Separate a text from the confidence it states at its end or in <confidence> tags.

    >>> split_confidence("Paris.\nConfidence: 80%")
    ('Paris.', 0.8)

    Returns:
        The text without the statement, and the confidence in [0, 1]; None if it states none.
    """
    from halluc.confidence.verbalized_parsing import parse_confidence

    match = _CONFIDENCE.search(text)
    if match is None:
        return text, None
    stated = match["tagged"] or match["line"] or ""
    return (text[: match.start()] + text[match.end() :]).strip(), parse_confidence(f"Confidence: {stated}")


# A statement of confidence at the end of a completion: a line or sentence of its own, or the tags of arXiv 2507.16806.
_CONFIDENCE = re.compile(
    r"\s*(?:<confidence>(?P<tagged>.*?)(?:</confidence>|\Z)\s*"
    r"|(?:^|(?<=[.!?]))[\s*_]*(?:my )?(?:confidence|probability|certainty)\b(?P<line>[^\n]*)\s*\Z)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)


def check_one_each(name: str, rows: Sequence[Any], /, **columns: Sequence[Any] | None) -> None:
    """Check that rows and the columns beside them are lists of the same length.

    Args:
        name: what the rows are, in the plural.
        rows: N rows.
        columns: N values each; None for a column that is not used.

    Raises:
        InvalidInput: one of them is a single text (whose characters would be taken for rows), or has another length.
    """
    for column, values in {name: rows, **columns}.items():
        if isinstance(values, (str, bytes, Mapping)):
            raise InvalidInput(f"{column} is a single value, {str(values)[:40]!r}; pass a list with one per row")
        if values is not None and len(values) != len(rows):
            raise InvalidInput(f"there are {len(values)} {column} for {len(rows)} {name}; pass one for each")


def check_text_or_messages(name: str, value: Any) -> None:
    """Check that a value is a text, or a conversation whose messages hold text.

    Args:
        name: of the value in messages, such as "the prompt of row 3".
        value: what to check.

    Raises:
        InvalidInput: it is missing, something else, has a message without text or a known role, or has a lone surrogate.
    """
    if value is None:
        raise InvalidInput(f"{name} is missing (null); write a text or drop the row")
    if isinstance(value, str):
        check_text(name, value, allow_blank=True)
        return
    if not isinstance(value, Sequence) or not all(isinstance(message, Mapping) for message in value):
        raise InvalidInput(f"{name} is {str(value)[:60]!r}; write a text, or a list of messages")
    for message in value:
        content = message.get("content")
        # A message that only calls tools has no content.
        if not isinstance(content, str) and not message.get("tool_calls"):
            raise InvalidInput(f"{name} has a message with the content {str(content)[:60]!r}; write a text")
        role = message.get("role")
        if not isinstance(role, str):
            raise InvalidInput(f"{name} has a message without a role; write user, assistant or system")
        if role not in _ROLES:
            raise InvalidInput(f"{name} has a message with the role {role!r}, which is none of {', '.join(_ROLES)}")
        check_text(name, content or "", allow_blank=True)
