"""A reward for answers that quote their passages word for word, in addition to a factuality reward (arXiv 2203.11147).

Not covered: whether what is quoted answers the question (factuality.py), and copying without quotation marks (guards.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.rewards.completions import completion_text, message_text

__all__ = ["quote_reward", "quoted_texts"]

# Fewer words, such as a title in quotation marks, are no evidence.
_SHORTEST = 4
_QUOTED = re.compile(r'"([^"]+)"|“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»')


def quote_reward(
    *,
    completions: Sequence[Any],
    context: Sequence[str | Sequence[str] | None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **_columns: Any,
) -> list[float]:
    """Score completions in [−1, 1]: a quotation counts 1 if a passage has its words in this order without a gap, else −1.

    A completion earns the mean over its quotations, and 0 if it has none. Add it to a factuality reward with a small weight
    (`rewards: [training.rewards.quotes:quote_reward]` of an online run): alone it pays quotations that answer nothing.

    Args:
        completions: (N,) strings or conversations, as TRL passes them. What tools replied in a conversation, such as the
            passages that a search found, may be quoted too.
        context: (N,) a column of the data set: one passage or several per row, or None.
        log_metric: TRL's; the share of completions with a quotation and that of quotations that are verbatim are logged.

    Returns:
        (N,) rewards.
    """
    contexts = [None] * len(completions) if context is None else context
    verdicts = [_verbatim(completion, passages) for completion, passages in zip(completions, contexts, strict=True)]
    if log_metric is not None and verdicts:
        found = [verdict for row in verdicts for verdict in row]
        log_metric("quotes/used", sum(map(bool, verdicts)) / len(verdicts))
        log_metric("quotes/verbatim", sum(found) / len(found) if found else 0.0)
    return [2 * sum(row) / len(row) - 1 if row else 0.0 for row in verdicts]


def quoted_texts(text: str) -> list[str]:
    """The quotations of four or more words in a text.

    >>> quoted_texts('It says: "built in the year 1928". The "old bridge" is gone.')
    ['built in the year 1928']
    """
    quotations = ["".join(groups).strip() for groups in _QUOTED.findall(text)]
    return [quotation for quotation in quotations if len(_words(quotation)) >= _SHORTEST]


def _verbatim(completion: Any, context: str | Sequence[str] | None) -> list[bool]:
    """Whether each quotation of a completion is in a passage."""
    quotations = quoted_texts(completion_text(completion))
    passages = [context] if isinstance(context, str) else [text for text in context or () if text is not None]
    if not isinstance(completion, str):
        passages += [message_text(message) for message in completion if _is_of_a_tool(message)]
    padded = [f" {' '.join(_words(passage))} " for passage in passages]
    return [any(f" {' '.join(_words(quotation))} " in passage for passage in padded) for quotation in quotations]


def _is_of_a_tool(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "tool"


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
