"""One run of GRPO with a factuality reward, from a configuration to a trained model on disk.

Not here: the trainer, which is TRL's, and the reward (rewards.py, composite_reward.py).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.composite_reward import CompositeReward, length_reward
from training.pair_checks import read_rows
from training.reward_hacking import stop_on_reward_hacking
from training.reward_kinds import (
    RewardKind,
    binary_factuality,
    brier_confidence,
    claim_precision,
    log_confidence,
    ternary_truth,
)
from training.rewards import FactualityReward
from training.runs import (
    load_trainable,
    lora_config,
    read_plain_values,
    show_bars_on_a_terminal_only,
    token_limit,
    train_and_save,
)

__all__ = ["GRPORun", "run_grpo"]

_KINDS: dict[str, RewardKind] = {
    "precision": claim_precision,
    "binary": binary_factuality,
    "ternary": ternary_truth,
    "brier": brier_confidence,
    "log": log_confidence,
}


@dataclass
class GRPORun(GRPOConfig):
    """Settings of one run: those of TRL's `GRPOConfig`, and these.

    Attributes:
        model: "default", a folder or a hub id.
        prompts: folder or JSON-lines file with a column `prompt` (a string is one user turn), and `context` or `answers`
            unless there is an index.
        index: folder of a passage index to take evidence from.
        verifier: optimised against, as `halluc.load_verifier` names it.
        held_out_verifier: measured only; None for none.
        largest_gap_growth: growth of the gap between the two at which the run stops as reward hacking; None never stops it.
        kind: "precision", "binary", "ternary", "brier" or "log" (training/reward_kinds.py).
        factuality_weight: weight of the factuality reward.
        words: the least and the most words of a completion that costs nothing; None for any length.
        lora_rank: rank of LoRA on all linear layers; 0 trains every weight.
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
        beta: of the KL to the reference; TRL's default, 0, lets the policy drift wherever the verifier errs.
        resume: go on from the last checkpoint in `output_dir`, where there is one.
    """

    model: str = "default"
    prompts: str = ""
    index: str | None = None
    verifier: str = "default"
    held_out_verifier: str | None = None
    largest_gap_growth: float | None = None
    kind: str = "precision"
    factuality_weight: float = 1.0
    words: list[int] | None = None
    lora_rank: int = 16
    learning_rate: float = 2e-5
    beta: float = 0.04
    resume: bool = True

    def __post_init__(self) -> None:
        read_plain_values(self)
        show_bars_on_a_terminal_only(self)
        if not self.prompts:
            raise InvalidInput("prompts is not set; name a folder or file of prompts")
        if self.kind not in _KINDS:
            raise InvalidInput(f"kind is {self.kind!r}; choose from {', '.join(_KINDS)}")
        if self.words is not None and len(self.words) != 2:
            raise InvalidInput(f"words is {self.words}; pass two numbers, [least, most]")
        if self.largest_gap_growth is not None and self.held_out_verifier is None:
            raise InvalidInput("largest_gap_growth needs a held_out_verifier; name one")
        super().__post_init__()


def run_grpo(config: GRPORun) -> dict[str, Any]:
    """Check the prompts, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        Facts of the run as `train_and_save` gives them, the number of prompts, and the gap report if a verifier is held out;
        kept as run.json beside the model.

    Raises:
        InvalidInput: the prompts cannot be trained on (the row is named), a setting cannot be used, or a reward is not
            finite.
        ModelUnavailable: the model or a verifier cannot be had.
    """
    from halluc.verifiers import load_verifier
    from retrieval import PassageIndex

    rows = read_rows(config.prompts)
    tokenizer, model = load_trainable(config.model)
    limit = token_limit(model, None)
    rows = _checked_prompts(rows, tokenizer, limit, config)
    reward = FactualityReward(
        load_verifier(config.verifier),
        PassageIndex.open(config.index) if config.index else None,
        kind=_KINDS[config.kind],
        held_out_verifier=load_verifier(config.held_out_verifier) if config.held_out_verifier else None,
    )
    callbacks = (
        [stop_on_reward_hacking(reward, growth=config.largest_gap_growth)] if config.largest_gap_growth is not None else []
    )
    composite: Any = CompositeReward(
        factuality=reward,
        factuality_weight=config.factuality_weight,
        length=length_reward(*config.words) if config.words else None,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[composite],
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
        callbacks=callbacks,
    )
    facts = {"prompts": len(rows), **train_and_save(trainer, resume=config.resume)}
    if reward.measurements:
        facts["gap"] = reward.gap_report().to_dict()
    if trainer.is_world_process_zero():
        aside = Path(facts["model"]) / ".run.json"
        aside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        aside.replace(aside.with_name("run.json"))
    return facts


def _checked_prompts(rows: Any, tokenizer: Any, limit: int | None, config: GRPORun) -> Any:
    """The rows with every prompt a conversation, since a plain string would reach the model without its chat template."""
    if not len(rows):
        raise InvalidInput(f"{config.prompts} has no rows; at least one prompt is needed")
    if "prompt" not in rows.column_names:
        near = difflib.get_close_matches("prompt", rows.column_names, n=1)
        hint = f"did you call it {near[0]!r}?" if near else f"it has {', '.join(rows.column_names)}"
        raise InvalidInput(f"{config.prompts} has no column 'prompt'; {hint}")
    if config.index is None and not {"context", "answers"} & set(rows.column_names):
        raise InvalidInput(f"{config.prompts} has no column 'context' or 'answers'; add one, or set index")
    if not tokenizer.chat_template:
        raise InvalidInput(f"the tokenizer of {config.model} has no chat template; set tokenizer.chat_template")
    prompts = []
    for number, prompt in enumerate(rows["prompt"]):
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if not messages or not (messages[-1]["content"] or "").strip():
            raise InvalidInput(f"the prompt of row {number} of {config.prompts} is empty; drop the row")
        encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        count = len(encoded["input_ids"])
        if limit is not None and count + (config.max_completion_length or 0) > limit:
            raise InvalidInput(
                f"the prompt of row {number} has {count} tokens, which with max_completion_length "
                f"{config.max_completion_length} is over the window of {limit}; drop the row or lower max_completion_length"
            )
        prompts.append(messages)
    return rows.remove_columns("prompt").add_column("prompt", prompts)
