"""Step times of the trainers of this package as multiples of those of TRL, and the cost of rewards. Run by training.py.

Both trainers of a ratio work on the same batches in one process; they alternate, and so does which of them goes first.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from figures import read_rows, show
from memory import PeakMemory

EXAMPLES = Path(__file__).parent.parent / "examples" / "training"
COMMON = {"report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "seed": 0}
# One pass over a batch for both.
ONLINE = {**COMMON, "per_device_train_batch_size": 8, "max_completion_length": 16, "learning_rate": 1e-5}


PAIR_TRAINERS = ("dpo with margin", "kto of sentences", "reward model with factuality", "reward model of soft labels")
ONLINE_TRAINERS = ("grpo with credit", "ppo / grpo")


def pair_steps(data: Path, folder: Path, rounds: int, names: Sequence[str]) -> None:
    """DPO, KTO and reward models on HaluEval pairs."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

    from training import FactualityDPOTrainer, pairs_from_answers
    from training.rewards.credit import located_sentences
    from training.runs.kto import label_by_factuality
    from training.trainers.kto import SentenceKTOTrainer
    from training.trainers.reward import FactualityRewardTrainer
    from training.trainers.soft_labels import SoftLabelRewardTrainer

    rows = read_rows(data / "halueval" / "qa_one_turn.jsonl")[:200]
    answers = ([row[name] for row in rows] for name in ("question", "right_answer", "hallucinated_answer"))
    pairs = pairs_from_answers(*answers)
    soft = pairs.add_column("probability", [0.8] * len(pairs))
    completions = label_by_factuality(pairs)
    sentences = [
        [{"text": row["completion"][-1]["content"], "start": 0, "credit": 1 if row["label"] else -1}] for row in completions
    ]
    labeled = completions.add_column("sentences", sentences)
    cases = {
        "dpo with margin": (DPOConfig, FactualityDPOTrainer, DPOTrainer, pairs, {"factuality_weight": 1.0}),
        "kto of sentences": (
            KTOConfig, SentenceKTOTrainer, KTOTrainer, labeled, {"sentence_weight": 1.0, "locate": located_sentences},
        ),
        "reward model with factuality": (
            RewardConfig, FactualityRewardTrainer, RewardTrainer, pairs, {"factuality_weight": 1.0},
        ),
        "reward model of soft labels": (RewardConfig, SoftLabelRewardTrainer, RewardTrainer, soft, {}),
    }  # fmt: skip
    for name in names:
        config, ours, theirs, dataset, options = cases[name]
        outputs = (2 if options else 1) if config is RewardConfig else 0
        rows = dataset.to_dict()
        settings = config(str(folder / "pairs"), max_length=256, **COMMON)
        trainers = [
            _trainer(ours, settings, outputs, train_dataset=Dataset.from_dict(rows), **options),
            _trainer(theirs, settings, min(outputs, 1), train_dataset=Dataset.from_dict(rows)),
        ]
        generator = random.Random(0)
        batches = [generator.sample(range(len(trainers[0].train_dataset)), 2) for _ in range(rounds + 1)]
        steps = [_steps_on_rows(trainer, batches) for trainer in trainers]
        compare(name, *steps, rounds=rounds, examples_per_step=2, bar=1.02 if name.startswith("dpo") else None)


def online_steps(data: Path, folder: Path, rounds: int, names: Sequence[str]) -> None:
    """GRPO with credit for sentences, and PPO, as multiples of TRL's GRPO, with a reward that costs nothing."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from training.trainers.grpo import CreditGRPOTrainer
    from training.trainers.ppo import PPOConfig, PPOTrainer

    questions = read_rows(data / "xquad" / "questions.jsonl")[:64]
    rows = [{"prompt": [{"role": "user", "content": row["question"]}]} for row in questions]
    groups = {"num_generations": 4, "beta": 0.04}
    tokens: dict[str, int] = {}

    def reward(name: str) -> Callable[..., list[float]]:
        def by_parity(*, completion_ids, **_columns) -> list[float]:
            tokens[name] = tokens.get(name, 0) + sum(map(len, completion_ids))
            return [float(number % 2) for number in range(len(completion_ids))]

        return by_parity

    def halves(_tokenizer, ids, _mask, advantages):
        """Credit that costs nothing: the first half of the tokens is contradicted."""
        signs = (advantages if advantages.dim() == 2 else advantages[:, None].expand(ids.shape)).clone()
        signs[:, : ids.shape[1] // 2] *= -1
        return signs

    def trainer(key: str, kind: Any, config: Any, **options) -> Any:
        return _trainer(kind, config, 0, train_dataset=Dataset.from_list(rows), reward_funcs=[reward(key)], **options)

    generator = random.Random(0)
    batches = [generator.sample(rows, 8) for _ in range(rounds + 1)]
    grouped = [[row for row in batch[:2] for _ in range(4)] for batch in batches]
    theirs = trainer("theirs", GRPOTrainer, GRPOConfig(str(folder / "grpo"), **ONLINE, **groups))
    for name in names:
        if name == "grpo with credit":
            config = GRPOConfig(str(folder / "credit"), **ONLINE, **groups)
            ours, prompts = trainer("ours", CreditGRPOTrainer, config, credit=halves), grouped
        else:
            config = PPOConfig(str(folder / "ppo"), **ONLINE, num_mini_batches=1, num_ppo_epochs=1)
            ours, prompts = trainer("ours", PPOTrainer, config), batches
        tokens.clear()
        compare(
            name, _steps_of(ours, prompts), _steps_of(theirs, grouped), rounds=rounds, completions_per_step=8,
            tokens=lambda: [tokens["ours"], tokens["theirs"]],
        )  # fmt: skip


def compare(name: str, ours: Callable[[int], None], theirs: Callable[[int], None], *, rounds: int, **facts) -> None:
    """Print the ratio of two step times: the median over rounds, with its quartiles and interval."""
    ratios, seconds = [], []
    for number in range(rounds + 1):
        elapsed = {}
        for step in (ours, theirs) if number % 2 else (theirs, ours):
            start = np.array([time.perf_counter(), time.process_time()])
            step(number)
            elapsed[step] = np.array([time.perf_counter(), time.process_time()]) - start
        # The first round is a warm-up for both.
        if number:
            ratios.append(elapsed[ours] / elapsed[theirs])
            seconds.append(elapsed[theirs][1])
    values = {key: value() if callable(value) else value for key, value in facts.items() if value is not None}
    # Processor time does not depend on what else the machine is doing.
    for clock, column in zip(("wall", "processor"), np.transpose(ratios), strict=True):
        low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
        show("step time", of=name, clock=clock, ratio=middle, quartiles=[low, high],
             interval_of_median=_median_interval(column), seconds_per_step_of_trl=float(np.median(seconds)), rounds=rounds,
             **values)  # fmt: skip


def grpo_scoring(data: Path, folder: Path, steps: int) -> None:
    """The share of a step of `halluc train grpo` in which completions are scored, with the settings of examples/training."""
    from training import FactualityReward
    from training.runs.config import load_config
    from training.runs.online import GRPORun, run_grpo

    passages = {row["id"]: row["text"] for row in read_rows(data / "xquad" / "passages.jsonl")}
    questions = read_rows(data / "xquad" / "questions.jsonl")
    random.Random(0).shuffle(questions)
    rows = [
        {"prompt": f"{passages[row['passage_id']]}\n\n{row['question']}", "context": passages[row["passage_id"]]}
        for row in questions[: 2 * steps]
    ]
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [f"prompts={prompts}", f"output_dir={folder / 'grpo'}", f"max_steps={steps}", "use_cpu=true", "bf16=false"]
    config = load_config(GRPORun, EXAMPLES / "grpo.yaml", [*settings, "report_to=none", "save_strategy='no'"])
    scoring = []
    score = FactualityReward.__call__

    def timed(reward, **arguments):
        start = time.perf_counter()
        rewards = score(reward, **arguments)
        scoring.append(time.perf_counter() - start)
        return rewards

    FactualityReward.__call__ = timed
    try:
        with redirect_stdout(sys.stderr), PeakMemory() as memory:
            run_grpo(config)
    finally:
        FactualityReward.__call__ = score
    logs = read_rows(folder / "grpo" / "log.jsonl")
    step_times = [line["step_time"] for line in logs if "step_time" in line]
    shares = [seconds / step for seconds, step in zip(scoring, step_times, strict=True)]
    show(
        "grpo scoring",
        share=sum(scoring) / sum(step_times),
        largest_share=max(shares),
        seconds_scoring=sum(scoring) / steps,
        seconds_per_step=sum(step_times) / steps,
        completions_per_step=config.per_device_train_batch_size,
        steps=steps,
        claims_per_completion=_mean("factuality/claims", logs),
        completion_tokens=_mean("completions/mean_length", logs),
        peak_mib=memory.peak_mib,
        bar=0.2,
    )


def shared_memory(folder: Path) -> None:
    """Memory that a reward model takes beside the policy: its own copy of the weights, and shared ones; and scoring time."""
    from peft import get_peft_model

    from training.rewards.model import RewardModel, load_scorer
    from training.runs.model import load_trainable, lora_config, trainable_path

    path = trainable_path("default")
    tokenizer, policy = load_trainable("default")
    scorer = get_peft_model(load_scorer(path, 1), lora_config(16, "SEQ_CLS"))
    scorer.save_pretrained(folder / "reward")
    tokenizer.save_pretrained(folder / "reward")
    del scorer
    prompts = [[{"role": "user", "content": f"Question {number}?"}] for number in range(16)]
    answers = [[{"role": "assistant", "content": "An answer of a few words, as models give them."}]] * 16
    # Weights that no one has read yet are not in memory.
    for parameter in policy.parameters():
        parameter.sum()
    for name, shared in (("own copy", None), ("shared", policy)):
        with PeakMemory() as memory:
            model = RewardModel(folder / "reward", policy=shared)
        model.scores(prompts, answers)
        start = time.process_time()
        model.scores(prompts, answers)
        show("reward model beside its policy", weights=name, resident_mib=memory.after_mib - memory.before_mib,
             peak_mib=memory.peak_mib - memory.before_mib, seconds_per_16=time.process_time() - start)  # fmt: skip
        del model


def _trainer(kind, config, outputs: int, **options):
    """A trainer of the default model with an adapter, ready for `training_step`; outputs of a score head, or 0."""
    from transformers import AutoTokenizer

    from training.rewards.model import load_scorer
    from training.runs.model import load_trainable, lora_config, trainable_path

    if outputs:
        path = trainable_path("default")
        tokenizer, model = AutoTokenizer.from_pretrained(path), load_scorer(path, outputs)
    else:
        tokenizer, model = load_trainable("default")
    adapter = lora_config(16, "SEQ_CLS" if outputs else "CAUSAL_LM")
    with redirect_stdout(sys.stderr):
        trainer = kind(model=model, args=config, processing_class=tokenizer, peft_config=adapter, **options)
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def _steps_on_rows(trainer, batches: list[list[int]]) -> Callable[[int], None]:
    return _steps_of(trainer, [[trainer.train_dataset[i] for i in batch] for batch in batches], trainer.data_collator)


def _steps_of(trainer, batches: list, collate: Callable = lambda rows: rows) -> Callable[[int], None]:
    """Steps with forward, backward and optimizer; those of online trainers sample first."""

    def step(number: int) -> None:
        trainer.model.train()
        trainer.training_step(trainer.model, collate(batches[number]), None)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        trainer.state.global_step += 1

    return step


def _mean(name: str, logs: list[dict]) -> float:
    return float(np.mean([line[name] for line in logs if "step_time" in line]))


def _median_interval(values) -> list[float]:
    """The 95 % bootstrap interval of the median."""
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(values, (2000, len(values))), axis=1)
    return list(np.quantile(medians, [0.025, 0.975]))
