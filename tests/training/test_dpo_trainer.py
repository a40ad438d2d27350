"""A tiny random Llama, its tokenizer being that of the default model; the losses are those of a batch of two pairs."""

import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from datasets import Dataset
from peft import LoraConfig
from tiny_model import tiny_llama
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from halluc.errors import InvalidInput
from training.runs.run import train_and_save
from training.trainers.dpo import FactualityDPOTrainer

BETA = 0.5
ROWS = {
    "prompt": [[{"role": "user", "content": "Who?"}], [{"role": "user", "content": "When was it?"}]],
    "chosen": [[{"role": "assistant", "content": "Fleming"}], [{"role": "assistant", "content": "In 1928, they say"}]],
    "rejected": [[{"role": "assistant", "content": "Nobody at all"}], [{"role": "assistant", "content": "1800"}]],
    "chosen_factuality": [0.9, 0.6],
    "rejected_factuality": [0.1, 0.5],
}


@pytest.fixture
def make(tokenizer, tmp_path):
    def trainer(kind=FactualityDPOTrainer, rows=None, peft_config=None, settings=None, **options):
        arguments = {"beta": BETA, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "bf16": False}
        arguments |= {"learning_rate": 0.01, "max_steps": 2, "logging_steps": 1, "disable_tqdm": True, "save_strategy": "no"}
        return kind(
            model=tiny_llama(tokenizer, 1),
            ref_model=None if peft_config else tiny_llama(tokenizer, 2),
            args=DPOConfig(str(tmp_path), **(arguments | (settings or {}))),
            train_dataset=Dataset.from_dict(ROWS if rows is None else rows),
            processing_class=tokenizer,
            peft_config=peft_config,
            **options,
        )

    return trainer


def loss_of(trainer, order=(0, 1)):
    batch = trainer.data_collator([trainer.train_dataset[i] for i in order])
    return trainer._compute_loss(trainer.model, batch, False)


def log_ratios(trainer):
    """(2, 2) log-ratios of chosen and rejected per pair, and (2, 2) lengths, from the models' logits."""
    ratios, lengths = [], []
    for side in ("chosen_ids", "rejected_ids"):
        for row in trainer.train_dataset:
            ids = torch.tensor([row["prompt_ids"] + row[side]])
            start = len(row["prompt_ids"])
            logps = []
            for model in (trainer.model, trainer.ref_model):
                with torch.no_grad():
                    table = torch.log_softmax(model(input_ids=ids).logits[0, :-1], dim=-1)
                logps.append(table.gather(1, ids[0, 1:, None])[start - 1 :].sum())
            ratios.append(logps[0] - logps[1])
            lengths.append(len(row[side]))
    return torch.stack(ratios).view(2, 2), torch.tensor(lengths).view(2, 2)


GAPS = torch.tensor([0.8, 0.1])


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_the_loss_is_that_of_the_paper(make, weight):
    trainer = make(factuality_weight=weight)
    (chosen, rejected), _ = log_ratios(trainer)
    expected = -F.logsigmoid(BETA * (chosen - rejected) - weight * GAPS).mean()
    assert loss_of(trainer).item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_margin_shifts_the_log_ratio_of_hinge_and_ipo(make):
    weight = 2.0
    hinge = make(factuality_weight=weight, settings={"loss_type": "hinge"})
    (chosen, rejected), lengths = log_ratios(hinge)
    expected = torch.relu(1 - (BETA * (chosen - rejected) - weight * GAPS)).mean()
    assert loss_of(hinge).item() == pytest.approx(expected.item(), abs=1e-5)
    ipo = make(factuality_weight=weight, settings={"loss_type": "ipo"})
    mean = chosen / lengths[0] - rejected / lengths[1]
    expected = ((mean - weight / BETA * GAPS - 1 / (2 * BETA)) ** 2).mean()
    assert loss_of(ipo).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    "loss", ["robust", "nca_pair", "bco_pair", "sppo_hard", "aot", "apo_zero", "discopop", "sigmoid_norm"]
)
def test_other_losses_take_the_margin_too(make, loss):
    trainer = make(factuality_weight=2.0, settings={"loss_type": loss})
    shifted = loss_of(trainer).item()
    trainer.factuality_weight = 0.0
    batch = {k: v for k, v in trainer.data_collator([*trainer.train_dataset]).items() if not k.endswith("_factuality")}
    plain = trainer._compute_loss(trainer.model, batch, False).item()
    assert math.isfinite(shifted)
    assert shifted != pytest.approx(plain, abs=1e-4)


def test_a_pair_with_a_larger_gap_in_factuality_needs_a_larger_log_ratio(make):
    rows = ROWS | {"rejected_factuality": [0.8, 0.5]}
    narrow, wide = make(rows=rows, factuality_weight=1.0), make(factuality_weight=1.0)
    assert loss_of(wide, (0, 0)) > loss_of(narrow, (0, 0))
    (chosen, rejected), _ = log_ratios(wide)
    # The gradient by the log-ratio, −β·σ(λ·gap − β·Δ), pushes harder where the gap is wider.
    slopes = [BETA * torch.sigmoid(gap - BETA * (chosen - rejected)[0]) for gap in (0.1, 0.8)]
    assert slopes[1] > slopes[0]


def test_the_gradient_flows_only_to_the_policy_and_the_margin_scales_it(make):
    norms = []
    for weight in (0.0, 3.0):
        trainer = make(factuality_weight=weight)
        loss_of(trainer, (0, 0)).backward()
        norms.append(torch.stack([p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]).norm())
        assert all(p.grad is None for p in trainer.ref_model.parameters())
    (chosen, rejected), _ = log_ratios(trainer)
    z = BETA * (chosen - rejected)[0]
    assert norms[1] / norms[0] == pytest.approx((torch.sigmoid(2.4 - z) / torch.sigmoid(-z)).item(), rel=1e-4)


def steps(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], trainer.model.state_dict()


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_weight_zero_is_identical_to_trl(make, loss):
    ours, our_weights = steps(make(factuality_weight=0.0, settings={"loss_type": loss}))
    theirs, their_weights = steps(make(kind=DPOTrainer, settings={"loss_type": loss}))
    assert ours == theirs
    assert len(ours) == 2
    assert all(torch.equal(our_weights[name], tensor) for name, tensor in their_weights.items())


def test_precomputed_references_and_lora_give_the_same_loss(make):
    settings = {"precompute_ref_log_probs": True}
    assert loss_of(make(factuality_weight=2.0, settings=settings)).item() == pytest.approx(
        loss_of(make(factuality_weight=2.0)).item(), abs=1e-5
    )
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    # An adapter begins as nothing: every log-ratio is 0.
    trainer = make(factuality_weight=2.0, peft_config=lora)
    assert loss_of(trainer).item() == pytest.approx(-F.logsigmoid(-2 * GAPS).mean().item(), abs=1e-5)
    losses, _ = steps(trainer)
    assert losses[1] < losses[0]


def test_an_interrupted_run_resumes_with_the_same_losses(make):
    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 1}
    trainer = make(factuality_weight=1.0, settings=settings)
    whole = losses_of(trainer, resume=False)
    shutil.rmtree(trainer.args.output_dir)

    class Breaking(TrainerCallback):
        def on_step_end(self, _args, state, _control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        losses_of(make(factuality_weight=1.0, settings=settings, callbacks=[Breaking()]), resume=False)
    resumed = make(factuality_weight=1.0, settings=settings)
    assert [path.name for path in Path(resumed.args.output_dir).glob("checkpoint-*")] == ["checkpoint-2"]
    assert losses_of(resumed, resume=True) == pytest.approx(whole, abs=1e-4)
    assert len(whole) == 4


def test_pairs_whose_rejected_side_is_the_more_factual_one_are_named(make):
    with pytest.warns(UserWarning, match="in 1 of 2 pairs of the train data set, row 1 first, the rejected"):
        make(factuality_weight=1.0, rows=ROWS | {"chosen_factuality": [0.9, 0.2]})


def losses_of(trainer, resume):
    train_and_save(trainer, resume=resume)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_unusable_settings_and_columns_are_named(make):
    with pytest.raises(InvalidInput, match="factuality_weight is -1"):
        make(factuality_weight=-1)
    with pytest.raises(InvalidInput, match="has no column 'chosen_factuality'"):
        make(factuality_weight=1, rows={k: v for k, v in ROWS.items() if k != "chosen_factuality"})
    with pytest.raises(InvalidInput, match="rejected_factuality of row 1 of the train data set is nan"):
        make(factuality_weight=1, rows=ROWS | {"rejected_factuality": [0.1, float("nan")]})
    with pytest.raises(InvalidInput, match="holds for 'reverse_kl' only"):
        make(factuality_weight=1, settings={"f_divergence_type": "forward_kl"})
    with pytest.raises(InvalidInput, match="has no log-ratio"):
        make(factuality_weight=1, settings={"loss_type": "sft"})
    with pytest.raises(InvalidInput, match="only some of the losses hinge, ipo average over tokens"):
        make(factuality_weight=1, settings={"loss_type": ["ipo", "hinge"]})
