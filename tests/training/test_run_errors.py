"""Every run refuses what it cannot train on before it trains, and names the setting, the column or the row."""

import inspect
import re
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
LABELED = pytest.param(KTORun, run_kto, "examples", EXAMPLE | {"label": True}, id="kto-labeled")
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


@pytest.mark.parametrize(("settings", "run", "column", "row"), [SFT, LABELED])
def test_an_empty_completion_is_named(configure, settings, run, column, row):
    empty = row | {"completion": assistant(""), "label": False}
    refused(run, settings, configure(column, [row, empty]), "the completion of row 1 is empty")


LOSS = r"step 1: the loss of step 2 \(rows? 0(?: and 1)? of the data set\) is (nan|inf); .* checkpoint is .*checkpoint-1"


@pytest.mark.parametrize(("settings", "run", "column", "row"), [*PAIRED, SFT])
def test_a_loss_that_is_not_finite_stops_the_run_and_its_rows_and_the_checkpoint_are_named(
    configure, settings, run, column, row
):
    rows = [row, row | {"prompt": user("When?")}]
    # Weights of 1e38 are finite, what they compute is not, for either row.
    config = configure(column, rows, learning_rate=1e38, lr_scheduler_type="constant", max_grad_norm=0.0)
    refused(run, settings, config, LOSS)


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
    monkeypatch.setattr("training.runs.preference.load_scorer", load)
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
def test_an_index_with_a_password_in_its_url_is_refused_before_settings_are_saved(
    configure, tmp_path, no_model, settings, run, column, row
):
    with pytest.raises(HallucError, match="has a password") as error:
        run(load_config(settings, configure(column, [row], index="postgresql://u:s3cret@host/db")))
    assert "s3cret" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.name in ("settings.json", "training_args.bin")]


@pytest.mark.parametrize(("settings", "run", "column", "row"), ONLINE)
def test_the_index_and_the_options_of_a_reward_are_checked_first(configure, tmp_path, no_model, settings, run, column, row):
    with pytest.raises(HallucError, match="none"):
        run(load_config(settings, configure(column, [row], index=str(tmp_path / "none"))))
    for changes, message in [
        ({"words": [5, 2]}, "the length ranges from 5 to 2 words"),
        ({"second_verifier": "default"}, "second_verifier is 'default', the verifier itself"),
        (
            {"reward_settings": {"copies": 1}},
            "'copies' is not one of the reward_settings",
        ),
        ({"reward_settings": {"copy_penalty": -1}}, "copy_penalty is -1"),
        ({"rewards": ["nowhere:reward"]}, "the reward 'nowhere:reward' cannot be imported: ModuleNotFoundError"),
        ({"rewards": ["math"]}, "the reward 'math' names no function"),
        ({"rewards": ["math:sine"]}, "math has no function 'sine'"),
        ({"rewards": ["math:gcd"]}, "takes no .*kwargs"),
        ({"held_out_verifier": "large", "max_gap_growth": 0}, "max_gap_growth is 0"),
        ({"kind": "ternary", "kind_settings": {"wrong": 2}}, "the order must be 1 > abstain > wrong"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)


@every
def test_settings_that_fail_late_or_train_nothing_are_refused_before_a_model_is_loaded(
    configure, no_model, settings, run, column, row
):
    """They were errors of torch after the model was loaded, or runs of no steps that ended well."""
    for changes, message in [
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is 0; pass at least 1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0; pass at least 1|batch size"),
        ({"learning_rate": -1}, "learning_rate is -1.0; pass 0 or more"),
        ({"max_steps": "abc"}, "max_steps is 'abc'"),
        ({"max_steps": 0}, "max_steps is 0; pass at least 1, or -1"),
        ({"max_steps": -1, "num_train_epochs": -1}, "num_train_epochs is -1.0, which trains nothing"),
        ({"report_to": "wandb"}, "report_to is 'wandb', which is not installed"),
        ({"use_liger_kernel": True}, "use_liger_kernel is true, and liger-kernel is not installed"),
        ({"dtype": "float8"}, "dtype is 'float8'; choose from float32"),
        ({"load_in_4bit": True}, "load_in_4bit is true, and bitsandbytes is not installed"),
        ({"load_in_4bit": True, "lora_rank": 0}, "load_in_4bit is true and lora_rank is 0"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"lora_dropout": 1}, "lora_dropout is 1"),
        ({"lora_target_modules": []}, "lora_target_modules is empty"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)


@pytest.mark.parametrize(("settings", "run", "column", "row"), PAIRED)
def test_losses_and_their_weights_are_checked_too(configure, no_model, settings, run, column, row):
    if settings is not RewardRun:
        refused(run, settings, configure(column, [row], beta=0), "beta is 0.0; pass a number above 0")
    if settings in (DPORun, KTORun):
        loss = ["sigmoid", "foo"] if settings is DPORun else "foo"
        refused(run, settings, configure(column, [row], loss_type=loss), "loss_type is 'foo'; choose from ")


def test_the_known_losses_of_dpo_are_those_of_trl(configure):
    """TRL names them in the error of its first step."""
    from trl import DPOTrainer

    from training.runs.setting_checks import _LOSSES

    source = inspect.getsource(DPOTrainer._compute_loss)
    assert set(re.findall(r'loss_type == "(\w+)"', source)) == set(_LOSSES["DPOConfig"])


@pytest.mark.parametrize(("settings", "run", "column", "row"), ONLINE)
def test_evidence_is_checked_by_row_of_the_file(configure, no_model, settings, run, column, row):
    """It was found missing in the middle of a run, with a row of a batch as its name."""
    for broken, message in [
        ({"context": None}, "row 2 has no evidence"),
        ({"context": " "}, "every passage of the context of row 2 is blank"),
        ({"context": [3]}, "row 2|cannot be read as a data set|another form|same form"),
        ({"context": None, "references": []}, "row 2 has no evidence"),
    ]:
        rows = [row | {"references": ["x"]}, row | {"references": ["x"]}, {"prompt": "Who?", "references": None} | broken]
        refused(run, settings, configure(column, rows), message)
    same = configure(column, [row], verifier="default", held_out_verifier="default")
    refused(run, settings, same, "held_out_verifier is 'default', the verifier itself; name another")


@every
def test_ranges_are_checked_before_a_model_is_loaded(configure, no_model, settings, run, column, row):
    """They were errors of torch in the first step, or ignored."""
    for changes, message in [
        ({"weight_decay": -1}, "weight_decay is -1.0; pass 0 or more"),
        ({"adam_beta1": 2}, "adam_beta1 is 2.0; pass a number above 0 and below 1"),
        ({"adam_epsilon": -1}, "adam_epsilon is -1.0; pass 0 or more"),
        ({"max_grad_norm": -1}, "max_grad_norm is -1.0; pass 0 or more"),
        ({"seed": -1}, "seed is -1; pass a number from 0 to 4294967295"),
        ({"save_steps": 0, "save_strategy": "steps"}, "save_steps is 0.*; pass a number above 0"),
        ({"save_total_limit": -2}, "save_total_limit is -2; pass 1 or more"),
        ({"output_dir": ""}, "output_dir is empty; name a folder"),
        ({"output_dir": None}, "output_dir is empty; name a folder"),
        ({"resume_from_checkpoint": "none"}, "resumes the last checkpoint of its output_dir by itself; leave it out"),
    ]:
        refused(run, settings, configure(column, [row], **changes), message)
    if column == "prompts":
        refused(run, settings, configure(column, [row], temperature=0), "temperature is 0.0; pass a number above 0")


@pytest.mark.parametrize(("settings", "run", "column", "row"), PAIRED)
def test_an_empty_conversation_as_prompt_is_named(configure, no_model, settings, run, column, row):
    refused(run, settings, configure(column, [row | {"prompt": []}]), "the prompt of row 0 is empty; drop the row")


def test_a_model_without_a_tokenizer_and_a_file_are_named(configure, tmp_path, tiny):
    bare = Path(shutil.copytree(tiny, tmp_path / "bare"))
    for file in bare.glob("*token*"):
        file.unlink()
    (tmp_path / "file").write_text("a book")
    for model, message in [(bare, "it has no tokenizer that can be read"), (tmp_path / "file", "it is a file")]:
        with pytest.raises(HallucError, match=f"{model} could not be loaded .*{message}"):
            run_dpo(load_config(DPORun, configure("pairs", [PAIR | FACTS], model=str(model))))
