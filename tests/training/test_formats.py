"""The data set formats of TRL become rows that every run trains on."""

import json

import pytest
from datasets import Dataset

from halluc.errors import InvalidInput
from training.rows import read_rows
from training.runs.config import load_config
from training.runs.formats import normalized_rows
from training.runs.kto import KTORun, run_kto
from training.runs.preference import DPORun, run_dpo
from training.runs.sft import SFTRun, run_sft


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


EXPLICIT = {"prompt": [user("Who?")], "chosen": [assistant("Fleming")], "rejected": [assistant("Curie")]}
IMPLICIT = {"chosen": [user("Who?"), assistant("Fleming")], "rejected": [user("Who?"), assistant("Curie")]}
TURNS = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Fleming"}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (EXPLICIT, EXPLICIT),
        ({"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie"}, None),
        # An implicit prompt, in a conversation and in text.
        (IMPLICIT, EXPLICIT),
        (
            {"prompt": "Who?", "chosen": [user("Who?"), assistant("A")], "rejected": [user("Who?"), assistant("B")]},
            {"prompt": [user("Who?")], "chosen": [assistant("A")], "rejected": [assistant("B")]},
        ),
        (
            {"chosen": "Q: Who? A: Fleming", "rejected": "Q: Who? A: Florey"},
            {"prompt": "Q: Who? A:", "chosen": " Fleming", "rejected": " Florey"},
        ),
        # Content as parts, and the names of other tools.
        ({"prompt": [user(parts("Wh", "o?"))]}, {"prompt": [user("Who?")]}),
        (
            {"conversations": TURNS},
            {"messages": [user("Who?"), assistant("Fleming")]},
        ),
        ({"text": "It was Fleming."}, None),
    ],
)
def test_every_format_becomes_one_of_texts_or_messages(row, expected):
    assert normalized_rows(Dataset.from_list([row])).to_list() == [row if expected is None else expected]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": [user([{"type": "image"}])]}, "the prompt of row 0 cannot be trained on: .* only text can be read"),
        ({"chosen": "a b", "rejected": "c d"}, "chosen and rejected of row 0 have no common beginning"),
    ],
)
def test_rows_that_cannot_be_normalized_are_named(row, message):
    with pytest.raises(InvalidInput, match=message):
        normalized_rows(Dataset.from_list([row]))


@pytest.mark.parametrize(
    ("settings", "run", "column", "row"),
    [
        (DPORun, run_dpo, "pairs", {"chosen": "Q: Who? A: Fleming", "rejected": "Q: Who? A: Curie"}),
        (
            DPORun,
            run_dpo,
            "pairs",
            # The tools of OpenAI write parts for the user and texts for the assistant.
            {"chosen": [user(parts("Who?")), assistant("x")], "rejected": [user(parts("Who?")), assistant("y")]},
        ),
        (
            KTORun,
            run_kto,
            "examples",
            {"chosen": [user("Who?"), assistant("x")], "rejected": [user("Who?"), assistant("y")]},
        ),
        (SFTRun, run_sft, "examples", {"text": "It was Fleming."}),
        (
            SFTRun,
            run_sft,
            "examples",
            {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "x"}]},
        ),
    ],
    ids=["dpo-text", "dpo-parts", "kto", "sft-text", "sft-conversations"],
)
def test_runs_train_on_them(configure, settings, run, column, row):
    weight = {"factuality_weight": 0.0} if settings is DPORun else {}
    facts = run(load_config(settings, configure(column, [row, row], max_steps=1, save_strategy="no", **weight)))
    assert facts["steps"] == 1


def test_an_empty_text_is_named(configure):
    config = configure("examples", [{"text": "It was Fleming."}, {"text": " "}])
    with pytest.raises(InvalidInput, match="the text of row 1 is empty"):
        run_sft(load_config(SFTRun, config))


@pytest.mark.parametrize(("name", "character"), [("rows.csv", ","), ("rows.tsv", "\t")])
def test_tables_are_read_with_empty_cells_as_none(tmp_path, name, character):
    lines = [["prompt", "context", "label"], ["Who?", '"Fleming,\n1928"', "true"], ["When?", "", "false"]]
    (tmp_path / name).write_text("".join(character.join(line) + "\n" for line in lines))
    assert read_rows(tmp_path / name).to_list() == [
        {"prompt": "Who?", "context": "Fleming,\n1928", "label": True},
        {"prompt": "When?", "context": None, "label": False},
    ]
    (tmp_path / name).write_text("a\n1\x002,3,4\t5\n")
    with pytest.raises(InvalidInput, match=f"{name} cannot be read as a data set"):
        read_rows(tmp_path / name)


def test_parquet_and_the_hub_are_read(tmp_path, monkeypatch):
    rows = Dataset.from_list([EXPLICIT])
    rows.to_parquet(tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet").to_list() == [EXPLICIT]
    calls = []

    def load(name, split):
        calls.append((name, split))
        return rows

    monkeypatch.setattr("training.rows.require_hub", lambda *_, **__: None)
    monkeypatch.setattr("datasets.load_dataset", load)
    for name in ("hf://owner/name", "hf://owner/name:test"):
        assert read_rows(name).to_list() == [EXPLICIT]
    assert calls == [("owner/name", "train"), ("owner/name", "test")]

    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(InvalidInput, match="hf://owner/name cannot be read from the hub: no route"):
        read_rows("hf://owner/name")


def test_options_of_the_adapter_and_of_the_model_reach_peft_and_transformers(configure, tmp_path):
    changes = {"lora_alpha": 3, "lora_dropout": 0.1, "lora_target_modules": ["q_proj"], "use_rslora": True}
    changes |= {"model_init_kwargs": {"attn_implementation": "eager"}, "max_steps": 1, "save_strategy": "no"}
    loaded = {}
    from training.runs import sft

    original = sft.load_trainable

    def load(name, **options):
        tokenizer, model = original(name, **options)
        loaded["attention"] = model.config._attn_implementation
        return tokenizer, model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "load_trainable", load)
        run_sft(load_config(SFTRun, configure("examples", [{"text": "It was Fleming."}] * 2, **changes)))
    adapter = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    found = [adapter[name] for name in ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora")]
    assert found == [2, 3, 0.1, ["q_proj"], True]
    assert loaded["attention"] == "eager"


def test_a_reward_model_is_loaded_once(configure, monkeypatch):
    """The language model stayed in memory beside the classifier that was made from it."""
    from transformers import PreTrainedModel

    from training.runs.preference import RewardRun, run_reward

    loads = []
    original = PreTrainedModel.from_pretrained.__func__

    def counted(cls, *arguments, **options):
        loads.append(cls.__name__)
        return original(cls, *arguments, **options)

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(counted))
    run_reward(load_config(RewardRun, configure("pairs", [EXPLICIT], max_steps=1, save_strategy="no")))
    assert loads == ["LlamaForSequenceClassification"]
