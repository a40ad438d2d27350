"""RLAIF from prompts to a policy: its files, its report, and runs that are killed in every stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from curves import largest_difference
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.preferences.constitution import Principle
from training.preferences.stage_file import build_stage
from training.rlaif.report import rlaif_report
from training.rlaif.run import run_rlaif
from training.rlaif.settings import RLAIFConfig, training_stages
from training.runs.config import config_from

TRAINING = {
    "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "lora_rank": 2, "max_steps": 4, "save_steps": 2,
    "per_device_train_batch_size": 2, "logging_steps": 1, "learning_rate": 5e-3, "report_to": "none",
}  # fmt: skip
# The command, in processes that kill themselves, each at a stage: in the second batch of its data, or while it writes a
# checkpoint. They are forked from one that has imported what takes long.
KILLED = """
import json, os, signal, sys
import datasets, halluc, peft, spacy, torch, transformers, trl
from pathlib import Path
from transformers import Trainer
import training.rlaif.data as data
import training.rlaif.run
from halluc.cli.main import main
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def run_until(stage):
    def build(path, rows, batch_size, make_batch, activity, build=data.build_stage):
        def batch(numbers):
            return die() if path.stem == stage and numbers.start else make_batch(numbers)
        return build(path, rows, batch_size, batch, activity)
    def save(trainer, folder, save=Trainer._save_rng_state):
        if trainer.args.output_dir.endswith(stage) and trainer.state.global_step == 4:
            die()
        save(trainer, folder)
    data.build_stage, Trainer._save_rng_state = build, save
    main()
for stage, left in json.loads(sys.argv.pop(1)).items():
    child = os.fork()
    if child == 0:
        try:
            run_until(stage)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, stage
    assert Path(left).exists(), left
    if left.endswith(".jsonl"):
        # A process that was killed may have written a part of a line.
        with open(left, "a") as file:
            file.write('{"row": 2, "prom')
"""
# Every stage that generates, labels or trains; what is there after the process was killed in it.
STAGES = {
    "responses": "responses.partial.jsonl",
    "revisions": "revisions.partial.jsonl",
    "sft": "sft/checkpoint-4/adapter_model.safetensors",
    "samples": "samples.partial.jsonl",
    "labels": "labels.partial.jsonl",
    "human_labels": "human_labels.partial.jsonl",
    "reward": "reward/checkpoint-4/adapter_model.safetensors",
    "policy": "policy/checkpoint-4/adapter_model.safetensors",
}


@pytest.fixture
def settings(tmp_path, tiny):
    """Settings of a run: a random policy, and a labeler that knows the two words it chooses from."""
    prompts = [{"prompt": f"Who won game {n}?"} for n in range(5)]
    people = [{"prompt": f"What is {n} + 1?", "chosen": f"It is {n + 1}.", "rejected": "Bananas."} for n in range(3)]
    for name, rows in {"prompts": prompts, "people": people}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "prompts": str(tmp_path / "prompts.jsonl"), "human_pairs": str(tmp_path / "people.jsonl"), "model": tiny,
        "labeler": "smollm2-135m", "output_dir": str(tmp_path / "out"), "max_new_tokens": 8, "batch_size": 2,
        "min_margin": 1e-6, "max_length_ratio": 99, "revisions": 2, "principles_per_label": 2, "training": TRAINING,
        "policy": {"num_mini_batches": 1},
    }  # fmt: skip


def write(folder, settings):
    path = folder / "rlaif.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def curve(folder):
    return {line["step"]: line["loss"] for line in rows(folder / "log.jsonl") if "loss" in line}


def test_a_run_that_was_killed_in_its_stages_has_the_data_and_the_curves_of_one_that_was_not(settings, tmp_path):
    path = write(tmp_path, settings)
    result = CliRunner().invoke(app, ["rlaif", str(path), "--json"], catch_exceptions=False)
    facts = json.loads(result.stdout)
    whole, out = tmp_path / "out", tmp_path / "killed"
    command = ["train", "rlaif", str(path), "--json", "--set", f"output_dir={out}"]
    stages = json.dumps({stage: str(out / left) for stage, left in STAGES.items()})
    killed = subprocess.run([sys.executable, "-c", KILLED, stages, *command], stderr=subprocess.PIPE)
    assert killed.returncode == 0, killed.stderr.decode()
    with pytest.warns(UserWarning, match="checkpoint-4 is incomplete"):
        again = CliRunner().invoke(app, [*command[1:]], catch_exceptions=False)
    resumed = json.loads(again.stdout)
    assert resumed["stages"]["policy"]["resumed_from"] == str(out / "policy" / "checkpoint-2")
    for name in ("responses", "revisions", "examples", "samples", "pairs", "labels", "human_labels"):
        expected = rows(whole / f"{name}.jsonl")
        found = rows(out / f"{name}.jsonl")
        numbers = [
            row.pop(name, None) for row in [*expected, *found] for name in ("probability", "votes", "chosen_factuality")
        ]
        assert len(numbers) == 6 * len(expected)
        for row in [*expected, *found]:
            row.pop("rejected_factuality", None)
        assert found == expected
        assert not (out / f"{name}.partial.jsonl").exists()
    labels = [dict(enumerate(row["probability"] for row in rows(folder / "labels.jsonl"))) for folder in (whole, out)]
    assert largest_difference("rlaif, labels", *labels) <= 1e-4
    for stage in ("sft", "reward", "policy"):
        assert sorted(curve(whole / stage)) == [1, 2, 3, 4]
        assert largest_difference(f"rlaif, {stage}", curve(whole / stage), curve(out / stage)) <= 1e-4
    checked_report(facts, whole)


def checked_report(facts, folder):
    assert (facts["prompts"], facts["steps"], facts["model"]) == (5, 12, str(folder / "policy"))
    report = json.loads((folder / "report.json").read_text())
    assert facts["report"] == report
    uses = report["principles"]
    revisions, labels = rows(folder / "revisions.jsonl"), rows(folder / "labels.jsonl")
    assert sum(use["critiques"] for use in uses) == 2 * len(revisions) == 10
    assert all(len({turn["principle"] for turn in row["rounds"]}) == 2 for row in revisions)
    assert sum(use["votes"] for use in uses) == 2 * len(labels) == 10
    assert sum(use["human_votes"] for use in uses) == 6
    human = rows(folder / "human_labels.jsonl")
    agreement = sum(row["probability"] > 0.5 for row in human) / 3
    assert report["human_agreement"]["value"] == pytest.approx(agreement)
    assert report["human_agreement"]["low"] < agreement < report["human_agreement"]["high"] or agreement in (0, 1)
    pairs = rows(folder / "pairs.jsonl")
    assert report["pairs"] == len(pairs) == len(labels) - sum(report["left_out"].values())
    assert all(0.5 < pair["probability"] == pair["chosen_factuality"] < 1 for pair in pairs)
    page = (folder / "report.html").read_text()
    assert 'content="halluc"' in page
    assert "unsupported-facts" in page
    assert "data:image" in page


def test_a_finished_run_is_read_and_another_one_refused(settings, tmp_path):
    settings |= {"algorithm": "dpo", "revisions": 1, "principles_per_label": 1}
    settings["training"] = TRAINING | {"max_steps": 1}
    settings.pop("policy")
    first = run_rlaif(config_from(RLAIFConfig, settings, "x"))
    assert list(first["stages"]) == ["sft", "policy"]
    before = (tmp_path / "out" / "policy" / "adapter_model.safetensors").stat().st_mtime_ns
    second = run_rlaif(config_from(RLAIFConfig, settings, "x"))
    assert (second["report"], second["stages"]) == (first["report"], first["stages"])
    assert (tmp_path / "out" / "policy" / "adapter_model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InvalidInput, match="holds a run with another min_margin"):
        run_rlaif(config_from(RLAIFConfig, settings | {"min_margin": 0.5}, "x"))
    with pytest.raises(InvalidInput, match="set resume to true"):
        run_rlaif(config_from(RLAIFConfig, settings | {"resume": False}, "x"))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Other?"}\n')
    with pytest.raises(InvalidInput, match=r"on other rows: .*prompts.jsonl has changed"):
        run_rlaif(config_from(RLAIFConfig, settings, "x"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": ""}, "prompts is not set"),
        ({"algorithm": "reinforce"}, "algorithm is 'reinforce'; choose from ppo, grpo, rloo, dpo"),
        ({"algorithm": "dpo", "reward": {"max_steps": 1}}, "'dpo' learns from the labels without a reward model"),
        ({"revisions": 0}, "revisions is 0"),
        ({"revisions": 7}, "revisions is 7, but there are 6 principles"),
        ({"temperature": 0}, "temperature is 0"),
        ({"min_margin": 2}, "min_margin is 2.0; pass at most 1"),
        ({"sft": {"lerning_rate": 1}}, "'lerning_rate' is not a setting of SFTRun; did you mean 'learning_rate'"),
        ({"sft": {"examples": "x"}}, "examples of sft follows from the other settings"),
        ({"policy": {"preference": "x"}}, "preference of policy follows from the other settings"),
        ({"policy": {"verifier": "default", "words": [3, 1]}}, "the length ranges from 3 to 1 words"),
        ({"policy": {"per_device_train_batch_size": 8, "num_mini_batches": 1}}, "an iteration of PPO needs 8"),
        ({"training": {"bach": 1}}, "'bach' is not a setting of SFTRun"),
        ({"model": "http://localhost/v1#m"}, "is an endpoint and cannot be trained"),
        ({"human_pairs": "none.jsonl"}, "there is no none.jsonl"),
        ({"principles": "none.yaml"}, "the principles none.yaml cannot be read"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(settings, tmp_path, changes, message):
    with pytest.raises(InvalidInput, match=message):
        run_rlaif(config_from(RLAIFConfig, settings | changes, "x"))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_and_principles_that_cannot_label_are_refused(settings, tmp_path):
    principles = tmp_path / "p.yaml"
    principles.write_text("principles: [{name: a, critique: b, revision: c}]")
    changes = {"principles": str(principles), "revisions": 1, "principles_per_label": 1}
    with pytest.raises(InvalidInput, match="the principle 'a' has no preference"):
        run_rlaif(config_from(RLAIFConfig, settings | changes, "x"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(InvalidInput, match="holds something other than an RLAIF run"):
        run_rlaif(config_from(RLAIFConfig, settings, "x"))


def test_the_command_names_what_is_wrong_in_one_line(halluc, settings, tmp_path):
    code, out, err = halluc("train", "rlaif", write(tmp_path, settings | {"algorithm": "x"}))
    assert code != 0
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "algorithm is 'x'" in err


def test_the_example_is_a_configuration(tmp_path):
    example = yaml.safe_load(Path("examples/training/rlaif.yaml").read_text())
    config = config_from(RLAIFConfig, example | {"prompts": "p", "output_dir": str(tmp_path / "out")}, "x")
    assert [stage.name for stage in training_stages(config)] == ["sft", "reward", "policy"]


def test_a_stage_makes_only_the_batches_that_are_not_on_disk(tmp_path):
    made = []

    def batch(numbers):
        made.append(list(numbers))
        return [{"row": number} for number in numbers]

    partial = tmp_path / "x.partial.jsonl"
    # One whole batch, one row of the next, and a line that was cut.
    partial.write_text('{"row": 0}\n{"row": 1}\n{"row": 2}\n{"row"')
    assert build_stage(tmp_path / "x.jsonl", 5, 2, batch, "") == [{"row": number} for number in range(5)]
    assert made == [[2, 3], [4]]
    assert not partial.exists()
    assert build_stage(tmp_path / "x.jsonl", 5, 2, batch, "") == [{"row": number} for number in range(5)]
    assert len(made) == 2
    with pytest.raises(InvalidInput, match="has 5 rows, and this run has 6; delete the file"):
        build_stage(tmp_path / "x.jsonl", 6, 2, batch, "")


def test_the_report_counts_by_hand():
    principles = [Principle("a", "c", "r", "?"), Principle("b", "c", "r", "?"), Principle("idle", "c", "r", "?")]
    turns = [
        {"principle": "a", "critique": "x", "revision": "Paris"}, {"principle": "b", "critique": "x", "revision": "Rome"}
    ]  # fmt: skip
    revisions = [
        {"response": "Paris.", "rounds": turns, "revision": "Rome"},
        {"response": "Oslo", "rounds": [turns[0] | {"revision": ""}], "revision": "Oslo"},
    ]
    vote = {"principle": "a", "shown_first": 0.9, "shown_second": 0.3}
    labels = [{"probability": 0.6, "votes": [vote]}]
    people = [
        {"probability": 0.5, "votes": [vote | {"shown_first": 0.5, "shown_second": 0.5}]},
        {"probability": 0.2, "votes": [{"principle": "b", "shown_first": 0.2, "shown_second": 0.2}]},
    ]
    report = rlaif_report(
        principles, revisions, labels, people, examples=2, counts={"pairs": 1, "undecided": 0}, min_margin=0.25
    )
    assert (report.changed, report.human_pairs, report.left_out) == (0.5, 2, {"undecided": 0})
    # Of the three votes, the first prefers another answer when the order changes.
    assert report.orders_agree == pytest.approx(2 / 3)
    assert report.first_position == pytest.approx((0.9 + 0.7 + 0.5 + 0.5 + 0.2 + 0.8) / 6)
    assert float(report.human_agreement) == 0.25
    one, two, idle = report.principles
    assert (one.critiques, one.changed, one.votes, one.decided, one.orders_agree) == (2, 0.0, 1, 0.0, 0.0)
    assert (float(one.human_agreement), one.human_votes) == (0.5, 1)
    assert (two.critiques, two.changed, two.votes, two.decided, float(two.human_agreement)) == (1, 1.0, 0, None, 0.0)
    assert (idle.critiques, idle.changed, idle.votes, idle.human_agreement) == (0, None, 0, None)
