import json

import pytest
from typer.testing import CliRunner

from training.cli import app

ROWS = [
    {"prompt": question, "chosen": f" {right}", "rejected": f" {wrong}"}
    for question, right, wrong in [("Who?", "Fleming", "Curie"), ("When?", "1928", "1800")]
]


def test_the_command_raises_the_odds_of_the_chosen_completion(configure, tmp_path):
    path = configure("pairs", ROWS, max_steps=12, lora_rank=8, learning_rate=0.02, beta=1.0, save_strategy="no")
    facts = json.loads(CliRunner().invoke(app, ["orpo", str(path), "--json"], catch_exceptions=False).stdout)
    assert (facts["pairs"], facts["steps"]) == (2, 12)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    logs = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    first, last = logs[0], logs[11]
    assert first["loss"] == pytest.approx(first["nll_loss"] - first["log_odds_ratio"], abs=1e-4)
    assert last["log_odds_chosen"] > first["log_odds_chosen"] + 0.1
    assert last["nll_loss"] < first["nll_loss"]
