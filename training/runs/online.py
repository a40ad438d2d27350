"""GRPO, RLOO and PPO runs: sample completions, reward their factuality, and optimize the policy.

Not covered: the trainers, which are TRL's and training/trainers/ppo.py, and the rewards (training/rewards).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput, leaf_errors_as_ours
from training.evaluation.of_a_run import EvaluationSettings
from training.pluralism.group_reward import GroupReward, keep_group_state
from training.rewards.composite import CompositeReward, length_reward
from training.rewards.factuality import FactualityReward
from training.rewards.hacking import stop_on_reward_hacking
from training.rewards.kinds import reward_kind
from training.rows import read_rows
from training.runs.row_checks import check_prompts, prompts_as_messages
from training.runs.run import (
    RunSettings,
    build_trainer,
    check_run,
    load_trainable,
    token_limit,
    train_and_save,
    write_facts,
)
from training.trainers.ppo import PPOConfig, PPOTrainer

__all__ = ["GRPORun", "OnlineSettings", "PPORun", "RLOORun", "run_grpo", "run_ppo", "run_rloo"]


@dataclass
class OnlineSettings(RunSettings):
    """Settings of runs with a factuality reward, in addition to `RunSettings`.

    Attributes:
        prompts: folder or JSON-lines file with a column `prompt` (a string is one user turn), and `context` or `references`
            unless there is an index.
        index: folder of a passage index to retrieve evidence from.
        index_embedder: embedder of the index, to name only if it is an endpoint (http://host:port/v1#model), to allow that
            texts and your API key are sent there.
        verifier: the verifier to optimize against, as `halluc.load_verifier` names it. None for no factuality reward, only
            that of `preference`; the prompts then need no evidence.
        held_out_verifier: a verifier that is measured and not optimized against; None for none.
        max_gap_growth: growth of the gap between the two at which the run stops because of reward hacking, in (0, 2]; None
            never stops it.
        kind: "precision", "binary", "ternary", "brier" or "log" (training/rewards/kinds.py).
        kind_settings: parameters of the kind by name, such as {wrong: -2}; None for its defaults.
        factuality_weight: weight of the factuality reward.
        preference: folder of a reward model (`halluc train reward`) whose score is added to the reward; None for none.
        groups: folders of reward models by name of the group of people whose preferences they learned; their aggregate is
            added to the reward in place of `preference` (`training.pluralism.group_reward.GroupReward`). None for none.
        group_rule: "mean", "mixture", "maxmin" or "nash" (training/pluralism/aggregation.py).
        group_weights: by name of the group, of a mixture.
        words: [fewest, most] words of a completion without a length penalty; None for any length.
        learning_rate: TRL's default, 1e-6, is for training all weights; adapters need more.
    """

    prompts: str = ""
    index: str | None = None
    index_embedder: str | None = None
    verifier: str | None = "default"
    held_out_verifier: str | None = None
    max_gap_growth: float | None = None
    kind: str = "precision"
    kind_settings: dict[str, float] | None = None
    factuality_weight: float = 1.0
    preference: str | None = None
    groups: dict[str, str] | None = None
    group_rule: str = "maxmin"
    group_weights: dict[str, float] | None = None
    words: list[int] | None = None
    learning_rate: float = 2e-5

    def check(self) -> None:
        """Check the settings that need no data.

        Raises:
            InvalidInput: prompts is not set, the kind or its parameters are unknown, there is no reward, words are not a
                range, or a gap is limited without a held-out verifier.
        """
        if not self.prompts:
            raise InvalidInput("prompts is not set; name a folder or file of prompts")
        reward_kind(self.kind, self.kind_settings)
        if self.verifier is None and self.preference is None and self.groups is None:
            raise InvalidInput("verifier is null and preference is not set, so there is no reward; set one of them")
        self._check_groups()
        if self.verifier is None and self.held_out_verifier is not None:
            raise InvalidInput("held_out_verifier needs a verifier to compare with; set verifier, or leave it out")
        if self.words is not None:
            if len(self.words) != 2:
                raise InvalidInput(f"words is {self.words}; pass two numbers, [fewest, most]")
            length_reward(*self.words)
        if self.max_gap_growth is not None:
            if self.held_out_verifier is None:
                raise InvalidInput("max_gap_growth needs a held_out_verifier; name one")
            if not self.max_gap_growth > 0:
                raise InvalidInput(f"max_gap_growth is {self.max_gap_growth}; pass a number above 0")

    def _check_groups(self) -> None:
        if self.groups is None:
            if self.group_weights is not None:
                raise InvalidInput("group_weights is set but groups is not; name the reward models of the groups")
            return
        if self.preference is not None:
            raise InvalidInput("groups and preference are both set; name the reward models in groups alone")
        GroupReward(dict.fromkeys(self.groups, length_reward(1, 1)), self.group_rule, weights=self.group_weights)


@dataclass
class GRPORun(EvaluationSettings, OnlineSettings, GRPOConfig):
    """Settings of a GRPO run (arXiv 2402.03300): TRL's `GRPOConfig`, `EvaluationSettings`, `OnlineSettings`, and this.

    Attributes:
        beta: weight of the KL to the reference; with TRL's default, 0, the policy drifts wherever the verifier errs.
    """

    beta: float = 0.04


@dataclass
class RLOORun(EvaluationSettings, OnlineSettings, RLOOConfig):
    """Settings of an RLOO run (arXiv 2402.14740): TRL's `RLOOConfig`, `EvaluationSettings` and `OnlineSettings`."""


@dataclass
class PPORun(EvaluationSettings, OnlineSettings, PPOConfig):
    """Settings of a PPO run (arXiv 1707.06347): `PPOConfig`, `EvaluationSettings` and `OnlineSettings`."""


def run_grpo(config: GRPORun) -> dict[str, Any]:
    """Train by GRPO with a factuality reward; see `_run_online` for facts and errors."""
    return _run_online(GRPOTrainer, config)


def run_rloo(config: RLOORun) -> dict[str, Any]:
    """Train by RLOO with a factuality reward; see `_run_online` for facts and errors."""
    return _run_online(RLOOTrainer, config)


def run_ppo(config: PPORun) -> dict[str, Any]:
    """Train by PPO with a factuality reward; see `_run_online` for facts and errors."""
    return _run_online(PPOTrainer, config)


def _run_online(kind: Any, config: Any) -> dict[str, Any]:
    """Check the prompts, train, and save the adapter (or the model) to `config.output_dir`.

    Args:
        kind: class of the trainer.
        config: its settings, with `OnlineSettings`.

    Returns:
        The number of prompts, the facts of `train_and_save`, the gap report if a verifier is held out, and what each group
        got if there are groups; written to run.json beside the model.

    Raises:
        InvalidInput: the prompts cannot be trained on (the row is named), a setting cannot be used, or a reward or loss is
            not finite.
        ModelUnavailable: the model or a verifier cannot be loaded.
        RetrievalFailed: the index cannot be opened.
    """
    check_run(config)
    rows = read_rows(config.prompts)
    check_prompts(rows)
    if config.verifier is not None and config.index is None and not {"context", "references"} & set(rows.column_names):
        raise InvalidInput(f"{config.prompts} has no column 'context' or 'references'; add one, or set index")
    factuality = _factuality_reward(config)
    preference = _preference(config)
    reward = _whole_reward(config, preference, factuality)
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    rows = prompts_as_messages(
        rows, tokenizer, window=token_limit(model, None), max_completion_length=config.max_completion_length or 0
    )
    trainer = build_trainer(
        kind,
        config,
        model=model,
        reward_funcs=[reward],
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=_callbacks(config, preference, factuality),
    )
    facts = {"prompts": len(rows), **train_and_save(trainer, resume=config.resume)}
    if factuality is not None and factuality.measurements:
        facts["gap"] = factuality.gap_report().to_dict()
    if isinstance(preference, GroupReward):
        facts["groups"] = preference.report()
    return write_facts(trainer, facts)


def _callbacks(config: Any, preference: Any, factuality: FactualityReward | None) -> list[Any]:
    """What keeps the state of the rewards in the checkpoints of the run, and stops it if the verifiers' gap grows."""
    callbacks = []
    if factuality is not None and config.held_out_verifier:
        callbacks.append(stop_on_reward_hacking(factuality, growth=config.max_gap_growth))
    if isinstance(preference, GroupReward):
        callbacks.append(keep_group_state(preference))
    return callbacks


def _factuality_reward(config: Any) -> FactualityReward | None:
    from halluc.verification import load_verifier
    from retrieval import open_store

    if config.verifier is None:
        return None
    with leaf_errors_as_ours():
        index = open_store(config.index, embedder=config.index_embedder) if config.index else None
    return FactualityReward(
        load_verifier(config.verifier),
        index,
        kind=reward_kind(config.kind, config.kind_settings),
        held_out_verifier=load_verifier(config.held_out_verifier) if config.held_out_verifier else None,
    )


def _preference(config: Any) -> Any:
    """The reward model, or the aggregate of those of groups; None for none."""
    from training.rewards.model import RewardModel

    if config.groups is not None:
        models = {name: RewardModel(folder) for name, folder in config.groups.items()}
        return GroupReward(models, config.group_rule, weights=config.group_weights)
    return RewardModel(config.preference) if config.preference else None


def _whole_reward(config: Any, preference: Any, factuality: FactualityReward | None) -> Any:
    return CompositeReward(
        preference,
        factuality,
        factuality_weight=config.factuality_weight,
        length=length_reward(*config.words) if config.words else None,
    )
