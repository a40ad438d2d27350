"""What runs on preference pairs share: where the pairs are, and their check.

Not here: the runs (dpo_run.py, orpo_run.py, reward_run.py), nor how pairs are made (preferences.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.pair_checks import check_pairs
from training.row_checks import read_rows
from training.runs import RunSettings, token_limit

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["PairSettings", "read_pairs"]


@dataclass
class PairSettings(RunSettings):
    """Settings of runs on preference pairs, beside those of `RunSettings`.

    Attributes:
        pairs: folder or JSON-lines file of preference pairs (`training.row_checks.read_rows`).
        eval_pairs: the same to evaluate on; None for none.
    """

    pairs: str = ""
    eval_pairs: str | None = None

    def check(self) -> None:
        """Refuse a run without pairs.

        Raises:
            InvalidInput: pairs is not set.
        """
        if not self.pairs:
            raise InvalidInput("pairs is not set; name a folder or file of preference pairs")


def read_pairs(config: Any, tokenizer: Any, model: Any, *, factuality: bool) -> tuple[Dataset, Dataset | None]:
    """The pairs to train and to evaluate on, checked.

    Raises:
        InvalidInput: they cannot be read or trained on; the row is named.
    """
    pairs = read_rows(config.pairs)
    eval_pairs = read_rows(config.eval_pairs) if config.eval_pairs else None
    for own in (pairs, eval_pairs):
        if own is not None:
            check_pairs(own, tokenizer, max_length=token_limit(model, config.max_length), factuality=factuality)
    return pairs, eval_pairs
