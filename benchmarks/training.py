"""Cost of the factuality objectives compared with TRL's own steps, with the default model and LoRA.

Prints one JSON line per figure. `--part speed`:

- dpo step time: ratio of a step of `FactualityDPOTrainer` to one of TRL's `DPOTrainer` (forward, backward, optimizer) on the
  same batch of HaluEval pairs; the two alternate in this process, and so does which of them goes first.
- grpo scoring: share of the time of a `halluc train grpo` step that `FactualityReward` with the default verifier takes, on
  XQuAD questions with their passages and the settings of examples/training/grpo.yaml.

`--part proof`: right, wrong and abstained answers on held-out entities, before and after training; see training_proof.py.

    python benchmarks/training.py --data DATA --part speed
    python benchmarks/training.py --data DATA --part proof
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from figures import read_rows, show
from training_proof import STAGES, proof

# This script has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

ONLINE_AND_PREFERENCE = [name for name in STAGES if name != "sft"]
EXAMPLES = Path(__file__).parent.parent / "examples" / "training"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--part", choices=["speed", "proof"], default="speed")
    parser.add_argument("--rounds", type=int, default=20, help="DPO steps per trainer; 0 for none")
    parser.add_argument("--steps", type=int, default=8, help="GRPO steps; 0 for none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the proof")
    parser.add_argument("--cities", type=int, default=170, help="cities in the reward training of the proof")
    parser.add_argument("--stages", nargs="+", choices=ONLINE_AND_PREFERENCE, default=ONLINE_AND_PREFERENCE)
    parser.add_argument("--minutes", type=float, default=1e9, help="time after which the proof begins no other stage")
    parser.add_argument("--keep", type=Path, help="folder for the models and results of the proof, which it resumes from")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.part == "proof":
            keep = arguments.keep or Path(folder)
            proof(
                arguments.data, keep, arguments.seeds, arguments.cities, stages=arguments.stages, minutes=arguments.minutes
            )
            return
        if arguments.rounds:
            dpo_step_time(arguments.data, Path(folder), arguments.rounds)
        if arguments.steps:
            grpo_scoring(arguments.data, Path(folder), arguments.steps)


# -- speed ---------------------------------------------------------------------------------------------------------------


def dpo_step_time(data: Path, folder: Path, rounds: int) -> None:
    from trl import DPOConfig, DPOTrainer

    from training import FactualityDPOTrainer, pairs_from_answers
    from training.runs.model import load_trainable, lora_config

    rows = read_rows(data / "halueval" / "qa_one_turn.jsonl")
    pairs = pairs_from_answers(
        *([row[name] for row in rows] for name in ("question", "right_answer", "hallucinated_answer"))
    )

    def build(kind, name: str, **options):
        tokenizer, model = load_trainable("default")
        config = DPOConfig(
            str(folder / name), learning_rate=5e-5, max_length=512, bf16=False, gradient_checkpointing=False, use_cpu=True,
            report_to="none", seed=0,
        )  # fmt: skip
        trainer = kind(
            model=model, args=config, train_dataset=pairs, processing_class=tokenizer, peft_config=lora_config(16), **options
        )
        trainer.create_optimizer()
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    ours = build(FactualityDPOTrainer, "ours", factuality_weight=1.0)
    theirs = build(DPOTrainer, "theirs")
    generator = random.Random(0)
    ratios, seconds = [], []
    for number in range(rounds + 1):
        batch = generator.sample(range(len(pairs)), 2)
        elapsed = {}
        for trainer in (ours, theirs) if number % 2 else (theirs, ours):
            start = time.perf_counter(), time.process_time()
            trainer.training_step(trainer.model, trainer.data_collator([trainer.train_dataset[i] for i in batch]))
            trainer.optimizer.step()
            trainer.optimizer.zero_grad()
            elapsed[trainer] = np.array([time.perf_counter(), time.process_time()]) - start
        # The first round is a warm-up for both.
        if number:
            ratios.append(elapsed[ours] / elapsed[theirs])
            seconds.append(elapsed[theirs][0])
    # Processor time does not depend on what else the machine is doing.
    for clock, values in zip(("wall", "processor"), np.transpose(ratios), strict=True):
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        show("dpo step time", clock=clock, ratio=middle, quartiles=[low, high], interval_of_median=_median_interval(values),
             seconds_per_step=float(np.median(seconds)), pairs_per_step=2, rounds=rounds, bar=1.02)  # fmt: skip


def grpo_scoring(data: Path, folder: Path, steps: int) -> None:
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
        with redirect_stdout(sys.stderr):
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
        bar=0.2,
    )


def _mean(name: str, logs: list[dict]) -> float:
    return float(np.mean([line[name] for line in logs if "step_time" in line]))


def _median_interval(values) -> list[float]:
    """The 95 % bootstrap interval of the median."""
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(values, (2000, len(values))), axis=1)
    return list(np.quantile(medians, [0.025, 0.975]))


if __name__ == "__main__":
    main()
