"""Runs killed by SIGKILL resume as if uninterrupted: real processes of the `halluc` command."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from curves import largest_difference
from killed import KILLED_WHILE_WRITING
from tiny_model import save_tiny_model
from typer.testing import CliRunner

from training.cli import app
from training.runs.callbacks import last_checkpoint

# The default verifier under another name: a run refuses to hold out the verifier it optimizes.
HELD_OUT = str(Path(__file__).parents[2] / "halluc" / "verification" / "default")
COMMAND = [sys.executable, "-c", "from halluc.cli.main import main; main()"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("with_dropout"), dropout=0.1)


def arguments(command, config, folder):
    return [command, str(config), "--json", "--set", f"output_dir={folder}"]


def run(command, config, folder):
    result = CliRunner().invoke(app, arguments(command, config, folder), catch_exceptions=False)
    return json.loads(result.stdout)


def kill_after(steps, command, config, folder):
    process = subprocess.Popen([*COMMAND, "train", *arguments(command, config, folder)], stderr=subprocess.PIPE)
    log = Path(folder) / "log.jsonl"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) >= steps):
        time.sleep(0.002)
    process.kill()
    errors = process.communicate()[1].decode()
    assert process.returncode == -signal.SIGKILL, errors
    assert not (Path(folder) / "adapter_model.safetensors").exists()


def losses(folder):
    lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_a_dpo_run_that_was_killed_twice_has_the_losses_of_one_that_was_not(configure, model, tmp_path):
    rows = [
        {"prompt": f"Who won game {n}?", "chosen": f" Team {n}", "rejected": f" Club {n}, they say"}
        | {"chosen_factuality": 1.0, "rejected_factuality": n / 12}
        for n in range(12)
    ]
    # The second pass over the rows, in another order, begins with step 7; dropout draws random numbers in every step.
    config = configure("pairs", rows, model=model, max_steps=9, save_steps=3, learning_rate=5e-3)
    run("dpo", config, tmp_path / "whole")
    out = tmp_path / "killed"
    kill_after(4, "dpo", config, out)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, "train", *arguments("dpo", config, out)], stderr=subprocess.DEVNULL
    )
    assert killed.returncode == -signal.SIGKILL
    assert (out / "checkpoint-6" / "adapter_model.safetensors").exists()
    with pytest.warns(UserWarning, match="checkpoint-6 is incomplete and is skipped"):
        facts = run("dpo", config, out)
    assert (facts["steps"], facts["resumed_from"]) == (9, str(out / "checkpoint-3"))
    expected = losses(tmp_path / "whole")
    assert sorted(expected) == list(range(1, 10))
    assert largest_difference("dpo", expected, losses(out)) <= 1e-4
    assert max(expected.values()) - min(expected.values()) > 0.1


def test_a_grpo_run_that_was_killed_has_the_losses_rewards_and_gap_of_one_that_was_not(configure, model, tmp_path):
    rows = [{"prompt": f"Who won game {n}?", "context": f"Team {n} won game {n}."} for n in range(4)]
    config = configure(
        "prompts", rows, model=model, max_steps=6, save_steps=2, num_generations=2, max_completion_length=8,
        held_out_verifier=HELD_OUT, kind="precision", learning_rate=5e-3,
    )  # fmt: skip
    whole = run("grpo", config, tmp_path / "whole")
    kill_after(3, "grpo", config, tmp_path / "killed")
    facts = run("grpo", config, tmp_path / "killed")
    assert facts["resumed_from"] in {str(tmp_path / "killed" / f"checkpoint-{step}") for step in (2, 4)}
    assert largest_difference("grpo", losses(tmp_path / "whole"), losses(tmp_path / "killed")) <= 1e-4
    assert facts["gap"] == whole["gap"]
    assert facts["gap"]["steps"] >= 4


def test_an_incomplete_checkpoint_is_skipped(tmp_path):
    assert last_checkpoint(tmp_path / "none") is None
    for name, text in {"checkpoint-9": "{}", "checkpoint-10": '{"epoch"', "checkpoint-x": "{}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(text)
    with pytest.warns(UserWarning, match="checkpoint-10 is incomplete"):
        assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
