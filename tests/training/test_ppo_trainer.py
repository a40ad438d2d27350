"""PPO runs of a tiny model: the command, what is optimized, and a run that is killed."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from curves import largest_difference
from datasets import Dataset
from killed import KILLED_WHILE_WRITING
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.runs.config import load_config
from training.runs.model import lora_config
from training.runs.online import PPORun
from training.trainers.ppo import PolicyWithValue, PPOConfig, PPOTrainer

ROWS = [
    {"prompt": f"Who discovered penicillin in {year}?", "context": "Fleming discovered it."} for year in range(1920, 1928)
]
PPO = {"per_device_train_batch_size": 4, "num_mini_batches": 2, "num_ppo_epochs": 2, "num_generations": None}


def settings(configure, **changes):
    path = configure("prompts", ROWS, verifier="lm", **{**PPO, **changes})
    lines = [line for line in path.read_text().splitlines() if not line.startswith("num_generations")]
    path.write_text("\n".join(lines))
    return path


def arguments(path, folder):
    return ["train", "ppo", str(path), "--json", "--set", f"output_dir={folder}"]


def run(path, folder):
    result = CliRunner().invoke(app, arguments(path, folder)[1:], catch_exceptions=False)
    return json.loads(result.stdout)


def log(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def test_the_command_trains_an_adapter_and_logs_what_ppo_is_judged_by(configure, tmp_path):
    facts = run(settings(configure, max_steps=5, save_strategy="no"), tmp_path / "out")
    assert (facts["prompts"], facts["steps"]) == (8, 5)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    first = log(tmp_path / "out")[0]
    names = {"reward", "kl", "kl_coefficient", "entropy", "policy_loss", "value_loss", "clip_fraction", "explained_variance"}
    assert names <= set(first)
    # Before the first step the policy is the one that sampled, and the reference.
    assert first["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert first["kl"] == pytest.approx(0.0, abs=1e-5)
    assert first["clip_fraction"] == 0


def test_a_run_that_was_killed_continues_within_an_iteration_as_if_it_had_not_been(configure, tmp_path):
    path = settings(configure, max_steps=8, save_steps=3, learning_rate=5e-3, kl_target=1.0)
    run(path, tmp_path / "whole")
    # An iteration is 4 steps, so step 3 is in the middle of the first; the checkpoint of step 6 is being written.
    out = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, *arguments(path, out)], stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [line["step"] for line in log(out)] == list(range(1, 7))
    with pytest.warns(UserWarning, match="checkpoint-6 is incomplete and is skipped"):
        facts = run(path, out)
    assert facts["resumed_from"] == str(out / "checkpoint-3")
    whole, resumed = log(tmp_path / "whole"), log(out)
    for name in ("loss", "policy_loss", "value_loss", "entropy"):
        curves = ({row["step"]: row[name] for row in rows} for rows in (whole, resumed))
        assert largest_difference(f"ppo, {name}", *curves) <= 1e-4
    assert [row.get("kl_coefficient") for row in resumed] == [row.get("kl_coefficient") for row in whole]


@pytest.fixture
def few_words():
    """A model and a tokenizer with forty words, so that a policy learns in seconds which of them to say."""
    words = {f"w{i}": i for i in range(40)} | {"<end>": 40, "<unknown>": 41}
    fast = Tokenizer(WordLevel(words, unk_token="<unknown>"))
    fast.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<end>", unk_token="<unknown>")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    # Weights large enough that an adapter below the output head can move its logits.
    shape["initializer_range"] = 0.3
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(words), eos_token_id=40, pad_token_id=40, **shape)), tokenizer


@pytest.mark.parametrize("rank", [0, 4])
def test_the_policy_learns_what_is_rewarded(few_words, tmp_path, rank):
    model, tokenizer = few_words
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def even_words(*, completion_ids, **_):
        return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]

    arguments = PPOConfig(
        str(tmp_path / "out"),
        max_steps=96,
        per_device_train_batch_size=16,
        num_mini_batches=2,
        num_ppo_epochs=3,
        learning_rate=1e-2 if rank else 3e-3,
        max_completion_length=8,
        kl_coefficient=0.0,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    rows = Dataset.from_list([{"prompt": f"w{i} w{i + 1}"} for i in range(16)])
    trainer = PPOTrainer(model, even_words, arguments, rows, tokenizer, peft_config=lora_config(rank))
    trainer.train()
    rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.2, rewards
    if not rank:
        assert all(torch.equal(tensor, start[name]) for name, tensor in trainer._reference.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("num_mini_batches=3", "per_device_train_batch_size is 4, which num_mini_batches 3 does not divide"),
        ("gradient_accumulation_steps=2", "set num_mini_batches instead"),
        ("kl_target=0", "kl_target is 0.0; pass a KL above 0"),
        ("lam=1.5", "lam is 1.5"),
        ("clip_range=0", "clip_range is 0"),
        ("cliprange=0.2", "did you mean 'clip_range'"),
    ],
)
def test_settings_that_cannot_be_used_are_named(configure, setting, message):
    with pytest.raises(InvalidInput, match=message):
        load_config(PPORun, settings(configure), [setting])


def test_fewer_prompts_than_an_iteration_needs_are_refused(configure, tmp_path):
    path = settings(configure, per_device_train_batch_size=16)
    result = CliRunner().invoke(app, ["ppo", str(path), "--set", f"output_dir={tmp_path / 'out'}"])
    assert "there are 8 prompts, and an iteration needs 16" in str(result.exception)


def test_padding_on_the_left_changes_no_probability_of_a_model_with_absolute_positions():
    """GPT-2 adds a vector per position, which padding shifted."""
    torch.manual_seed(0)
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "initializer_range": 1.0}
    model = PolicyWithValue(GPT2LMHeadModel(GPT2Config(vocab_size=40, **shape))).eval()
    ids = torch.randint(40, (1, 9))
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.long), ids], dim=1)
    mask = torch.cat([torch.zeros(1, 5, dtype=torch.long), torch.ones(1, 9, dtype=torch.long)], dim=1)
    with torch.no_grad():
        alone = model(ids, torch.ones_like(ids), 4, 1.0)
        beside = model(padded, mask, 4, 1.0)
    for one, other in zip(alone, beside, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_every_token_that_ends_a_turn_ends_a_completion(few_words, tmp_path):
    """Chat models end turns with another token than texts."""
    model, tokenizer = few_words
    model.generation_config.eos_token_id = [*range(20), 40]
    trainer = PPOTrainer(
        model,
        lambda *, completions, **_: [0.0] * len(completions),
        PPOConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=8),
        Dataset.from_list([{"prompt": "w1 w2"}] * 8),
        tokenizer,
    )
    sequences, attention, mask = trainer._completions(trainer.model, ["w1 w2", "w3"] * 4)
    completions = sequences[:, 2:]
    for row, kept in zip(completions.tolist(), mask.sum(dim=1).long().tolist(), strict=True):
        ends = [token < 20 or token == 40 for token in row]
        assert kept == (ends.index(True) + 1 if True in ends else len(row))
    assert attention[1, 0] == 0
