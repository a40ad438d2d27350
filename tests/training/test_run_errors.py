"""Every run refuses what it cannot train on before it trains, and names the setting, the column or the row."""

import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from halluc.errors import HallucError, InvalidInput
from training.runs.config import load_config
from training.runs.kto import KTORun, run_kto
from training.runs.online import GRPORun, RLOORun, run_grpo, run_rloo
from training.runs.preference import DPORun, ORPORun, RewardRun, run_dpo, run_orpo, run_reward
from training.runs.sft import SFTRun, run_sft


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


PAIR = {"prompt": user("Who?"), "chosen": assistant("Fleming"), "rejected": assistant("Curie")}
FACTS = {"chosen_factuality": 1.0, "rejected_factuality": 0.0}
EXAMPLE = {"prompt": user("Who?"), "completion": assistant("Fleming")}
PROMPT = {"prompt": "Who?", "context": "Fleming."}

PAIRED = [
    pytest.param(DPORun, run_dpo, "pairs", PAIR | FACTS, id="dpo"),
    pytest.param(RewardRun, run_reward, "pairs", PAIR, id="reward"),
    pytest.param(ORPORun, run_orpo, "pairs", PAIR, id="orpo"),
    pytest.param(KTORun, run_kto, "examples", PAIR, id="kto"),
]
ONLINE = [
    pytest.param(GRPORun, run_grpo, "prompts", PROMPT, id="grpo"),
    pytest.param(RLOORun, run_rloo, "prompts", PROMPT, id="rloo"),
]
SFT = pytest.param(SFTRun, run_sft, "examples", EXAMPLE, id="sft")
LABELLED = pytest.param(KTORun, run_kto, "examples", EXAMPLE | {"label": True}, id="kto-labelled")
every = pytest.mark.parametrize(("settings", "run", "column", "row"), [*PAIRED, SFT, *ONLINE])


def refused(run, settings, config, message):
    with pytest.raises(InvalidInput, match=message):
        run(load_config(settings, config))


@every
def test_an_unknown_setting_is_named_with_the_most_similar_one(configure, settings, run, column, row):
    refused(run, settings, configure(column, [row], lora_rnk=1), "'lora_rnk' is not a setting .*did you mean 'lora_rank'")


@every
def test_a_run_without_data_is_refused(configure, settings, run, column, row):
    refused(run, settings, configure("output_dir", [row]), f"{column} is not set; name a folder or file")


@every
def test_a_missing_column_is_named_with_the_most_similar_one(configure, settings, run, column, row):
    renamed = {"promt" if name == "prompt" else name: value for name, value in row.items()}
    refused(run, settings, configure(column, [renamed]), "no column 'prompt'; did you mean 'promt'")


@every
def test_conversations_need_a_chat_template(configure, tmp_path, tiny, settings, run, column, row):
    bare = Path(shutil.copytree(tiny, tmp_path / "bare"))
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.chat_template = None
    (bare / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(bare)
    refused(run, settings, configure(column, [row], model=str(bare)), "has no chat template")


@pytest.mark.parametrize(("settings", "run", "column", "row"), [*PAIRED, SFT])
def test_a_prompt_longer_than_the_window_is_named(configure, settings, run, column, row):
    long = row | {"prompt": user("word " * 300)}
    refused(run, settings, configure(column, [row, long], max_length=256), "the prompt of row 1 has 3.. tokens, more")


@pytest.mark.parametrize(("settings", "run", "column", "row"), ONLINE)
def test_a_prompt_that_leaves_no_room_or_is_empty_is_named(configure, settings, run, column, row):
    long = configure(column, [row, row | {"prompt": "word " * 9000}], max_completion_length=100)
    refused(run, settings, long, r"the prompt of row 1 has 9\d+ tokens; with max_completion_length 100 it exceeds")
    refused(run, settings, configure(column, [row, row | {"prompt": " "}]), "the prompt of row 1 is empty")
    refused(run, settings, configure(column, [{"prompt": "Who?"}]), "no column 'context' or 'references'")


@pytest.mark.parametrize(("settings", "run", "column", "row"), PAIRED)
def test_equal_and_empty_completions_of_pairs_are_named(configure, settings, run, column, row):
    equal = row | {"rejected": row["chosen"]}
    refused(run, settings, configure(column, [row, equal]), "chosen and rejected of row 1 are equal, 'Fleming'")
    empty = row | {"rejected": assistant(" ")}
    refused(run, settings, configure(column, [row, empty]), "the rejected completion of row 1 is empty")


@pytest.mark.parametrize(("settings", "run", "column", "row"), [SFT, LABELLED])
def test_an_empty_completion_is_named(configure, settings, run, column, row):
    empty = row | {"completion": assistant(""), "label": False}
    refused(run, settings, configure(column, [row, empty]), "the completion of row 1 is empty")


@pytest.mark.parametrize(("settings", "run", "column", "row"), [*PAIRED, SFT])
def test_a_loss_that_is_not_finite_stops_the_run_and_the_checkpoint_is_named(configure, settings, run, column, row):
    rows = [row, row | {"prompt": user("When?")}]
    # Weights of 1e38 are finite, what they compute is not.
    config = configure(column, rows, learning_rate=1e38, lr_scheduler_type="constant", max_grad_norm=0.0)
    refused(run, settings, config, r"step 1: the loss of step 2 is (nan|inf); .* checkpoint is .*checkpoint-1")


def test_settings_that_cannot_be_used_are_named(configure):
    refused(run_sft, SFTRun, configure("examples", [EXAMPLE], lora_rank=-1), "lora_rank is -1")
    refused(
        run_sft, SFTRun, configure("examples", [EXAMPLE], model="http://localhost/v1#m"), "endpoint and cannot be trained"
    )
    config = configure("examples", [PAIR], per_device_train_batch_size=1)
    refused(run_kto, KTORun, config, "KTOTrainer cannot use these settings: .*batch size must be > 1")


@pytest.fixture
def no_model(monkeypatch):
    """Fail the test if a model or a verifier is loaded."""

    def load(*_, **__):
        raise AssertionError("a model was loaded before everything was checked")

    for name in ("preference", "online", "sft", "kto"):
        monkeypatch.setattr(f"training.runs.{name}.load_trainable", load)
    monkeypatch.setattr("halluc.models.load_model", load)
    monkeypatch.setattr("halluc.verification.load_verifier", load)


@every
def test_everything_that_needs_no_model_is_checked_before_one_is_loaded(
    configure, tmp_path, no_model, settings, run, column, row
):
    """Folders, files and options were looked at after the model was loaded, or after the training."""
    (tmp_path / "file").write_text("a book")
    checkpoint = tmp_path / "earlier" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    for changes, message in [
        ({"output_dir": str(tmp_path / "file")}, "file cannot be a folder: .*file is a file"),
        ({"output_dir": str(tmp_path / "file" / "out")}, "out cannot be a folder: .*file is a file"),
        ({"output_dir": str(tmp_path / "earlier"), "resume": False}, "earlier has checkpoints .* resume from checkpoint-7"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"model": "http://localhost/v1#m"}, "is an endpoint and cannot be trained"),
        ({column: str(tmp_path / "nowhere.jsonl")}, r"there is no .*nowhere\.jsonl"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)
    refused(run, settings, configure(column, [row, row | {"prompt": None}]), r"the prompt of row 1 is missing \(null\)")
    assert (tmp_path / "file").read_text() == "a book"


@pytest.mark.parametrize(
    ("settings", "run", "column", "row"), [case for case in [*PAIRED, SFT, *ONLINE] if case.id != "reward"]
)
def test_evaluation_files_are_checked_before_a_model_is_loaded(configure, tmp_path, no_model, settings, run, column, row):
    """A bad row of the evaluation was found after the model was loaded."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "Who?", "references": ["Fleming"]}\n{"question": "When?"}\n')
    for changes, message in [
        ({"eval_questions": str(tmp_path / "none.jsonl")}, r"there is no .*none\.jsonl"),
        ({"eval_questions": str(questions)}, "question row 1 has the references None"),
        ({"eval_text": str(questions)}, "eval_questions is not"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)


@pytest.mark.parametrize(("settings", "run", "column", "row"), ONLINE)
def test_the_index_and_the_options_of_a_reward_are_checked_first(configure, tmp_path, no_model, settings, run, column, row):
    with pytest.raises(HallucError, match="none"):
        run(load_config(settings, configure(column, [row], index=str(tmp_path / "none"))))
    for changes, message in [
        ({"words": [5, 2]}, "the length ranges from 5 to 2 words"),
        ({"held_out_verifier": "default", "max_gap_growth": 0}, "max_gap_growth is 0"),
        ({"kind": "ternary", "kind_settings": {"wrong": 2}}, "the order must be 1 > abstain > wrong"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)
