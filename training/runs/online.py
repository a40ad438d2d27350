"""GRPO, RLOO and PPO runs: sample completions, reward their factuality, and optimize the policy.

Not covered: the trainers, which are TRL's and training/trainers/ppo.py, and the rewards (training/rewards).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig, RLOOConfig, RLOOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.evaluation.of_a_run import EvaluationSettings
from training.monitoring.reward_gap import stop_on_reward_hacking
from training.pluralism.group_reward import GroupReward, keep_group_state
from training.rewards.evidence import check_evidence
from training.rewards.factuality import FactualityReward
from training.runs.formats import read_training_rows
from training.runs.model import load_trainable, model_options, token_limit
from training.runs.online_rewards import (
    check_reward_settings,
    factuality_reward,
    preference_reward,
    search_tool,
    whole_reward,
)
from training.runs.row_checks import check_prompts, prompts_as_messages
from training.runs.run import RunSettings, build_trainer, check_run, train_and_save, write_facts
from training.trainers.grpo import CreditGRPOTrainer
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
        kind: "precision", "binary", "ternary", "brier" or "log" (training/rewards/kinds.py). In benchmarks/rewards.py the
            binary one pays the fewest replies that do not answer; "ternary" suits rows with references.
        kind_settings: parameters of the kind by name, such as {wrong: -2}; None for its defaults.
        factuality_weight: weight of the factuality reward.
        preference: folder of a reward model (`halluc train reward`) whose score is added to the reward; None for none.
        groups: folders of reward models by name of the group of people whose preferences they learned; their aggregate is
            added to the reward in place of `preference` (`training.pluralism.group_reward.GroupReward`). None for none.
        group_rule: "mean", "mixture", "maxmin" or "nash" (training/pluralism/aggregation.py).
        group_weights: by name of the group, of a mixture.
        words: [fewest, most] words of a completion without a length penalty; None for any length.
        second_verifier: judges the same claims; where it differs from the first, the reward is lower. None for none.
        reward_settings: parameters of `FactualityReward` by name: k, repetition_penalty, copy_penalty, disagreement_penalty.
        rewards: own reward functions with TRL's signature, each "MODULE:FUNCTION" or "FILE.py:FUNCTION"; added to the others
            (GRPO and RLOO weight them by `reward_weights`).
        sentence_credit: make the advantage negative at contradicted sentences and positive at supported ones (FSPO,
            arXiv 2505.24630); for GRPO and PPO.
        learning_rate: TRL's default, 1e-6, is for training all weights; adapters need more.
    """

    prompts: str = ""
    index: str | None = None
    index_embedder: str | None = None
    verifier: str | None = "default"
    held_out_verifier: str | None = None
    max_gap_growth: float | None = None
    kind: str = "binary"
    kind_settings: dict[str, float] | None = None
    factuality_weight: float = 1.0
    preference: str | None = None
    groups: dict[str, str] | None = None
    group_rule: str = "maxmin"
    group_weights: dict[str, float] | None = None
    words: list[int] | None = None
    second_verifier: str | None = None
    reward_settings: dict[str, float] | None = None
    rewards: list[str] | None = None
    sentence_credit: bool = False
    learning_rate: float = 2e-5

    def check(self) -> None:
        """Check the settings that need no data.

        Raises:
            InvalidInput: prompts is not set, or a setting of the reward cannot be used (`check_reward_settings`).
        """
        if not self.prompts:
            raise InvalidInput("prompts is not set; name a folder or file of prompts")
        check_reward_settings(self)
        if self.sentence_credit and self.verifier is None:
            raise InvalidInput("sentence_credit needs a verifier; set it")
        if self.sentence_credit and getattr(self, "use_liger_kernel", False):
            raise InvalidInput("sentence_credit cannot be combined with use_liger_kernel, which takes one advantage per row")


@dataclass
class GRPORun(EvaluationSettings, OnlineSettings, GRPOConfig):
    """Settings of a GRPO run (arXiv 2402.03300): TRL's `GRPOConfig`, `EvaluationSettings`, `OnlineSettings`, and this.

    Attributes:
        beta: weight of the KL to the reference; with TRL's default, 0, the policy drifts wherever the verifier errs.
        search_tool: let the policy call a tool `search` on the index before it answers; only its last message is rewarded.
            Needs a model whose chat template TRL can parse tool calls of, such as Qwen's.
    """

    beta: float = 0.04
    search_tool: bool = False

    def check(self) -> None:
        """Check the settings that need no data; see `OnlineSettings.check`."""
        super().check()
        if self.search_tool and (self.index is None or self.verifier is None):
            raise InvalidInput("search_tool needs an index to search and a verifier; set them")


@dataclass
class RLOORun(EvaluationSettings, OnlineSettings, RLOOConfig):
    """Settings of an RLOO run (arXiv 2402.14740): TRL's `RLOOConfig`, `EvaluationSettings` and `OnlineSettings`."""

    def check(self) -> None:
        """Check the settings that need no data; see `OnlineSettings.check`."""
        super().check()
        if self.sentence_credit:
            raise InvalidInput("sentence_credit is for GRPO and PPO; RLOO gives a completion one advantage")


@dataclass
class PPORun(EvaluationSettings, OnlineSettings, PPOConfig):
    """Settings of a PPO run (arXiv 1707.06347): `PPOConfig`, `EvaluationSettings` and `OnlineSettings`."""


def run_grpo(config: GRPORun) -> dict[str, Any]:
    """Train by GRPO with a factuality reward; see `_run_online` for facts and errors."""
    return _run_online(CreditGRPOTrainer, config)


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
    rows = read_training_rows(config.prompts)
    check_prompts(rows)
    if config.verifier is not None and config.index is None and not {"context", "references"} & set(rows.column_names):
        raise InvalidInput(f"{config.prompts} has no column 'context' or 'references'; add one, or set index")
    if config.verifier is not None:
        check_evidence(rows, indexed=config.index is not None)
    factuality = factuality_reward(config)
    tokenizer, model = load_trainable(config.model, out=config.output_dir, **model_options(config))
    preference = preference_reward(config, model)
    rewards = whole_reward(config, preference, factuality)
    rows = prompts_as_messages(
        rows, tokenizer, window=token_limit(model, None), max_completion_length=config.max_completion_length or 0
    )
    trainer = build_trainer(
        kind,
        config,
        model=model,
        reward_funcs=rewards,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=_callbacks(config, preference, factuality),
        **_options(config, factuality),
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


def _options(config: Any, factuality: FactualityReward | None) -> dict[str, Any]:
    """Arguments of the trainer that only some settings need."""
    options: dict[str, Any] = {}
    if config.sentence_credit and factuality is not None:
        options["credit"] = factuality.credited
    if getattr(config, "search_tool", False) and factuality is not None:
        options["tools"] = [search_tool(factuality.index, factuality.k)]
    return options
