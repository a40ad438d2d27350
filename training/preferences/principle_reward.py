"""The reward of an answer for following principles, by a language model: the probability of "Yes".

Not covered: choices between two answers (ai_labels.py), which a reward model learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.models.forced_choice import choice_log_odds
from training.preferences.ai_labels import written_conversation
from training.preferences.constitution import Principle, check_preferences
from training.rewards.completions import check_one_each, completion_text

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["PrincipleReward"]

_REQUEST = """\
Judge an answer to the last message of a conversation.

{conversation}

Answer: {answer}

Compared with a typical answer, is this one better by the following question? {question} Reply with Yes or No and nothing \
else."""


class PrincipleReward:
    """The mean probability over principles that an answer is better than a typical one, in (0, 1).

    Direct scoring of AI feedback (RLAIF, arXiv 2309.00267, section 2.2.2) in the form of a forced choice.

    Args:
        lm: the judge; it must report log-probabilities.
        principles: with a `preference` each.

    Raises:
        InvalidInput: there is no principle, or one has no `preference`.
    """

    __name__ = "principles"

    def __init__(self, lm: LanguageModel, principles: Sequence[Principle]) -> None:
        if not principles:
            raise InvalidInput("there are no principles; pass at least one")
        check_preferences(principles)
        self.lm, self.principles = lm, list(principles)

    def __call__(self, *, prompts: Sequence[Any], completions: Sequence[Any], **_columns: Any) -> list[float]:
        """Score completions, strings or conversations as TRL passes them.

        Returns:
            (N,) probabilities.

        Raises:
            InvalidInput: prompts and completions differ in number.
            ModelResponseError: the model reports no log-probabilities.
            ContextOverflow: a prompt with its completion exceeds the context window.
        """
        import numpy as np

        check_one_each("completions", completions, prompts=prompts)
        if not len(completions):
            return []
        requests = [
            _REQUEST.format(
                conversation=written_conversation(prompt),
                answer=completion_text(completion),
                question=principle.preference,
            )
            for prompt, completion in zip(prompts, completions, strict=True)
            for principle in self.principles
        ]
        odds = choice_log_odds(self.lm, requests, "Yes", "No").reshape(len(completions), -1)
        scores: list[float] = (1 / (1 + np.exp(-odds))).mean(axis=1).tolist()
        return scores
