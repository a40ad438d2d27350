"""The log of a run, with a real run of a tiny model."""

import io
import json
import shutil
import sys

import pytest
import torch
from datasets import Dataset
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from halluc.errors import InvalidInput
from training.runs.config import load_config
from training.runs.run import train_and_save
from training.runs.sft import SFTRun, run_sft

ROWS = [{"prompt": "Who?", "completion": " Fleming"}, {"prompt": "When?", "completion": " In 1928"}]


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_every_log_is_a_line_and_a_resumed_run_has_each_step_once(configure, tmp_path):
    path = configure("examples", ROWS, max_steps=3, save_steps=2)
    run_sft(load_config(SFTRun, path))
    whole = lines(tmp_path / "out")
    assert whole == json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert [(line["step"], "loss" in line) for line in whole] == [(1, True), (2, True), (3, True), (3, False)]
    # A run that was killed has written beyond its last checkpoint, the last line in part.
    with (tmp_path / "out" / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    shutil.rmtree(tmp_path / "out" / "checkpoint-3")
    assert run_sft(load_config(SFTRun, path))["resumed_from"].endswith("checkpoint-2")
    again = lines(tmp_path / "out")
    assert again[:2] == whole[:2]
    assert [(line["step"], "loss" in line) for line in again] == [(1, True), (2, True), (3, True), (3, False)]


def test_tensorboard_is_a_setting(configure, tmp_path):
    run_sft(load_config(SFTRun, configure("examples", ROWS, report_to="tensorboard")))
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    losses = [line["loss"] for line in lines(tmp_path / "out") if "loss" in line]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_line_for_each_log_and_a_file_shows_nothing(configure, monkeypatch, capsys, tmp_path):
    path = configure("examples", ROWS)
    run_sft(load_config(SFTRun, path))
    out, err = capsys.readouterr()
    assert "loss" not in out + err
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_sft(load_config(SFTRun, path, [f"output_dir={tmp_path / 'other'}"]))
    shown = [line for line in terminal.getvalue().splitlines() if "step " in line]
    assert "step 1/2  loss 10" in shown[0]
    assert sum("learning_rate" in line for line in shown) == 2


@pytest.fixture
def trainer(tiny, tmp_path):
    settings = {"use_cpu": True, "bf16": False, "max_steps": 2, "save_steps": 1, "logging_steps": 1}
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny),
        args=SFTConfig(str(tmp_path / "out"), **settings),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(trainer):
    weights = trainer.model.model.norm.weight
    before = weights.detach().clone()
    weights.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(InvalidInput, match=r"the gradient of step 1 is (inf|nan); .* no checkpoint was saved"):
        train_and_save(trainer, resume=True)
    assert torch.equal(trainer.model.model.norm.weight, before)


def test_values_that_are_not_finite_are_null(trainer, tmp_path):
    log = trainer.log
    trainer.log = lambda logs, *rest: log(logs | {"doubt": float("nan")}, *rest)
    train_and_save(trainer, resume=False)
    assert [line["doubt"] for line in lines(tmp_path / "out")] == [None] * 3
