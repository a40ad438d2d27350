import pytest

from halluc.errors import InvalidInput
from training.runs.config import load_config
from training.runs.preference import DPORun
from training.verifier.config import VerifierConfig


def test_a_file_and_settings_on_top_make_a_configuration(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 1e-4\nepochs: 1\nsources: [snli, mnli]\n")
    config = load_config(VerifierConfig, path, ["epochs=3", "bf16=false"])
    assert (config.learning_rate, config.epochs, config.bf16) == (1e-4, 3.0, False)
    assert config.sources == ("snli", "mnli")
    assert load_config(VerifierConfig) == VerifierConfig()


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("learning_rat: 1\n", [], "'learning_rat' is not a setting of VerifierConfig; did you mean 'learning_rate'"),
        ("zzz: 1\n", [], "'zzz' is not a setting of VerifierConfig; choose from base,"),
        ("- 1\n", [], "holds a list; write lines of 'key: value'"),
        ("a: [\n", [], "cannot be read"),
        ("", ["epochs"], "the setting 'epochs' has no '='"),
        ("epochs: 0\n", [], "epochs is 0.0; it must be above 0"),
        ("learning_rate: fast\n", [], "learning_rate is 'fast': Input should be a valid number"),
    ],
)
def test_an_unusable_configuration_is_refused(tmp_path, text, settings, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(")):
        load_config(VerifierConfig, tmp_path / "c.yaml", settings)


def test_a_dot_sets_a_setting_inside_of_a_setting(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("most: {snli: 5, mnli: 6}\nepochs: 1\n")
    assert load_config(VerifierConfig, path, ["most.snli=7", "most.rte=8"]).most == {"snli": 7, "mnli": 6, "rte": 8}
    with pytest.raises(InvalidInput, match=r"'epochs\.a' is inside of 'epochs', which is 1 and holds no settings"):
        load_config(VerifierConfig, path, ["epochs.a=1"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.yaml cannot be read"):
        load_config(VerifierConfig, tmp_path / "none.yaml")


@pytest.mark.parametrize("setting", ["deepspeed=none.json", "accelerator_config=none.json", "lr_scheduler_type=zigzag"])
def test_a_setting_that_the_trainers_refuse_ends_with_one_sentence(setting):
    """They look for files and libraries, and raise the errors of those."""
    with pytest.raises(InvalidInput, match=r"the configuration cannot be used: .*; correct that setting, or leave it out"):
        load_config(DPORun, None, ["pairs=pairs.jsonl", setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_steps=abc", "max_steps is 'abc': Input should be a valid integer"),
        ("max_steps=1.5", "max_steps is 1.5: Input should be a valid integer"),
        ("use_cpu=maybe", "use_cpu is 'maybe': Input should be a valid boolean"),
        ("factuality_weight=heavy", "factuality_weight is 'heavy': Input should be a valid number"),
        ("pairs=[a, b]", r"pairs is \['a', 'b'\]: Input should be a valid string"),
        ("lora_rank=null", "lora_rank is None: Input should be a valid integer"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(setting, message):
    """Values that are no numbers or truth values reached TRL, or counted as true."""
    with pytest.raises(InvalidInput, match=message):
        load_config(DPORun, None, ["pairs=p", setting])


def test_values_are_converted_by_the_types_of_the_fields_of_trl(tmp_path):
    settings = ["pairs=p", "learning_rate=1e-4", "loss_type=[ipo]", "use_cpu=yes", "bf16=false", f"output_dir={tmp_path}"]
    config = load_config(DPORun, None, settings)
    assert (config.learning_rate, config.loss_type, config.use_cpu, config.bf16) == (1e-4, ["ipo"], True, False)
