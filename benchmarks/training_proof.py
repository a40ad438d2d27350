"""Does training with a factuality reward reduce hallucinations about entities that were never trained on?

The facts are which country a city is in (examples/cities), in three disjoint parts. On the first, SmolLM2 learns the form
of a reply but not when to use which: the answer or, for a random quarter of the questions, "I don't know.". On the second,
whose answers it is not shown, training continues in two ways:

- DPO with the factuality margin, on pairs of its own samples (`build_preference_pairs` with an abstention);
- GRPO with the ternary reward (1 right, 0 abstained, -1.5 wrong; arXiv 2509.25760).

On the third part all four models are asked the same questions, greedily. Side effects are measured on Wikipedia passages
(perplexity) and on another task (which of four meanings a Spanish word has). Run by training.py.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from figures import read_rows, show

ABSTENTION = "I don't know."
SYSTEM = "Answer with the country, or say: I don't know."
CITIES = Path(__file__).parent.parent / "examples" / "cities" / "cities.jsonl"
SHARE_ABSTAINING = 0.25
FORM_CITIES = 100
RUN = {
    "bf16": True, "use_cpu": True, "report_to": "none", "save_strategy": "no", "logging_steps": 5,
    "gradient_checkpointing": False, "resume": False,
}  # fmt: skip
SFT = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 2e-4}
DPO = {
    "num_train_epochs": 2, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": 2e-4,
    "factuality_weight": 1.0, "beta": 0.5, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0],
}  # fmt: skip
GRPO = {
    "max_steps": 60, "per_device_train_batch_size": 32, "num_generations": 8, "gradient_accumulation_steps": 1,
    "max_completion_length": 8, "learning_rate": 2e-4, "kind": "ternary", "kind_settings": {"wrong": -1.5}, "beta": 0.0,
}  # fmt: skip


def proof(data: Path, folder: Path, seeds: list[int], training_cities: int) -> None:
    rows = city_questions()
    form, rows = rows[:FORM_CITIES], rows[FORM_CITIES:]
    rewarded, held_out = rows[:training_cities], rows[training_cities:]
    side_effects = {"texts": read_rows(data / "xquad" / "passages.jsonl")[:10], "choices": spanish_words(data)[:80]}
    figures = {"base": [_evaluate("default", held_out, side_effects)]}
    _show("base", 0, figures["base"][0], held_out)
    for seed in seeds:
        for name, model in train(form, rewarded, folder / str(seed), seed).items():
            figures.setdefault(name, []).append(_evaluate(model, held_out, side_effects))
            _show(name, seed, figures[name][-1], held_out)
    for name, by_seed in figures.items():
        spread = {metric: _mean_and_spread([values[metric] for values in by_seed]) for metric in by_seed[0]}
        show("proof", model=name, seeds=len(by_seed), questions=len(held_out), **spread)


def city_questions() -> list[dict]:
    """Prompts with references."""
    return [
        {
            "prompt": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"Which country is {row['city']} in?"},
            ],
            "references": row["references"],
        }
        for row in read_rows(CITIES)
    ]


def spanish_words(data: Path) -> list[dict]:
    """Multiple-choice items: what a Spanish word means, among the meanings of three others."""
    true = [row["statement"] for row in read_rows(data / "true_false" / "sp_en_trans.jsonl") if int(row["label"])]
    meanings = [statement.rsplit(" means ", 1) for statement in true]
    generator = random.Random(0)
    rows = []
    for prefix, meaning in meanings:
        others = generator.sample(sorted({other for _, other in meanings} - {meaning}), 3)
        rows.append({"prefix": f"{prefix} means", "completions": [f" {text}" for text in [meaning, *others]], "right": 0})
    return rows


def train(form: list[dict], rewarded: list[dict], folder: Path, seed: int) -> dict[str, str]:
    """Train, and return the folder of the model after each stage."""
    from halluc import load_model, load_verifier
    from training import FactualityReward, build_preference_pairs
    from training.rewards.kinds import ternary_truth
    from training.runs.online import GRPORun, run_grpo
    from training.runs.preference import DPORun, run_dpo
    from training.runs.sft import SFTRun, run_sft

    def run(function, settings, name: str, options: dict, **inputs) -> str:
        config = settings(output_dir=str(folder / name), seed=seed, **RUN, **options, **inputs)
        with redirect_stdout(sys.stderr):
            facts = function(config)
        show("run", of=name, seed=seed, seconds=facts["seconds"], steps=facts["steps"])
        gc.collect()
        return facts["model"]

    generator = random.Random(seed)
    targets = [ABSTENTION if generator.random() < SHARE_ABSTAINING else row["references"][0] for row in form]
    examples = [
        {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": target}]}
        for row, target in zip(form, targets, strict=True)
    ]
    sft = run(run_sft, SFTRun, "sft", SFT, examples=_write(folder / "examples.jsonl", examples))
    pairs = build_preference_pairs(
        load_model(sft, device="cpu"), [row["prompt"] for row in rewarded],
        FactualityReward(load_verifier(), kind=ternary_truth), abstention=ABSTENTION,
        columns={"references": [row["references"] for row in rewarded]}, max_new_tokens=8, batch_size=50, seed=seed,
        out=folder / "pairs",
    )  # fmt: skip
    show("pairs", seed=seed, prompts=len(rewarded), pairs=len(pairs),
         abstention_chosen=sum(pair["chosen"][0]["content"] == ABSTENTION for pair in pairs))  # fmt: skip
    dpo = run(run_dpo, DPORun, "dpo", DPO, model=sft, pairs=str(folder / "pairs"))
    prompts = _write(folder / "prompts.jsonl", rewarded)
    grpo = run(run_grpo, GRPORun, "grpo", GRPO, model=sft, prompts=prompts)
    return {"sft": sft, "dpo": dpo, "grpo": grpo}


def _evaluate(model: str, held_out: list[dict], side_effects: dict[str, list[dict]]) -> dict[str, float]:
    from halluc import load_model
    from training import evaluate_factuality

    evaluation = evaluate_factuality(load_model(model, device="cpu"), held_out, **side_effects, max_new_tokens=12)
    return {name: float(value) for name, value in evaluation.metrics().items() if value is not None}


def _show(model: str, seed: int, figures: dict[str, float], held_out: list[dict]) -> None:
    show("proof of one seed", model=model, seed=seed, questions=len(held_out), **figures)


def _mean_and_spread(values: list[float]) -> list[float]:
    """Mean, and the standard deviation over seeds (0 for one)."""
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _write(path: Path, rows: list[dict]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
