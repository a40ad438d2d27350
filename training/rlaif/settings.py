"""Settings of an RLAIF run, and the settings of the training runs that it consists of.

All of them are checked before any work is done. Not covered: the stages themselves (data.py, run.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput, check_integer, check_number
from training.preferences.pairing import PairOptions
from training.runs.config import config_from
from training.runs.run import check_run

__all__ = ["ALGORITHMS", "RLAIFConfig", "TrainingStage", "training_stages"]

# Algorithm, module, settings and function of the last stage.
ALGORITHMS = {
    "ppo": ("training.runs.online", "PPORun", "run_ppo"),
    "grpo": ("training.runs.online", "GRPORun", "run_grpo"),
    "rloo": ("training.runs.online", "RLOORun", "run_rloo"),
    "dpo": ("training.runs.preference", "DPORun", "run_dpo"),
}
# Settings of the stages that follow from those of the whole run.
_OURS = {
    "sft": ("model", "examples", "output_dir", "resume"),
    "reward": ("model", "pairs", "output_dir", "resume"),
    "policy": ("model", "pairs", "preference", "output_dir", "resume"),
}


@dataclass
class RLAIFConfig:
    """Settings of `halluc train rlaif`.

    Attributes:
        prompts: folder or JSON-lines file with a column `prompt` (a string is one user turn).
        output_dir: folder of the run; the same command resumes it.
        model: the model to train: "default", a folder or a hub id. It answers, criticizes and revises.
        labeler: the model that labels preferences, which may also be an endpoint that reports log-probabilities; None for
            `model` before training.
        principles: YAML file (`training.preferences.constitution`); None for the principles of factuality of this package.
        human_pairs: folder or JSON-lines file of preference pairs that people labeled (prompt, chosen, rejected), which are
            labeled by the labeler too, to measure agreement; None for none.
        revisions: rounds of critique and revision, each by a principle of its own.
        principles_per_label: principles whose votes are averaged in a label.
        pairs_per_prompt: pairs of answers that are sampled and labeled per prompt.
        temperature: of sampled answers, above 0; critiques and revisions are greedy.
        max_new_tokens: of an answer, a critique or a revision.
        batch_size: prompts per batch of generation.
        min_margin: least difference between the probabilities of the two answers for a pair to be learned, in (0, 1].
        max_length_ratio: most words of the longer answer of a pair per word of the shorter one, at least 1.
        algorithm: "ppo", "grpo" or "rloo" on the reward model, or "dpo" on the labels, without a reward model.
        training: settings of all training runs, such as {use_cpu: true}.
        sft, reward, policy: settings of the three training runs: of `SFTRun`, `RewardRun`, and the run of the algorithm.
        seed: of sampling, of the draws of principles, and of the training runs.
        resume: false refuses a folder that holds a run.
    """

    prompts: str = ""
    output_dir: str = ""
    model: str = "default"
    labeler: str | None = None
    principles: str | None = None
    human_pairs: str | None = None
    revisions: int = 1
    principles_per_label: int = 1
    pairs_per_prompt: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 128
    batch_size: int = 16
    min_margin: float = 0.1
    max_length_ratio: float = 2.0
    algorithm: str = "ppo"
    training: dict[str, Any] = field(default_factory=dict)
    sft: dict[str, Any] = field(default_factory=dict)
    reward: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    resume: bool = True

    def __post_init__(self) -> None:
        for name, kind in {"prompts": "a file of prompts", "output_dir": "a new folder"}.items():
            if not getattr(self, name):
                raise InvalidInput(f"{name} is not set; name {kind}")
        if self.algorithm not in ALGORITHMS:
            raise InvalidInput(f"algorithm is {self.algorithm!r}; choose from {', '.join(ALGORITHMS)}")
        if self.algorithm == "dpo" and self.reward:
            raise InvalidInput("reward has settings, but 'dpo' learns from the labels without a reward model; leave it out")
        for name in ("revisions", "principles_per_label", "pairs_per_prompt", "max_new_tokens", "batch_size"):
            check_integer(name, getattr(self, name), 1)
        check_number("temperature", self.temperature, 0)
        if self.temperature == 0:
            raise InvalidInput("temperature is 0, so that the answers of a pair would be equal; pass a number above 0")
        PairOptions(self.min_margin, self.max_length_ratio, self.batch_size)
        if self.min_margin > 1:
            raise InvalidInput(f"min_margin is {self.min_margin}; pass at most 1, since it is between two probabilities")


@dataclass(frozen=True)
class TrainingStage:
    """One of the training runs.

    Attributes:
        name: "sft", "reward" or "policy"; also the name of its folder.
        settings: of the run, a dataclass.
        function: runs it, and gives its facts.
    """

    name: str
    settings: Any
    function: Callable[[Any], dict[str, Any]]

    @property
    def folder(self) -> Path:
        """Where its model is."""
        return Path(self.settings.output_dir)


def training_stages(config: RLAIFConfig) -> list[TrainingStage]:
    """Make and check the settings of the training runs.

    Returns:
        The stages "sft", "reward" (not for DPO) and "policy", in order.

    Raises:
        InvalidInput: a setting is unknown, cannot be used, or follows from others.
    """
    out = Path(config.output_dir)
    start = str(out / "sft")
    stages = [
        _stage(config, "sft", ("training.runs.sft", "SFTRun", "run_sft"), model=config.model, examples="examples.jsonl")
    ]
    if config.algorithm == "dpo":
        stages.append(_stage(config, "policy", ALGORITHMS["dpo"], model=start, pairs="pairs.jsonl"))
        return stages
    reward = ("training.runs.preference", "RewardRun", "run_reward")
    stages.append(_stage(config, "reward", reward, model=start, pairs="pairs.jsonl", soft_labels=True))
    defaults = {"prompts": config.prompts, "verifier": None, "max_completion_length": config.max_new_tokens}
    stages.append(
        _stage(
            config, "policy", ALGORITHMS[config.algorithm], model=start, preference=str(out / "reward"), defaults=defaults
        )
    )
    return stages


def _stage(
    config: RLAIFConfig,
    name: str,
    run: tuple[str, str, str],
    *,
    defaults: Mapping[str, Any] | None = None,
    **ours: Any,
) -> TrainingStage:
    out = Path(config.output_dir)
    chosen = {**config.training, **getattr(config, name)}
    for key in chosen:
        if key in _OURS[name]:
            raise InvalidInput(f"{key} of {name} follows from the other settings of the run; leave it out")
    for key in ("examples", "pairs"):
        if key in ours:
            ours[key] = str(out / ours[key])
    module = import_module(run[0])
    values = {"seed": config.seed, **(defaults or {}), **ours, **chosen, "output_dir": str(out / name)}
    settings = config_from(getattr(module, run[1]), values, f"the settings of {name}")
    check_run(settings)
    return TrainingStage(name, settings, getattr(module, run[2]))
