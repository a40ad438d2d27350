"""A run that compares rules of aggregation: sampled answers, the utility of each for every group, and what the rules choose.

    OUT/samples.jsonl        answers of the model
    OUT/utilities.jsonl      the utilities of each answer
    OUT/report.json          what every group gets from each rule, and the price it pays

Not covered: the rules (training/pluralism) and training with them (`groups` of the online runs).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput, check_integer, check_number
from halluc.files import write_text
from retrieval.files import whole_characters
from training.pluralism.aggregation import check_rule
from training.pluralism.choices import compare_rules
from training.preferences.constitution import check_preferences, load_principles
from training.preferences.principle_reward import PrincipleReward
from training.preferences.stage_file import build_stage
from training.rewards.completions import as_messages
from training.rewards.model import RewardModel
from training.rows import check_output_folder, read_rows
from training.runs.row_checks import check_prompts
from training.runs.same_run import check_same_run, record_run

__all__ = ["PluralismConfig", "run_pluralism"]


@dataclass
class PluralismConfig:
    """Settings of `halluc train pluralism`.

    Attributes:
        prompts: folder or JSON-lines file with a column `prompt` (a string is one user turn).
        output_dir: folder of the run; the same command resumes it.
        model: the model that answers.
        groups: by name, what each group wants: a YAML file of principles (training/preferences/constitution.py), or the
            folder of a reward model (`halluc train reward`).
        judge: model that judges answers by principles; None for `model`.
        weights: by name of the group, for the mixture; None for no mixture.
        n_samples: answers per prompt, at least 2.
        temperature: of sampling, above 0.
        max_new_tokens: of an answer.
        batch_size: prompts per batch.
        seed: of sampling.
    """

    prompts: str = ""
    output_dir: str = ""
    model: str = "default"
    groups: dict[str, str] = field(default_factory=dict)
    judge: str | None = None
    weights: dict[str, float] | None = None
    n_samples: int = 4
    temperature: float = 1.0
    max_new_tokens: int = 96
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in {"prompts": "a file of prompts", "output_dir": "a new folder"}.items():
            if not getattr(self, name):
                raise InvalidInput(f"{name} is not set; name {kind}")
        if len(self.groups) < 2:
            raise InvalidInput(f"groups has {len(self.groups)} groups; name at least two, each with principles or a model")
        if self.weights is not None:
            if set(self.weights) != set(self.groups):
                raise InvalidInput(
                    f"weights are of {', '.join(self.weights)}; pass one for each of {', '.join(self.groups)}"
                )
            check_rule("mixture", len(self.groups), list(self.weights.values()))
        check_integer("n_samples", self.n_samples, 2)
        for name in ("max_new_tokens", "batch_size"):
            check_integer(name, getattr(self, name), 1)
        check_number("temperature", self.temperature, 0)
        if self.temperature == 0:
            raise InvalidInput("temperature is 0, so that all answers to a prompt would be equal; pass a number above 0")


def run_pluralism(config: PluralismConfig) -> dict[str, Any]:
    """Sample, score and compare.

    The utility of an answer is a probability for principles; for a reward model it is its score, standardized over all
    answers and moved so that the least is 0.

    Returns:
        The number of prompts, of answers per prompt, seconds, and the outcomes of the rules (`RuleOutcome`); written to
        report.json.

    Raises:
        InvalidInput: the prompts, groups or settings cannot be used, or the folder holds another run.
        ModelUnavailable: a model cannot be loaded.
        ModelResponseError: the judge reports no log-probabilities.
    """
    import numpy as np

    start = time.perf_counter()
    out = Path(config.output_dir)
    check_output_folder(out)
    if (out / "settings.json").is_file():
        check_same_run(config)
    elif out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} holds something other than such a run; name a new folder")
    rows = read_rows(config.prompts)
    check_prompts(rows)
    scorers = _scorers(config)
    record_run(config)
    conversations = [as_messages(prompt) for prompt in rows["prompt"]]
    samples = _samples(config, conversations, out)
    utilities = _utilities(config, samples, scorers, out)
    groups = list(config.groups)
    weights = [config.weights[name] for name in groups] if config.weights is not None else None
    table = np.array([[[answer[name] for name in groups] for answer in row["utilities"]] for row in utilities])
    for number, name in enumerate(groups):
        if not _is_principles(config.groups[name]):
            column = table[:, :, number]
            column = column / max(float(column.std()), 1e-12)
            table[:, :, number] = column - column.min()
    outcomes = compare_rules(table, groups, weights=weights)
    facts = {
        "prompts": len(rows),
        "n_samples": config.n_samples,
        "seconds": round(time.perf_counter() - start, 1),
        "rules": [outcome.to_dict() for outcome in outcomes],
    }
    write_text(out / "report.json", json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    return facts


def _is_principles(source: str) -> bool:
    return source.endswith((".yaml", ".yml"))


def _scorers(config: PluralismConfig) -> Mapping[str, Callable[[], Any]]:
    """By group, a function that loads its reward; principles are read and checked now, folders too."""
    loaded: dict[str, Any] = {}

    def judge() -> Any:
        from halluc.models import load_model
        from halluc.models.packaged_models import name_for_training

        if "judge" not in loaded:
            loaded["judge"] = load_model(name_for_training(config.judge or config.model))
        return loaded["judge"]

    def of(name: str, source: str) -> Callable[[], Any]:
        if _is_principles(source):
            principles = load_principles(source)
            check_preferences(principles)
            return lambda: PrincipleReward(judge(), principles)
        if not Path(source).is_dir():
            raise InvalidInput(
                f"the group {name} is {source!r}; name a YAML file of principles or a folder of a reward model"
            )
        return lambda: RewardModel(source)

    return {name: of(name, source) for name, source in config.groups.items()}


def _samples(config: PluralismConfig, conversations: list[Any], out: Path) -> list[dict[str, Any]]:
    loaded: list[Any] = []

    def sample(numbers: range) -> list[dict[str, Any]]:
        from halluc.models import load_model
        from halluc.models.packaged_models import name_for_training

        if not loaded:
            loaded.append(load_model(name_for_training(config.model)))
        sampled = loaded[0].generate(
            [conversations[number] for number in numbers],
            n=config.n_samples,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed + numbers.start // config.batch_size,
        )
        return [
            {
                "row": number,
                "prompt": conversations[number],
                "answers": [whole_characters(answer.text).strip() for answer in answers],
            }
            for number, answers in zip(numbers, sampled, strict=True)
        ]

    return build_stage(out / "samples.jsonl", len(conversations), config.batch_size, sample, "sampling answers")


def _utilities(
    config: PluralismConfig, samples: list[dict[str, Any]], scorers: Mapping[str, Callable[[], Any]], out: Path
) -> list[dict[str, Any]]:
    loaded: dict[str, Any] = {}

    def score(numbers: range) -> list[dict[str, Any]]:
        for name, load in scorers.items():
            if name not in loaded:
                loaded[name] = load()
        prompts = [samples[number]["prompt"] for number in numbers for _ in samples[number]["answers"]]
        texts = [text for number in numbers for text in samples[number]["answers"]]
        completions = [[{"role": "assistant", "content": text}] for text in texts]
        scores = {name: iter(reward(prompts=prompts, completions=completions)) for name, reward in loaded.items()}
        return [
            {
                "row": number,
                "utilities": [{name: next(values) for name, values in scores.items()} for _ in samples[number]["answers"]],
            }
            for number in numbers
        ]

    return build_stage(out / "utilities.jsonl", len(samples), config.batch_size, score, "scoring answers")
