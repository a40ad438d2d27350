import json

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.rows import read_rows
from training.runs.config import load_config
from training.runs.preference import DPORun, run_dpo
from training.runs.row_checks import check_examples
from training.runs.sft import SFTRun, run_sft

PROMPT = [{"role": "user", "content": "Who discovered penicillin?"}]
COMPLETION = [{"role": "assistant", "content": "I don't know."}]


def test_the_command_learns_only_the_completion(configure, tmp_path, tiny):
    rows = [{"prompt": PROMPT, "completion": COMPLETION, "share_right": 0.0}]
    path = configure("examples", rows, learning_rate=0.0, max_steps=1, eval_strategy="steps")
    settings = ["--set", f"eval_examples={tmp_path / 'rows.jsonl'}", "--json"]
    facts = json.loads(CliRunner().invoke(app, ["sft", str(path), *settings], catch_exceptions=False).stdout)
    assert (facts["examples"], facts["steps"]) == (1, 1)
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == facts
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    # The mean over the tokens of the completion, the end of its turn included.
    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModelForCausalLM.from_pretrained(tiny).eval()
    start = len(tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_dict=True)["input_ids"])
    ids = torch.tensor([tokenizer.apply_chat_template(PROMPT + COMPLETION, return_dict=True)["input_ids"]])
    with torch.no_grad():
        table = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)
    expected = -table.gather(1, ids[0, 1:, None])[start - 1 :].mean().item()
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["eval_loss"] for line in lines if "eval_loss" in line] == pytest.approx([expected], abs=1e-4)


def test_whole_conversations_and_all_weights_can_be_trained(configure, tmp_path):
    path = configure("examples", [{"messages": PROMPT + COMPLETION}], lora_rank=0)
    facts = run_sft(load_config(SFTRun, path))
    assert facts["steps"] == 2
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_conversations_without_anything_to_learn_are_named(configure, tmp_path):
    for rows, message in [
        (
            [{"messages": PROMPT + COMPLETION}, {"messages": COMPLETION + PROMPT}],
            "last message of row 1 has the role 'user'",
        ),
        ([{"messages": [*PROMPT, {"role": "assistant", "content": " "}]}], "the completion of row 0 is empty"),
        ([{"message": PROMPT}], "no column 'prompt'; its columns are message"),
    ]:
        configure("examples", rows)
        with pytest.raises(InvalidInput, match=message):
            check_examples(read_rows(tmp_path / "rows.jsonl"))


def test_a_run_continues_from_the_adapter_of_another_run(configure, tmp_path, tiny):
    examples = [{"prompt": PROMPT, "completion": COMPLETION}]
    first = configure("examples", examples, learning_rate=0.1, output_dir=str(tmp_path / "first"))
    run_sft(load_config(SFTRun, first))
    pairs = [{"prompt": PROMPT, "chosen": COMPLETION, "rejected": [{"role": "assistant", "content": "I do."}]}]
    second = configure("pairs", pairs, model=str(tmp_path / "first"), factuality_weight=0.0, max_steps=1)
    assert run_dpo(load_config(DPORun, second))["training_loss"] == pytest.approx(0.6931, abs=1e-2)
    adapter = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    ids = torch.tensor([[1, 50, 60, 70]])
    plain, start = (
        AutoModelForCausalLM.from_pretrained(path).eval()(ids).logits for path in (tiny, adapter["base_model_name_or_path"])
    )
    tuned = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "first").eval()(ids).logits
    assert torch.allclose(start, tuned, atol=1e-4)
    assert not torch.allclose(start, plain, atol=1e-2)
