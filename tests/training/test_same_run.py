"""A run resumes only what it began."""

import json

import pytest

from halluc.errors import InvalidInput
from training.runs.config import load_config
from training.runs.sft import SFTRun, run_sft

ROWS = [{"prompt": f"Who won game {n}?", "completion": f" Team {n}"} for n in range(4)]


@pytest.fixture
def finished(configure):
    """The settings of a run that has finished."""
    path = configure("examples", ROWS)
    assert run_sft(load_config(SFTRun, path))["steps"] == 2
    return path


def test_a_finished_run_is_not_taken_for_a_new_one(finished, tmp_path):
    before = (tmp_path / "out" / "adapter_model.safetensors").read_bytes()
    with pytest.raises(
        InvalidInput, match="holds a finished run of 2 steps, and nothing was trained; name another output_dir"
    ):
        run_sft(load_config(SFTRun, finished))
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == before
    assert run_sft(load_config(SFTRun, finished, ["max_steps=3"]))["steps"] == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learning_rate=0.5", "holds a run with another learning_rate: .*, not 0.5"),
        ("lora_rank=4", "holds a run with another lora_rank: 2, not 4"),
        ("model=default", "holds a run with another model"),
    ],
)
def test_other_settings_are_refused_by_name(finished, setting, message):
    with pytest.raises(InvalidInput, match=message):
        run_sft(load_config(SFTRun, finished, [setting]))


def test_how_a_run_is_logged_may_differ(finished):
    assert run_sft(load_config(SFTRun, finished, ["max_steps=3", "logging_steps=2", "save_steps=3"]))["steps"] == 3


def test_other_rows_are_refused(finished, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Who?", "completion": " Nobody"}) + "\n")
    with pytest.raises(InvalidInput, match=r"holds a run on other rows: .*rows\.jsonl has changed"):
        run_sft(load_config(SFTRun, finished))
