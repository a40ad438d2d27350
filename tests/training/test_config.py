import pytest

from halluc.errors import InvalidInput
from training.runs.config import load_config
from training.verifier.train import VerifierConfig


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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.yaml cannot be read"):
        load_config(VerifierConfig, tmp_path / "none.yaml")
