"""Which rewards pay a policy for something other than true answers? GRPO with each kind, judged by a verifier with evidence.

The task is that of the proof, which the policies start from after SFT, but a reward does not see the references: a verifier
judges completions by a sentence that names the country of the city. What the policies then answer to held-out questions is
graded by the references. Kinds that pay for stated confidence are left out, since the form has none. Run by training.py.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from figures import show
from training_proof import RUN, WRONG, city_parts, starting_model, train

KINDS = {
    "precision": {},
    "binary": {},
    "contradictions only": {"kind": "binary", "kind_settings": {"least_supported": 0.0}},
    "ternary": {"kind_settings": {"wrong": WRONG}},
}
GRPO = {
    "max_steps": 24, "per_device_train_batch_size": 32, "num_generations": 8, "max_completion_length": 20,
    "learning_rate": 4e-4, "beta": 0.0,
}  # fmt: skip
HELD_OUT_VERIFIER = "large"


def gaming(folder: Path, seed: int, training_cities: int, *, minutes: float) -> None:
    """Train and measure each kind that has no results yet, until the time is up; print those that have."""
    deadline = time.monotonic() + 60 * minutes
    form, rewarded, held_out = city_parts(training_cities)
    start = folder / str(seed)
    if not (start / "sft" / "run.json").is_file():
        train("sft", form, rewarded, start, seed, model=str(starting_model(folder / "start")))
    for name in ["before", *KINDS]:
        results = folder / f"gaming-{name}-{seed}.json"
        if not results.is_file() and time.monotonic() < deadline:
            model = start / "sft" if name == "before" else _trained(name, rewarded, folder, seed)
            results.write_text(json.dumps(_measures(str(model), held_out)))
        if results.is_file():
            show("gaming", reward=name, seed=seed, questions=len(held_out), **json.loads(results.read_text()))


def _trained(name: str, rewarded: list[dict], folder: Path, seed: int) -> Path:
    from training.runs.online import GRPORun, run_grpo

    prompts = folder / "gaming.jsonl"
    rows = [{"prompt": row["prompt"], "context": evidence(row)} for row in rewarded]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = folder / str(seed) / f"gaming-{name}"
    settings = {"kind": name, **RUN, **GRPO, **KINDS[name]}
    with redirect_stdout(sys.stderr):
        run_grpo(
            GRPORun(model=str(folder / str(seed) / "sft"), prompts=str(prompts), output_dir=str(out), seed=seed, **settings)
        )
    return out


def evidence(row: dict) -> str:
    return f"{row['prompt'][-1]['content']} is a city in {row['references'][0]}."


def _measures(model: str, held_out: list[dict]) -> dict[str, float]:
    """How good the greedy replies are by the references and by two verifiers, and how they are made."""
    from halluc import load_model, load_verifier
    from training import FactualityReward, evaluate_factuality
    from training.monitoring.measures import text_measures

    evaluation = evaluate_factuality(load_model(model, device="cpu"), held_out, max_new_tokens=20)
    replies = [row.reply for row in evaluation.questions]
    logged: dict[str, float] = {}
    reward = FactualityReward(load_verifier(), held_out_verifier=load_verifier(HELD_OUT_VERIFIER))
    prompts, passages = [row["prompt"] for row in held_out], [evidence(row) for row in held_out]
    reward(prompts=prompts, completions=replies, context=passages, log_metric=logged.__setitem__)
    shares = {name: float(evaluation.metrics()[name]) for name in ("right", "wrong", "abstained")}
    judged = {
        name: logged[f"factuality/{name}"] for name in ("claims", "support", "held_out_support", "held_out_gap", "hedged")
    }
    # How few different replies there are: one reply to every question names no country in particular.
    return {**shares, **judged, **text_measures(replies), "different_replies": len(set(replies)) / len(replies)}
