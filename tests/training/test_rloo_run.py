import json

import pytest
from typer.testing import CliRunner

from training.cli import app
from training.grpo_run import GRPORun, run_grpo
from training.reward_run import RewardRun, run_reward
from training.runs.config import load_config

PROMPTS = [{"prompt": f"Who discovered penicillin in {year}?", "context": "Fleming discovered it."} for year in (1927, 1928)]
PAIRS = [{"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie"}]


@pytest.fixture
def online(configure, tmp_path):
    """Settings of a run on a reward model that was just trained."""
    run_reward(load_config(RewardRun, configure("pairs", PAIRS, max_steps=1, output_dir=str(tmp_path / "judge"))))
    settings = {"words": [1, 30], "factuality_weight": 2.0, "max_steps": 1}
    return configure("prompts", PROMPTS, preference=str(tmp_path / "judge"), **settings)


def checked(folder, facts):
    assert (facts["prompts"], facts["steps"]) == (2, 1)
    assert (folder / "adapter_model.safetensors").is_file()
    log = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    terms = log["composite/preference"] + 2 * log["composite/factuality"] + log["composite/length"]
    assert log["reward"] == pytest.approx(terms, abs=1e-5)
    assert log["composite/preference"] != 0


def test_the_command_optimises_the_composite_reward_with_a_trained_preference(online, tmp_path):
    result = CliRunner().invoke(app, ["rloo", str(online), "--json"], catch_exceptions=False)
    checked(tmp_path / "out", json.loads(result.stdout))


def test_grpo_takes_the_same_reward_model(online, tmp_path):
    checked(tmp_path / "out", run_grpo(load_config(GRPORun, online)))
