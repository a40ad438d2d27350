"""Preferences labeled by a language model under principles: which of two answers is better, with a probability.

The model is asked for "1" or "2", and the probabilities of the two words are compared. Each pair is shown in both orders and
the probabilities are averaged, since models prefer a position (RLAIF, arXiv 2309.00267, sections 2.1 and 2.1.1).

Not covered: the principles (constitution.py), and what is learned from the labels (training/runs, training/rlaif).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.errors import InvalidInput, check_same_length
from halluc.models.forced_choice import choice_log_odds
from retrieval.records import Record
from training.preferences.constitution import Principle, check_preferences
from training.rewards.completions import as_messages

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel, Prompt

__all__ = ["AILabel", "PrincipleVote", "draw_principles", "label_preferences", "written_conversation"]

_REQUEST = """\
Compare two answers to the last message of a conversation.

{conversation}

Answer 1: {one}

Answer 2: {two}

{question} Reply with 1 or 2 and nothing else."""


@dataclass(frozen=True)
class PrincipleVote(Record):
    """The choice under one principle.

    Attributes:
        principle: its name.
        shown_first: probability in (0, 1) that the first answer is better, if it is shown first.
        shown_second: the same if it is shown second.
    """

    principle: str
    shown_first: float
    shown_second: float

    @property
    def probability(self) -> float:
        """The mean over both orders."""
        return (self.shown_first + self.shown_second) / 2

    @property
    def orders_agree(self) -> bool:
        """Whether both orders prefer the same answer."""
        return (self.shown_first > 0.5) == (self.shown_second > 0.5)


@dataclass(frozen=True)
class AILabel(Record):
    """The label of a pair of answers.

    Attributes:
        probability: that the first answer is better, in (0, 1): the mean over the votes.
        votes: one for each principle.
    """

    probability: float
    votes: tuple[PrincipleVote, ...]


def draw_principles(principles: Sequence[Principle], rows: int, *, count: int, seed: int) -> list[list[Principle]]:
    """Draw `count` different principles for each row.

    Raises:
        InvalidInput: count is below 1 or above the number of principles.
    """
    if not 1 <= count <= len(principles):
        raise InvalidInput(f"{count} principles per row were requested; pass 1 to {len(principles)}, as many as there are")
    generator = random.Random(seed)
    return [generator.sample(list(principles), count) for _ in range(rows)]


def label_preferences(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    first: Sequence[str],
    second: Sequence[str],
    principles: Sequence[Sequence[Principle]],
) -> list[AILabel]:
    """Label pairs of answers.

    Args:
        lm: the labeler; it must report log-probabilities.
        prompts: (N,) prompts.
        first, second: (N,) answers each.
        principles: (N,) principles of each row, at least one each, with a `preference`.

    Returns:
        (N,) labels.

    Raises:
        InvalidInput: the lengths differ, a row has no principle, or a principle has no `preference`.
        ModelResponseError: the model reports no log-probabilities.
        ContextOverflow: a prompt with both answers exceeds the context window.
    """
    import numpy as np

    check_same_length(prompts=prompts, first=first, second=second, principles=principles)
    requests: list[str] = []
    for row, (prompt, one, two, row_principles) in enumerate(zip(prompts, first, second, principles, strict=True)):
        if not row_principles:
            raise InvalidInput(f"row {row} has no principles; pass at least one")
        check_preferences(row_principles)
        for principle in row_principles:
            requests += [_request(prompt, one, two, principle), _request(prompt, two, one, principle)]
    if not requests:
        return []
    odds = choice_log_odds(lm, requests, "1", "2")
    # In the second order the first answer is number 2.
    probabilities = iter((1 / (1 + np.exp(-odds * np.tile([1.0, -1.0], len(odds) // 2)))).tolist())
    labels = []
    for row_principles in principles:
        votes = tuple(PrincipleVote(p.name, next(probabilities), next(probabilities)) for p in row_principles)
        labels.append(AILabel(sum(vote.probability for vote in votes) / len(votes), votes))
    return labels


def _request(prompt: Prompt, one: str, two: str, principle: Principle) -> str:
    return _REQUEST.format(conversation=written_conversation(prompt), one=one, two=two, question=principle.preference)


def written_conversation(prompt: Prompt) -> str:
    """A prompt as one text, each message after its role."""
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in as_messages(prompt))
