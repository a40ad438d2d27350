"""The command under `accelerate launch`, in two processes on the CPU that gloo joins."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.runs.config import load_config
from training.runs.online import GRPORun, run_grpo
from training.runs.preference import DPORun, run_dpo

# The default verifier under another name: a run refuses to hold out the verifier it optimizes.
HELD_OUT = str(Path(__file__).parents[2] / "halluc" / "verification" / "default")
EXAMPLES = Path(__file__).parents[2] / "examples" / "training"
SCRIPTS = Path(sys.executable).parent


def launch(command, config, **settings):
    launcher = [SCRIPTS / "accelerate", "launch", "--config_file", EXAMPLES / "accelerate" / "cpu_two_processes.yaml"]
    set_ = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = subprocess.run(
        [*launcher, "--no_python", SCRIPTS / "halluc", "train", command, config, *set_], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def logged(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def test_two_processes_train_by_dpo_as_one_does_with_the_same_batch(configure, tmp_path):
    rows = [
        {"prompt": f"Who won game {n}?", "chosen": f" Team {n}", "rejected": f" Club {n}, they say"}
        | {"chosen_factuality": 1.0, "rejected_factuality": n / 8}
        for n in range(8)
    ]
    config = configure("pairs", rows, max_steps=4, save_steps=2, learning_rate=5e-3)
    facts = launch("dpo", config, output_dir=tmp_path / "two", per_device_train_batch_size=1)
    assert facts == [json.loads((tmp_path / "two" / "run.json").read_text())]
    CliRunner().invoke(app, ["dpo", str(config), "--set", f"output_dir={tmp_path / 'one'}"], catch_exceptions=False)
    one, two = logged(tmp_path / "one"), logged(tmp_path / "two")
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3, 4, 4]
    for name in ("loss", "rewards/margins"):
        # A mean over two pairs is the mean of two means over one, but for rounding.
        assert [line[name] for line in two[:4]] == pytest.approx([line[name] for line in one[:4]], abs=1e-4)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two" / "checkpoint-2").glob("rng*")} == {"rng_state_0.pth", "rng_state_1.pth"}


def test_two_processes_train_by_grpo_and_their_measurements_are_merged(configure, tmp_path):
    rows = [{"prompt": f"Who won game {n}?", "context": f"Team {n} won game {n}."} for n in range(4)]
    config = configure(
        "prompts",
        rows,
        max_steps=2,
        num_generations=2,
        max_completion_length=8,
        held_out_verifier=HELD_OUT,
        kind="precision",
    )
    (facts,) = launch("grpo", config)
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    measured = state["stateful_callbacks"]["StopOnRewardHacking"]["attributes"]["measured"]
    claims = [line["factuality/claims"] for line in logged(tmp_path / "out")[:2]]
    # In every step each of the two processes scores two completions; TRL's log has the mean over all four.
    assert [call[2] for call in measured] == [4 * mean for mean in claims]
    assert max(claims) > 0
    assert facts["gap"]["steps"] == sum(mean > 0 for mean in claims)


def test_processes_that_cannot_communicate_are_refused(configure, monkeypatch):
    rows = [{"prompt": "Who?", "chosen": "A", "rejected": "B", "chosen_factuality": 1.0, "rejected_factuality": 0.0}]
    config = load_config(DPORun, configure("pairs", rows))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidInput, match="2 processes were started but no GPU connects them; set use_cpu to true"):
        run_dpo(config)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cpu_two_processes", "MULTI_GPU"), ("fsdp", "FSDP"), ("deepspeed_zero2", "DEEPSPEED")],
)
def test_the_configurations_of_accelerate_are_read_by_it(name, kind):
    from accelerate.commands.config.config_args import load_config_from_file

    path = EXAMPLES / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.distributed_type == kind
    assert config.use_cpu == (name == "cpu_two_processes")


def test_generation_by_vllm_is_a_setting_and_a_missing_vllm_is_reported(configure, tmp_path):
    config = load_config(GRPORun, EXAMPLES / "grpo_vllm.yaml", ["prompts=p.jsonl", "bf16=false", "use_cpu=true"])
    assert (config.use_vllm, config.vllm_mode, config.vllm_gpu_memory_utilization) == (True, "colocate", 0.3)
    rows = [{"prompt": "Who won?", "context": "Team 1 won."}]
    with pytest.raises(InvalidInput, match="use_vllm is true, and vllm is not installed"):
        run_grpo(load_config(GRPORun, configure("prompts", rows, use_vllm=True, num_generations=2)))
