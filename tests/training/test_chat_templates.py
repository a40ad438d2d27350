"""Training on conversations with a system message, by tokenizers whose chat template has no system role."""

import shutil
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from training.rewards.model import RewardModel
from training.runs.config import load_config
from training.runs.preference import DPORun, run_dpo
from training.runs.row_checks import fit_conversations, prompts_as_messages
from training.runs.sft import SFTRun, run_sft

TEMPLATES = {
    "Gemma": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}<turn>{{ message['role'] }}\n{{ message['content'] }}</turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<turn>model\n{% endif %}"
    ),
    "Mistral": (
        "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{{ message['content'] }}</s>{% endfor %}"
    ),
}
PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
MERGED = [{"role": "user", "content": "Be brief.\n\nWho?"}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture(params=TEMPLATES.values(), ids=TEMPLATES)
def model(tiny, tmp_path, request):
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = request.param
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "run", "column", "row"),
    [
        (SFTRun, run_sft, "examples", {"prompt": PROMPT, "completion": assistant("Fleming")}),
        (SFTRun, run_sft, "examples", {"messages": PROMPT + assistant("Fleming")}),
        (DPORun, run_dpo, "pairs", {"prompt": PROMPT, "chosen": assistant("Fleming"), "rejected": assistant("Curie")}),
    ],
    ids=["sft", "sft-messages", "dpo"],
)
def test_a_run_trains_on_system_messages(configure, model, settings, run, column, row):
    facts = {"chosen_factuality": 1.0, "rejected_factuality": 0.0} if column == "pairs" else {}
    assert run(load_config(settings, configure(column, [row | facts] * 2, model=model, max_steps=1)))["steps"] == 1


def test_prompts_are_written_as_generation_writes_them(model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    prompts = Dataset.from_list([{"prompt": PROMPT}])
    assert prompts_as_messages(prompts, tokenizer, window=None, max_completion_length=8)["prompt"][0] == MERGED
    rows = fit_conversations(Dataset.from_list([{"prompt": PROMPT, "label": True, "text": "x", "chosen": None}]), tokenizer)
    assert rows[0] == {"prompt": MERGED, "label": True, "text": "x", "chosen": None}


def test_a_reward_model_encodes_what_it_was_trained_on(model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    reward = object.__new__(RewardModel)
    reward.tokenizer = tokenizer
    expected = tokenizer.apply_chat_template(MERGED + assistant("Fleming"), return_dict=True)["input_ids"]
    assert reward._encode(PROMPT, assistant("Fleming")) == expected
