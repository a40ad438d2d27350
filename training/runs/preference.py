"""Runs on preference pairs: DPO with a factuality margin, ORPO, and a reward model.

Each reads its pairs, checks them, trains, and saves a model. Not covered: the trainers (training/trainers, and TRL for
ORPO), how pairs are made (training/preferences), and a trained reward model as a reward (training/rewards/model.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trl import DPOConfig, RewardConfig  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.evaluation.of_a_run import EvaluationSettings
from training.rewards.model import load_scorer
from training.runs.formats import read_training_rows
from training.runs.model import load_trainable, model_options, token_limit, trainable_path
from training.runs.row_checks import check_pair_lengths, check_pairs, fit_conversations
from training.runs.run import RunSettings, build_trainer, check_run, train_and_save, write_facts
from training.trainers.dpo import FactualityDPOTrainer
from training.trainers.reward import FactualityRewardTrainer
from training.trainers.soft_labels import SoftLabelRewardTrainer

with warnings.catch_warnings():
    # TRL warns that ORPO may move within it; the major version of TRL is pinned.
    warnings.simplefilter("ignore")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

__all__ = ["DPORun", "ORPORun", "PairSettings", "RewardRun", "run_dpo", "run_orpo", "run_reward"]


@dataclass
class PairSettings(RunSettings):
    """Settings of runs on preference pairs, in addition to `RunSettings`.

    Attributes:
        pairs: folder or JSON-lines file of preference pairs (`training.rows.read_rows`).
        eval_pairs: the same to evaluate on; None for none.
    """

    pairs: str = ""
    eval_pairs: str | None = None

    def check(self) -> None:
        """Check that pairs are named.

        Raises:
            InvalidInput: pairs is not set.
        """
        if not self.pairs:
            raise InvalidInput("pairs is not set; name a folder or file of preference pairs")


@dataclass
class DPORun(EvaluationSettings, PairSettings, DPOConfig):
    """Settings of a DPO run: TRL's `DPOConfig`, `EvaluationSettings`, `PairSettings`, and these.

    IPO, hinge and the other losses on log-ratios are values of `loss_type`.

    Attributes:
        factuality_weight: λ of the margin, at least 0 (`FactualityDPOTrainer`); above 0 the pairs need factuality columns.
        learning_rate: TRL's default, 1e-6, is for training all weights; adapters need more.
    """

    factuality_weight: float = 0.0
    learning_rate: float = 5e-5


@dataclass
class ORPORun(EvaluationSettings, PairSettings, ORPOConfig):
    """Settings of an ORPO run (arXiv 2403.07691): TRL's `ORPOConfig`, `EvaluationSettings`, `PairSettings`, and this.

    ORPO learns the chosen completion and the odds ratio together and needs no reference model.

    Attributes:
        learning_rate: TRL's default, 1e-6, is for training all weights; adapters need more.
    """

    learning_rate: float = 5e-5


@dataclass
class RewardRun(PairSettings, RewardConfig):
    """Settings of a reward-model run: TRL's `RewardConfig`, `PairSettings`, and these.

    GRPO and RLOO runs take its output folder as `preference`.

    Attributes:
        factuality_weight: λ of the factuality head, at least 0 (`FactualityRewardTrainer`); 0 adds no such head.
        soft_labels: learn the column `probability` of the pairs, that the chosen completion is better
            (`SoftLabelRewardTrainer`), in place of sure preferences.
    """

    factuality_weight: float = 0.0
    soft_labels: bool = False

    def check(self) -> None:
        """Check that pairs are named, and that there is one kind of label.

        Raises:
            InvalidInput: pairs is not set, there are soft labels and a factuality head, or a monitor is set.
        """
        super().check()
        if self.monitor_prompts is not None:
            raise InvalidInput("monitor_prompts is set, but a reward model replies to no prompts; leave it out")
        if self.soft_labels and self.factuality_weight:
            raise InvalidInput("soft_labels is set, and factuality_weight too; set one of them")


def run_dpo(config: DPORun) -> dict[str, Any]:
    """Train by DPO with a factuality margin; see `_run_on_pairs` for facts and errors."""
    return _run_on_pairs(FactualityDPOTrainer, config, factuality_weight=config.factuality_weight)


def run_orpo(config: ORPORun) -> dict[str, Any]:
    """Train by ORPO; see `_run_on_pairs` for facts and errors."""
    # TRL turns this off with a warning, since its collator needs the columns.
    config.remove_unused_columns = False
    return _run_on_pairs(ORPOTrainer, config)


def run_reward(config: RewardRun) -> dict[str, Any]:
    """Train a reward model; see `_run_on_pairs` for facts and errors."""
    if config.soft_labels:
        return _run_on_pairs(SoftLabelRewardTrainer, config, load=_load_scorer, task="SEQ_CLS")
    weight = config.factuality_weight
    return _run_on_pairs(FactualityRewardTrainer, config, load=_load_scorer, task="SEQ_CLS", factuality_weight=weight)


def _load_scorer(config: Any) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, set_seed

    # The language model itself is not loaded: its head would be dropped.
    path = trainable_path(config.model, out=config.output_dir)
    set_seed(config.seed)
    model = load_scorer(path, 2 if config.factuality_weight else 1, **model_options(config))
    return AutoTokenizer.from_pretrained(path), model


def _load(config: Any) -> tuple[Any, Any]:
    return load_trainable(config.model, out=config.output_dir, **model_options(config))


def _run_on_pairs(
    kind: Any, config: Any, *, load: Callable[[Any], tuple[Any, Any]] = _load, task: str = "CAUSAL_LM", **options: Any
) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model) to `config.output_dir`.

    Args:
        kind: class of the trainer.
        config: its settings, with `PairSettings`.
        load: gives the tokenizer and the model to train.
        task: task type of the adapter, as peft names it.
        options: of the trainer; if `factuality_weight` is above 0 the pairs need factuality columns.

    Returns:
        The number of pairs and the facts of `train_and_save`; written to run.json beside the model.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be loaded.
    """
    check_run(config)
    data_sets = [read_training_rows(path) for path in (config.pairs, config.eval_pairs) if path]
    for rows in data_sets:
        check_pairs(rows, factuality=options.get("factuality_weight", 0.0) > 0)
    tokenizer, model = load(config)
    data_sets = [fit_conversations(rows, tokenizer) for rows in data_sets]
    for rows in data_sets:
        check_pair_lengths(rows, tokenizer, token_limit(model, config.max_length))
    pairs, eval_pairs = (*data_sets, None)[:2]
    trainer = build_trainer(
        kind,
        config,
        task=task,
        model=model,
        train_dataset=pairs,
        eval_dataset=eval_pairs,
        processing_class=tokenizer,
        **options,
    )
    return write_facts(trainer, {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)})
