"""Prompts and completions as TRL passes them, read: messages, text, the question of a prompt, a stated confidence.

Not here: the rewards (rewards.py, composite_reward.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from retrieval.split import sentence_spans

if TYPE_CHECKING:
    from halluc.models.language_model import Prompt

__all__ = ["as_messages", "completion_text", "prompt_question", "split_confidence"]


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt as a conversation."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(message) for message in prompt]


def completion_text(completion: Any) -> str:
    """The text of a completion: TRL passes strings for plain prompts and lists of messages for conversations."""
    return completion if isinstance(completion, str) else "\n".join(message["content"] or "" for message in completion)


def prompt_question(prompt: Any) -> str | None:
    """The last question in the last turn of a prompt, without "Question:" before it; None if it asks none.

    >>> prompt_question("Paris fell in 1940. Question: Who took it? Answer:")
    'Who took it?'
    """
    text = prompt if isinstance(prompt, str) else (prompt[-1]["content"] or "" if prompt else "")
    sentences = [line[start:end].strip() for line in text.splitlines() for start, end in sentence_spans(line)]
    asked = [s for s in sentences if s.endswith("?") and any(character.isalnum() for character in s)]
    return re.sub(r"^(?:Q|Question)\s*:\s*", "", asked[-1]) if asked else None


def split_confidence(text: str) -> tuple[str, float | None]:
    """The text without the confidence it states at its end or in <confidence> tags, and that confidence in [0, 1] or None.

    >>> split_confidence("Paris.\\nConfidence: 80%")
    ('Paris.', 0.8)
    """
    from halluc.confidence.verbalized_parsing import parse_confidence

    match = _CONFIDENCE.search(text)
    if match is None:
        return text, None
    said = match["tagged"] or match["line"] or ""
    return (text[: match.start()] + text[match.end() :]).strip(), parse_confidence(f"Confidence: {said}")


# The statement of confidence at the end of a completion: a line of its own, or the tags of arXiv 2507.16806.
_CONFIDENCE = re.compile(
    r"\s*(?:<confidence>(?P<tagged>.*?)(?:</confidence>|\Z)\s*"
    r"|(?:^|(?<=[.!?]))[\s*_]*(?:my )?(?:confidence|probability|certainty)\b(?P<line>[^\n]*)\s*\Z)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
