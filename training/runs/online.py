"""What runs that sample completions and optimise their reward share: settings, the reward, and the run itself.

Not here: the settings of each trainer (grpo_run.py, rloo_run.py), and the rewards (rewards.py, composite_reward.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from halluc.errors import InvalidInput
from training.rewards.composite import CompositeReward, length_reward
from training.rewards.factuality import FactualityReward
from training.rewards.hacking import stop_on_reward_hacking
from training.rewards.kinds import reward_kind
from training.runs.row_checks import checked_prompts, read_rows
from training.runs.run import RunSettings, build_trainer, load_trainable, record, token_limit, train_and_save

__all__ = ["OnlineSettings", "run_online"]


@dataclass
class OnlineSettings(RunSettings):
    """Settings of runs with a factuality reward, beside those of `RunSettings`.

    Attributes:
        prompts: folder or JSON-lines file with a column `prompt` (a string is one user turn), and `context` or `answers`
            unless there is an index.
        index: folder of a passage index to take evidence from.
        verifier: optimised against, as `halluc.load_verifier` names it.
        held_out_verifier: measured only; None for none.
        largest_gap_growth: growth of the gap between the two at which the run stops as reward hacking; None never stops it.
        kind: "precision", "binary", "ternary", "brier" or "log" (training/rewards/kinds.py).
        kind_settings: its parameters by name, such as {wrong: -2}; None for its defaults.
        factuality_weight: weight of the factuality reward.
        preference: folder of a reward model (`halluc train reward`) whose score is added to the reward; None for none.
        words: the least and the most words of a completion that costs nothing; None for any length.
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
    """

    prompts: str = ""
    index: str | None = None
    verifier: str = "default"
    held_out_verifier: str | None = None
    largest_gap_growth: float | None = None
    kind: str = "precision"
    kind_settings: dict[str, float] | None = None
    factuality_weight: float = 1.0
    preference: str | None = None
    words: list[int] | None = None
    learning_rate: float = 2e-5

    def check(self) -> None:
        """Refuse settings that do not go together.

        Raises:
            InvalidInput: prompts is not set, the kind or its settings are unknown, words are not two, or a gap has no second
                verifier.
        """
        if not self.prompts:
            raise InvalidInput("prompts is not set; name a folder or file of prompts")
        reward_kind(self.kind, self.kind_settings)
        if self.words is not None and len(self.words) != 2:
            raise InvalidInput(f"words is {self.words}; pass two numbers, [least, most]")
        if self.largest_gap_growth is not None and self.held_out_verifier is None:
            raise InvalidInput("largest_gap_growth needs a held_out_verifier; name one")


def run_online(kind: Any, config: Any) -> dict[str, Any]:
    """Check the prompts, train by the trainer `kind` of TRL, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of prompts, the facts of `train_and_save`, and the gap report if a verifier is held out; kept as run.json
        beside the model.

    Raises:
        InvalidInput: the prompts cannot be trained on (the row is named), a setting cannot be used, or a reward or loss is
            not finite.
        ModelUnavailable: the model or a verifier cannot be had.
    """
    from halluc.verification import load_verifier
    from retrieval import PassageIndex
    from training.rewards.model import RewardModel

    rows = read_rows(config.prompts)
    if config.index is None and not {"context", "answers"} & set(rows.column_names):
        raise InvalidInput(f"{config.prompts} has no column 'context' or 'answers'; add one, or set index")
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    rows = checked_prompts(rows, tokenizer, window=token_limit(model, None), room=config.max_completion_length or 0)
    factuality = FactualityReward(
        load_verifier(config.verifier),
        PassageIndex.open(config.index) if config.index else None,
        kind=reward_kind(config.kind, config.kind_settings),
        held_out_verifier=load_verifier(config.held_out_verifier) if config.held_out_verifier else None,
    )
    reward: Any = CompositeReward(
        RewardModel(config.preference) if config.preference else None,
        factuality,
        factuality_weight=config.factuality_weight,
        length=length_reward(*config.words) if config.words else None,
    )
    trainer = build_trainer(
        kind,
        config,
        model=model,
        reward_funcs=[reward],
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[stop_on_reward_hacking(factuality, growth=config.largest_gap_growth)] if config.held_out_verifier else [],
    )
    facts = {"prompts": len(rows), **train_and_save(trainer, resume=config.resume)}
    if factuality.measurements:
        facts["gap"] = factuality.gap_report().to_dict()
    return record(trainer, facts)
