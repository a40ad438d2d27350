import json

import pytest
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.grpo_run import GRPORun, run_grpo
from training.runs.config import load_config


def write(tmp_path, rows, **settings):
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = {
        "prompts": str(tmp_path / "prompts.jsonl"),
        "output_dir": str(tmp_path / "out"),
        "verifier": "lm",
        "lora_rank": 2,
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "num_generations": 2,
        "max_completion_length": 12,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        **settings,
    }
    path = tmp_path / "grpo.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in lines.items()))
    return path


ROWS = [{"prompt": f"Who discovered penicillin in {year}?", "context": "Fleming discovered it."} for year in (1927, 1928)]


def test_the_command_trains_the_default_model(tmp_path):
    path = write(tmp_path, ROWS, words=[1, 30])
    result = CliRunner().invoke(app, ["grpo", str(path), "--json"], catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert (facts["prompts"], facts["steps"]) == (2, 1)
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == facts
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    logged = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"][0]
    assert {"factuality/support", "composite/factuality", "composite/length", "kl"} <= set(logged)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"promt": "Who?", "context": "x"}], {}, "no column 'prompt'; did you call it 'promt'"),
        ([{"prompt": "Who?"}], {}, "no column 'context' or 'answers'"),
        ([{"prompt": "Who?", "context": "x"}, {"prompt": " ", "context": "x"}], {}, "the prompt of row 1 is empty"),
        (
            [{"prompt": "Who?", "context": "x"}],
            {"max_completion_length": 9000},
            "the prompt of row 0 has .* over the window",
        ),
    ],
)
def test_prompts_that_cannot_be_trained_on_are_named(tmp_path, rows, settings, message):
    with pytest.raises(InvalidInput, match=message):
        run_grpo(load_config(GRPORun, write(tmp_path, rows, **settings)))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("prompts=", "prompts is not set"),
        ("kind=true", "kind is True; choose from precision, binary"),
        ("words=[1]", r"words is \[1\]"),
        ("largest_gap_growth=0.1", "needs a held_out_verifier"),
        ("num_generation=2", "did you mean 'num_generations'"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, setting, message):
    with pytest.raises(InvalidInput, match=message):
        load_config(GRPORun, write(tmp_path, ROWS), [setting])
