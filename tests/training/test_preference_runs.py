import json
import math

import pytest
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.preferences.sampled import pairs_from_answers
from training.runs.config import load_config
from training.runs.model import lora_config
from training.runs.preference import DPORun, run_dpo

QUESTIONS = ["Who discovered penicillin?", "When was it?"]
SETTINGS = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "logging_steps": 1,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_steps": 1,
    "disable_tqdm": True,
}


@pytest.fixture
def pairs():
    return pairs_from_answers(QUESTIONS, ["Alexander Fleming", "1928"], ["Marie Curie", "1800"])


@pytest.fixture
def config(tmp_path, pairs):
    pairs.save_to_disk(str(tmp_path / "pairs"))
    lines = {
        "pairs": str(tmp_path / "pairs"),
        "output_dir": str(tmp_path / "out"),
        "lora_rank": 2,
        "factuality_weight": 1.0,
        **SETTINGS,
    }
    path = tmp_path / "dpo.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in lines.items()) + "\nlearning_rate: 1e-4\n")
    return path


def test_the_command_trains_the_default_model_and_resumes(config, tmp_path):
    result = CliRunner().invoke(app, ["dpo", str(config), "--json", "--set", "max_steps=1"], catch_exceptions=False)
    first = json.loads(result.stdout)
    assert (first["pairs"], first["steps"], first["resumed_from"]) == (2, 1, None)
    # Log-ratios are 0 before the first step, so that the loss is −log σ(−λ·1).
    assert first["training_loss"] == pytest.approx(1.3133, abs=1e-3)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    second = run_dpo(load_config(DPORun, config))
    assert second["steps"] == 2
    assert second["resumed_from"].endswith("checkpoint-1")


@pytest.mark.parametrize("loss", ["ipo", "hinge", "robust"])
def test_the_command_takes_the_other_losses_on_log_ratios(configure, tmp_path, pairs, loss):
    path = configure("pairs", pairs.to_list(), factuality_weight=0.5, max_steps=1, label_smoothing=0.1)
    arguments = ["dpo", str(path), "--json", "--set", f"loss_type=[{loss}]"]
    facts = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    # Before the first step every log-ratio is 0, and a gap of 1 stands at -0.5: margins of IPO are divided by beta = 0.1.
    smooth = 0.9 * math.log1p(math.exp(0.5)) - 0.1 * math.log1p(math.exp(-0.5))
    expected = {"ipo": (0.5 / 0.1 + 1 / (2 * 0.1)) ** 2, "hinge": 1.5, "robust": smooth / 0.8}
    assert facts["training_loss"] == pytest.approx(expected[loss], rel=1e-3)


def test_settings_are_trls_and_ours_and_unknown_ones_are_named(config):
    read = load_config(DPORun, config, ["loss_type=[ipo, sft]", "loss_weights=[1.0, 0.5]", "factuality_weight=0.5"])
    assert (read.learning_rate, read.loss_type, read.factuality_weight, read.model) == (1e-4, ["ipo", "sft"], 0.5, "default")
    with pytest.raises(
        InvalidInput, match="'factuality_wieght' is not a setting of DPORun; did you mean 'factuality_weight'"
    ):
        load_config(DPORun, config, ["factuality_wieght=1"])
    with pytest.raises(InvalidInput, match="pairs is not set"):
        load_config(DPORun, None)
    with pytest.raises(InvalidInput, match="lora_rank is -1"):
        lora_config(-1)


TEXTS = [
    {"prompt": question, "chosen": f" {right}", "rejected": f" {wrong}"}
    for question, right, wrong in [("Who?", "Fleming", "Curie"), ("When?", "1928", "1800")]
]


def test_the_orpo_command_raises_the_odds_of_the_chosen_completion(configure, tmp_path):
    path = configure("pairs", TEXTS, max_steps=12, lora_rank=8, learning_rate=0.02, beta=1.0, save_strategy="no")
    facts = json.loads(CliRunner().invoke(app, ["orpo", str(path), "--json"], catch_exceptions=False).stdout)
    assert (facts["pairs"], facts["steps"]) == (2, 12)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    logs = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    first, last = logs[0], logs[11]
    assert first["loss"] == pytest.approx(first["nll_loss"] - first["log_odds_ratio"], abs=1e-4)
    assert last["log_odds_chosen"] > first["log_odds_chosen"] + 0.1
    assert last["nll_loss"] < first["nll_loss"]
