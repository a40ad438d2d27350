import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from datasets import Dataset
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RewardConfig, RewardTrainer
from typer.testing import CliRunner

from halluc.errors import InvalidInput, ModelUnavailable
from training.cli import app
from training.rewards.composite import CompositeReward
from training.rewards.model import RewardModel, load_scorer
from training.runs import online
from training.runs.config import load_config
from training.runs.model import lora_config
from training.runs.preference import RewardRun, run_reward
from training.trainers.reward import FactualityRewardTrainer


def row(question, chosen, rejected, up, down):
    sides = {side: [{"role": "assistant", "content": text}] for side, text in (("chosen", chosen), ("rejected", rejected))}
    prompt = [{"role": "user", "content": question}]
    return {"prompt": prompt, **sides, "chosen_factuality": up, "rejected_factuality": down}


ROWS = [row("Who?", "Fleming", "Nobody at all", 0.9, 0.1), row("When was it?", "In 1928, they say", "1800", 0.6, 0.5)]


@pytest.fixture
def make(tiny, tmp_path):
    def trainer(kind=FactualityRewardTrainer, outputs=1, rows=ROWS, **options):
        torch.manual_seed(0)
        settings = {"per_device_train_batch_size": 2, "max_steps": 2, "logging_steps": 1, "save_strategy": "no"}
        settings |= {"use_cpu": True, "bf16": False, "disable_tqdm": True, "learning_rate": 0.01}
        model = load_scorer(tiny, outputs)
        # Dropout of attention would draw other numbers for the two sides of a comparison.
        model.config.attention_dropout = 0.0
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.0
        return kind(
            model=model,
            args=RewardConfig(str(tmp_path), **settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(tiny),
            **options,
        )

    return trainer


def batch_of(trainer):
    return trainer.data_collator([trainer.train_dataset[i] for i in range(2)])


def test_weight_zero_is_identical_to_trl(make):
    runs = []
    for kind in (FactualityRewardTrainer, RewardTrainer):
        trainer = make(kind)
        trainer.train()
        runs.append(([log["loss"] for log in trainer.state.log_history if "loss" in log], trainer.model.state_dict()))
    (ours, our_weights), (theirs, their_weights) = runs
    assert ours == theirs
    assert len(ours) == 2
    assert all(torch.equal(our_weights[name], tensor) for name, tensor in their_weights.items())


def test_the_loss_is_that_of_preferences_and_the_weighted_squared_error_of_factuality(make):
    trainer = make(outputs=2, factuality_weight=3.0)
    assert (trainer.model.config.num_labels, trainer.model.score.out_features) == (2, 2)
    batch = batch_of(trainer)
    with torch.no_grad():
        table = trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    (better, worse), factuality = table[:, 0].chunk(2), torch.tensor([0.9, 0.6, 0.1, 0.5])
    expected = -F.logsigmoid(better - worse).mean() + 3.0 * ((table[:, 1] - factuality) ** 2).mean()
    loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    loss.backward()
    assert (trainer.model.score.weight.grad.norm(dim=1) > 0).all()


def test_both_outputs_are_learned(make):
    trainer = make(outputs=2, factuality_weight=1.0)
    trainer.args.max_steps = 25
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert logs[-1]["accuracy"] == 1.0
    assert logs[-1]["factuality_error"] < 0.1 * logs[0]["factuality_error"]


@pytest.mark.parametrize(("rank", "weight"), [(2, 0.5), (0, 0.5), (2, 0.0)])
def test_the_command_trains_a_model_that_scores_as_its_trainer_did(configure, tmp_path, rank, weight):
    path = configure("pairs", ROWS, lora_rank=rank, factuality_weight=weight, learning_rate=0.01)
    result = CliRunner().invoke(app, ["reward", str(path), "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["pairs"] == 2
    model = RewardModel(tmp_path / "out", batch_size=3)
    prompts = [row["prompt"] for row in ROWS] * 2
    completions = [row[side] for side in ("chosen", "rejected") for row in ROWS]
    scores = model.scores(prompts, completions)
    assert scores.shape == (4, 2 if weight else 1)
    # The same folder as TRL reads it, one row at a time.
    trainer = evaluating(path)
    alone = [trainer.model(torch.tensor([ids])).logits[0].tolist() for ids in ids_of(trainer)]
    assert scores == pytest.approx(np.array(alone), abs=1e-4)
    logged = {}
    rewards = CompositeReward(model)(prompts=prompts, completions=completions, log_metric=logged.__setitem__)
    assert rewards == pytest.approx(scores[:, 0].tolist(), abs=1e-4)
    assert ("preference/factuality" in logged) == bool(weight)


def evaluating(path):
    """The trainer of a run that was interrupted between its last checkpoint and its end, resumed for no further step."""
    (path.parent / "out" / "run.json").unlink()
    seen = []
    original = FactualityRewardTrainer.train

    def train(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        seen.append(self)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FactualityRewardTrainer, "train", train)
        run_reward(load_config(RewardRun, path))
    seen[0].model.eval()
    return seen[0]


def ids_of(trainer):
    return [row[side] for side in ("chosen_ids", "rejected_ids") for row in trainer.train_dataset]


def test_plain_text_is_scored_as_it_was_trained_on(configure, tmp_path):
    rows = [
        {"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie"},
        {"prompt": "When?", "chosen": " In 1928", "rejected": " 1"},
    ]
    path = configure("pairs", rows)
    run_reward(load_config(RewardRun, path))
    trainer = evaluating(path)
    alone = [trainer.model(torch.tensor([ids])).logits[0].tolist() for ids in ids_of(trainer)]
    texts = [row[side] for side in ("chosen", "rejected") for row in rows]
    scores = RewardModel(tmp_path / "out").scores([row["prompt"] for row in rows] * 2, texts)
    assert scores == pytest.approx(np.array(alone), abs=1e-4)


def test_unusable_models_and_columns_are_named(make, tiny, tmp_path):
    with pytest.raises(InvalidInput, match="has 1 labels; load it with num_labels=2 for a factuality_weight of 1"):
        make(factuality_weight=1)
    with pytest.raises(InvalidInput, match="factuality_weight is -1"):
        make(outputs=2, factuality_weight=-1)
    bare = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in ROWS]
    with pytest.raises(InvalidInput, match="has no column 'chosen_factuality'"):
        make(outputs=2, factuality_weight=1, rows=bare)
    with pytest.raises(ModelUnavailable, match="holds no reward model: "):
        RewardModel(tmp_path / "none")
    with pytest.raises(ModelUnavailable, match="holds a model without a score head; name the output of halluc train reward"):
        RewardModel(tiny)


def test_a_completion_over_the_window_is_named(configure, tmp_path):
    run_reward(load_config(RewardRun, configure("pairs", ROWS, max_steps=1)))
    model = RewardModel(tmp_path / "out")
    with pytest.raises(InvalidInput, match=r"row 1 have 9\d+ tokens, more than the reward model's context window of 8192"):
        model.scores(["Who? ", "Who? "], ["x", "word " * 9000])
    with pytest.raises(InvalidInput, match="completions is a single value, 'xy'"):
        model(prompts=["Who? ", "Who? "], completions="xy")


def trained_reward_model(configure, tmp_path, **settings):
    run_reward(load_config(RewardRun, configure("pairs", ROWS, output_dir=str(tmp_path / "reward"), **settings)))
    return tmp_path / "reward"


def test_a_policy_and_a_scorer_of_the_same_model_use_one_copy_of_its_weights(configure, tiny, tmp_path):
    folder = trained_reward_model(configure, tmp_path, learning_rate=0.05, max_steps=4)
    prompts, completions = [row["prompt"] for row in ROWS], [row["chosen"] for row in ROWS]
    alone = RewardModel(folder)
    policy = AutoModelForCausalLM.from_pretrained(tiny)
    sharing = RewardModel(folder, policy=policy)
    assert (alone.shares_weights, sharing.shares_weights) == (False, True)
    expected = alone.scores(prompts, completions)
    assert sharing.scores(prompts, completions) == pytest.approx(expected, abs=1e-5)
    own = [p for p in sharing.model.parameters() if not any(p is weight for weight in policy.parameters())]
    body = sum(weight.numel() for weight in policy.model.parameters())
    assert sum(p.numel() for p in own) < 0.05 * body
    # An adapter on the policy neither changes the scores nor is changed by scoring.
    adapted = get_peft_model(policy, lora_config(2))
    before = adapted(input_ids=torch.tensor([[1, 2, 3]])).logits
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    after = adapted(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert not torch.allclose(before, after, atol=1e-3)
    assert sharing.scores(prompts, completions) == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(adapted(input_ids=torch.tensor([[1, 2, 3]])).logits, after, atol=1e-5)


def test_weights_that_differ_in_one_number_are_not_shared(configure, tiny, tmp_path):
    folder = trained_reward_model(configure, tmp_path)
    policy = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        policy.model.layers[1].mlp.up_proj.weight[3, 4] += 1
    assert not RewardModel(folder, policy=policy).shares_weights


@pytest.mark.parametrize(("algorithm", "rank", "shared"), [("grpo", 2, True), ("ppo", 2, True), ("grpo", 0, False)])
def test_online_runs_share_the_weights_of_an_adapter_alone(configure, tmp_path, monkeypatch, algorithm, rank, shared):
    folder = trained_reward_model(configure, tmp_path)
    seen = []
    monkeypatch.setattr(
        online, "whole_reward", lambda config, preference, factuality: seen.append(preference) or [preference]
    )
    settings = {"verifier": None, "preference": str(folder), "lora_rank": rank, "max_steps": 1, "learning_rate": 0.01}
    if algorithm == "ppo":
        settings |= {"num_mini_batches": 1, "num_ppo_epochs": 1}
    path = configure("prompts", [{"prompt": "Who?"}, {"prompt": "When?"}], **settings)
    if algorithm == "ppo":
        path.write_text(path.read_text().replace("num_generations: 2\n", ""))
    command = CliRunner().invoke(app, [algorithm, str(path), "--json"])
    assert command.exit_code == 0, command.output
    assert seen[0].shares_weights == shared
