"""What all makers of preference pairs share: their options, the checks of prompts and scores, and the row of a pair.

Not covered: which completions are paired (sampled.py, revised.py), and the files (dataset.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.rewards.completions import as_messages, check_one_each, check_text_or_messages

if TYPE_CHECKING:
    from halluc.models.language_model import Prompt
    from training.rewards.composite import RewardFunction

__all__ = ["PairOptions", "Scored", "check_prompts", "checked_scores", "length_ratio", "pair_row", "reward_name"]

Scored = tuple[str, float]
"""A completion and its factuality."""


@dataclass(frozen=True)
class PairOptions:
    """Which completions may form a pair, and how many prompts are handled together.

    Attributes:
        min_margin: least difference in score between chosen and rejected, above 0.
        max_length_ratio: most words of the longer completion per word of the shorter one, at least 1.
        batch_size: prompts per batch, at least 1.
        min_chosen: least score of a chosen completion; None for any. An abstention may be chosen at any score.

    Raises:
        InvalidInput: an option is out of range.
    """

    min_margin: float
    max_length_ratio: float
    batch_size: int
    min_chosen: float | None = 0.5

    def __post_init__(self) -> None:
        if not self.min_margin > 0:
            raise InvalidInput(f"min_margin is {self.min_margin}; pass a number above 0")
        if not self.max_length_ratio >= 1:
            raise InvalidInput(f"max_length_ratio is {self.max_length_ratio}; pass at least 1")
        if self.batch_size < 1:
            raise InvalidInput(f"batch_size is {self.batch_size}; pass at least 1")
        if self.min_chosen is not None and not math.isfinite(self.min_chosen):
            raise InvalidInput(f"min_chosen is {self.min_chosen}; pass a number, or None for any score")

    def accepts(self, better: float, worse: float) -> bool:
        """Whether completions with these scores may be chosen and rejected."""
        return better - worse >= self.min_margin and (self.min_chosen is None or better >= self.min_chosen)

    def batches(self, prompts: int) -> int:
        """Number of batches for this many prompts."""
        return -(-prompts // self.batch_size)

    def rows(self, batch: int, prompts: int) -> range:
        """Rows of one batch, of this many prompts in all."""
        return range(batch * self.batch_size, min((batch + 1) * self.batch_size, prompts))


def check_prompts(prompts: Sequence[Prompt], columns: Mapping[str, Sequence[Any]]) -> None:
    """Check prompts and the columns beside them.

    Raises:
        InvalidInput: there is no prompt, one of the lists is a single text, a prompt cannot be used (its row is named), or a
            column has another length.
    """
    check_one_each("prompts", prompts, **columns)
    if not len(prompts):
        raise InvalidInput("there are no prompts; pass at least one")
    for row, prompt in enumerate(prompts):
        check_text_or_messages(f"the prompt of row {row}", prompt)


def checked_scores(
    reward: RewardFunction,
    prompts: Sequence[Any],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    *,
    rows: Sequence[int],
) -> list[float]:
    """Score completions by one call of the reward.

    Args:
        reward: with TRL's reward-function signature.
        prompts: (N,) prompts.
        completions: (N,) completions.
        columns: N values each that the reward takes.
        rows: (N,) numbers of the rows of the completions, for messages.

    Returns:
        (N,) finite scores.

    Raises:
        InvalidInput: a score is missing or not finite; the message names the completion and its row.
    """
    scores = list(reward(prompts=prompts, completions=completions, **columns))
    if len(scores) != len(completions):
        raise InvalidInput(f"the reward gave {len(scores)} scores for {len(completions)} completions")
    for row, text, score in zip(rows, completions, scores, strict=True):
        if score is None or not math.isfinite(score):
            raise InvalidInput(f"the reward of row {row}, whose completion begins {text[:40]!r}, is {score}; drop the row")
    return [float(score) for score in scores if score is not None]


def reward_name(reward: RewardFunction | None) -> str:
    """The name of the reward in the manifest."""
    return "1 for chosen, 0 for rejected" if reward is None else getattr(reward, "__name__", type(reward).__name__)


def length_ratio(one: str, other: str) -> float:
    """Words of the longer text per word of the shorter one; both must have words."""
    shorter, longer = sorted((len(one.split()), len(other.split())))
    return longer / shorter


def pair_row(prompt: Prompt, chosen: Scored, rejected: Scored, *, row: int) -> dict[str, Any]:
    """One row of a data set of pairs, in the columns that sampled.py documents."""
    return {
        "row": row,
        "prompt": as_messages(prompt),
        "chosen": [{"role": "assistant", "content": chosen[0]}],
        "rejected": [{"role": "assistant", "content": rejected[0]}],
        "chosen_factuality": chosen[1],
        "rejected_factuality": rejected[1],
    }
