"""The reward model on preferences with a probability: its loss by hand, and a run."""

import math

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import RewardConfig, RewardTrainer

from halluc.errors import InvalidInput
from training.rewards.model import load_scorer
from training.runs.config import load_config
from training.runs.preference import RewardRun, run_reward
from training.trainers.soft_labels import SoftLabelRewardTrainer

ROWS = [{"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie and others", "probability": p} for p in (1.0, 0.5, 0.8)]


def trainer(kind, tiny, folder, rows):
    config = RewardConfig(
        str(folder), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=3, disable_tqdm=True
    )
    torch.manual_seed(0)
    return kind(
        model=load_scorer(tiny, 1),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )


def batch_loss(made):
    made.model.eval()
    batch = next(iter(made.get_train_dataloader()))
    with torch.no_grad():
        loss, outputs = made.compute_loss(made.model, dict(batch), return_outputs=True)
    scores = outputs.logits.squeeze(-1).tolist()
    return loss.item(), [a - b for a, b in zip(scores[:3], scores[3:], strict=True)], batch


def test_the_loss_is_the_cross_entropy_to_the_probability(tiny, tmp_path):
    loss, differences, batch = batch_loss(trainer(SoftLabelRewardTrainer, tiny, tmp_path, ROWS))
    probabilities = batch["probability"].tolist()
    assert sorted(probabilities) == pytest.approx([0.5, 0.8, 1.0])
    log_sigmoid = [-math.log1p(math.exp(-d)) for d in differences]
    opposite = [-math.log1p(math.exp(d)) for d in differences]
    rows = zip(probabilities, log_sigmoid, opposite, strict=True)
    assert loss == pytest.approx(-sum(p * a + (1 - p) * b for p, a, b in rows) / 3, abs=1e-5)
    assert max(map(abs, differences)) > 1e-3


def test_with_sure_labels_the_loss_is_that_of_trl(tiny, tmp_path):
    sure = [row | {"probability": 1.0} for row in ROWS]
    soft = batch_loss(trainer(SoftLabelRewardTrainer, tiny, tmp_path / "a", sure))[0]
    assert soft == pytest.approx(batch_loss(trainer(RewardTrainer, tiny, tmp_path / "b", sure))[0], abs=1e-6)


def test_a_run_learns_soft_labels_and_refuses_rows_without_them(configure, tmp_path):
    facts = run_reward(load_config(RewardRun, configure("pairs", ROWS, soft_labels=True)))
    assert facts["steps"] == 2
    without = [{name: value for name, value in row.items() if name != "probability"} for row in ROWS]
    impossible = [ROWS[0] | {"probability": 1.5}, *ROWS[1:]]
    for rows, message in (
        (without, "no column 'probability'; add it, or set soft_labels to false"),
        (impossible, r"probability of row 0 of the train data set is 1\.5"),
    ):
        config = load_config(RewardRun, configure("pairs", rows, soft_labels=True), [f"output_dir={tmp_path / 'other'}"])
        with pytest.raises(InvalidInput, match=message):
            run_reward(config)
    with pytest.raises(InvalidInput, match="soft_labels is set, and factuality_weight too"):
        load_config(RewardRun, configure("pairs", ROWS, soft_labels=True, factuality_weight=1.0))
