import json
import math

import pytest
from datasets import Dataset
from transformers import AutoTokenizer
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from halluc.models.default_model import pull
from training.cli import app
from training.dpo_run import DPORun, run_dpo
from training.pair_checks import check_pairs
from training.preferences.sampled import pairs_from_answers
from training.runs.config import load_config
from training.runs.row_checks import read_rows
from training.runs.run import lora_config

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


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(pull("default"))


@pytest.fixture
def pairs():
    return pairs_from_answers(QUESTIONS, ["Alexander Fleming", "1928"], ["Marie Curie", "1800"])


@pytest.fixture
def config(tmp_path, pairs):
    pairs.save_to_disk(str(tmp_path / "pairs"))
    lines = {"pairs": str(tmp_path / "pairs"), "output_dir": str(tmp_path / "out"), "lora_rank": 2, **SETTINGS}
    path = tmp_path / "dpo.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in lines.items()) + "\nlearning_rate: 1e-4\n")
    return path


def changed(pairs, **columns):
    return Dataset.from_dict({**{name: pairs[name][:] for name in pairs.column_names}, **columns})


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


def test_pairs_are_read_from_json_lines_too(tmp_path, pairs):
    pairs.to_json(str(tmp_path / "p.jsonl"))
    assert read_rows(tmp_path / "p.jsonl").to_list() == pairs.to_list()
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(InvalidInput, match=r"bad\.jsonl cannot be read as a data set"):
        read_rows(tmp_path / "bad.jsonl")
    with pytest.raises(InvalidInput, match="there is no "):
        read_rows(tmp_path / "none")


def test_pairs_that_would_be_trained_on_wrongly_are_named_by_row(pairs, tokenizer):
    say = [[{"role": "assistant", "content": text}] for text in ("1800", "1800")]
    silent = [[{"role": "assistant", "content": text}] for text in ("x", " ")]
    for broken, message in [
        (pairs.remove_columns("chosen"), "no column 'chosen'; it has prompt, rejected,"),
        (pairs.rename_column("rejected_factuality", "reject_factuality"), "did you call it 'reject_factuality'"),
        (changed(pairs, chosen=say, rejected=say), "chosen and rejected of row 0 are equal, '1800'"),
        (changed(pairs, rejected=silent), "the rejected completion of row 1 is empty"),
        (changed(pairs, chosen_factuality=[1.0, float("nan")]), "chosen_factuality of row 1 is nan"),
        (pairs.select([]), "there are no preference pairs"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            check_pairs(broken, tokenizer)
    check_pairs(pairs.remove_columns("rejected_factuality"), tokenizer, factuality=False)


def test_a_prompt_or_a_completion_that_does_not_fit_is_named(pairs, tokenizer):
    longest = max(
        len(tokenizer.apply_chat_template([*row["prompt"], *row[side]], return_dict=True)["input_ids"])
        for row in pairs
        for side in ("chosen", "rejected")
    )
    check_pairs(pairs, tokenizer, max_length=longest)
    with pytest.raises(InvalidInput, match=rf"the prompt with the \w+ completion of row \d has {longest} tokens"):
        check_pairs(pairs, tokenizer, max_length=longest - 1)
    with pytest.raises(InvalidInput, match=r"the prompt of row 0 has \d+ tokens, over the max_length of 5"):
        check_pairs(pairs, tokenizer, max_length=5)


def test_conversations_need_a_chat_template(pairs):
    bare = AutoTokenizer.from_pretrained(pull("default"))
    bare.chat_template = None
    with pytest.raises(InvalidInput, match="has no chat template"):
        check_pairs(pairs, bare)
    plain = changed(pairs, prompt=QUESTIONS, chosen=[" Fleming", " 1928"], rejected=[" Curie", " 1800"])
    check_pairs(plain, bare, max_length=40)
