"""An RLAIF run: from prompts and principles to a policy, in stages that resume.

    OUT/responses.jsonl, revisions.jsonl, examples.jsonl    answers, critiques and revisions; what is fine-tuned on
    OUT/sft/                                                the model fine-tuned on revisions
    OUT/samples.jsonl, labels.jsonl, pairs.jsonl            its answers, their labels by principles; the preferences
    OUT/human_labels.jsonl                                  labels of pairs that people labeled
    OUT/reward/, OUT/policy/                                the reward model, and the policy that is optimized against it
    OUT/report.json, report.html                            the report

Sources: Constitutional AI (arXiv 2212.08073) and RLAIF (arXiv 2309.00267). Not covered: what each stage of data does
(data.py) and the training runs (training/runs).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import write_text
from training.preferences.constitution import Principle, check_preferences, load_principles
from training.rlaif.data import (
    label_answers,
    label_human_pairs,
    make_revisions,
    sample_answers,
    write_examples,
    write_pairs,
)
from training.rlaif.page import write_rlaif_page
from training.rlaif.report import rlaif_report
from training.rlaif.settings import RLAIFConfig, TrainingStage, training_stages
from training.rows import check_output_folder, read_rows
from training.runs.row_checks import check_pairs, check_prompts
from training.runs.same_run import check_same_run, record_run

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["RLAIFConfig", "run_rlaif"]


def run_rlaif(config: RLAIFConfig) -> dict[str, Any]:
    """Run all stages, except those that the folder of the run has already.

    Returns:
        The number of prompts, the model (folder of the policy), the steps of all training runs, seconds, the facts of each
        training run by stage, and the report.

    Raises:
        InvalidInput: the prompts, principles, pairs or settings cannot be used (a row is named), the folder holds another
            run, or no answer or label can be learned from.
        ModelUnavailable: a model cannot be loaded.
        ModelResponseError: the labeler reports no log-probabilities.
        ContextOverflow: a prompt with its answers exceeds the context window of the model or the labeler.
    """
    start = time.perf_counter()
    prompts, principles, human_pairs = _checked(config)
    stages = {stage.name: stage for stage in training_stages(config)}
    _check_batch(stages["policy"], len(prompts))
    record_run(config)
    on_cpu = bool(stages["sft"].settings.use_cpu)
    first_model = _loader(config.model, on_cpu)
    revisions = make_revisions(config, prompts, principles, first_model)
    examples = write_examples(config, revisions)
    facts = {"sft": _trained(stages["sft"])}
    samples = sample_answers(config, prompts, _loader(str(stages["sft"].folder), on_cpu))
    labeler = _loader(config.labeler, on_cpu) if config.labeler is not None else first_model
    labels = label_answers(config, samples, principles, labeler)
    human_labels = label_human_pairs(config, human_pairs, principles, labeler) if human_pairs else []
    counts = write_pairs(config, labels)
    report = rlaif_report(
        principles, revisions, labels, human_labels, examples=examples, counts=counts, min_margin=config.min_margin
    )
    for name in ("reward", "policy"):
        if name in stages:
            facts[name] = _trained(stages[name])
    out = Path(config.output_dir)
    write_text(out / "report.json", json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n")
    logs = {name: stage.folder / "log.jsonl" for name, stage in stages.items()}
    write_rlaif_page(report, revisions, labels, logs, out / "report.html")
    return {
        "prompts": len(prompts),
        "model": str(stages["policy"].folder),
        "steps": sum(run["steps"] for run in facts.values()),
        "seconds": round(time.perf_counter() - start, 1),
        "stages": facts,
        "report": report.to_dict(),
    }


def _checked(config: RLAIFConfig) -> tuple[list[Any], list[Principle], list[dict[str, Any]]]:
    """Prompts, principles and pairs of people; everything that needs no model is checked."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidInput(
            "rlaif runs in one process; run halluc train sft, reward and the algorithm by themselves on the files of its "
            "stages"
        )
    out = Path(config.output_dir)
    check_output_folder(out)
    if (out / "settings.json").is_file():
        if not config.resume:
            raise InvalidInput(f"{out} holds a run; set resume to true to resume it, or name another output_dir")
        check_same_run(config)
    elif out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} holds something other than an RLAIF run; name a new folder")
    rows = read_rows(config.prompts)
    check_prompts(rows)
    principles = load_principles(config.principles)
    for name in ("revisions", "principles_per_label"):
        if getattr(config, name) > len(principles):
            raise InvalidInput(
                f"{name} is {getattr(config, name)}, but there are {len(principles)} principles; pass at most that"
            )
    check_preferences(principles)
    if config.human_pairs is None:
        return list(rows["prompt"]), principles, []
    human_pairs = read_rows(config.human_pairs)
    check_pairs(human_pairs, factuality=False)
    return list(rows["prompt"]), principles, human_pairs.to_list()


def _check_batch(policy: TrainingStage, prompts: int) -> None:
    """PPO refuses fewer prompts than a batch, but only after all of the other stages."""
    size = policy.settings.per_device_train_batch_size
    if policy.function.__name__ == "run_ppo" and policy.settings.prompts and prompts < size:
        raise InvalidInput(
            f"there are {prompts} prompts, and an iteration of PPO needs {size}; lower per_device_train_batch_size of policy"
        )


def _loader(name: str, on_cpu: bool) -> Callable[[], LanguageModel]:
    """A function that loads a model when it is first called, and keeps it."""
    loaded: list[LanguageModel] = []

    def load() -> LanguageModel:
        from halluc.cli.output import working
        from halluc.models import load_model
        from halluc.models.packaged_models import name_for_training

        if not loaded:
            options = {"device": "cpu"} if on_cpu and not name.lower().startswith(("http://", "https://")) else {}
            with working(f"loading {name}"):
                loaded.append(load_model(name_for_training(name), **options))
        return loaded[0]

    return load


def _trained(stage: TrainingStage) -> dict[str, Any]:
    """The facts of a training run: of this call, or of the run that is in its folder already."""
    finished = stage.folder / "run.json"
    if finished.is_file():
        facts: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))
        return facts
    return stage.function(stage.settings)
