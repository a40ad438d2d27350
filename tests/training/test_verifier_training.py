"""A small real training run, by the command a user types."""

import json
import random

import pytest
from typer.testing import CliRunner

from halluc import load_verifier
from halluc.errors import InvalidInput
from training.cli import app
from training.verifier.train import VerifierConfig, train_verifier

COLOURS = ["red", "blue", "green", "white", "black", "yellow"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Premises about coloured things, and hypotheses that agree or do not."""
    generator = random.Random(0)
    rows = []
    for i in range(600):
        colour, other = generator.sample(COLOURS, 2)
        entailed = i % 2 == 0
        hypothesis = f"The box is {colour if entailed else other}."
        label = "entailment" if entailed else "contradiction"
        rows.append({"premise": f"Box number {i} is {colour}.", "hypothesis": hypothesis, "label": label})
    folder = tmp_path_factory.mktemp("data")
    (folder / "nli").mkdir()
    (folder / "nli" / "snli.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("lora_rank", [0, 8])
def test_the_command_trains_a_verifier_that_learns(data, tmp_path, lora_rank):
    config = tmp_path / "config.yaml"
    config.write_text("sources: [snli]\nepochs: 3\nbatch_size: 16\nlearning_rate: 3e-4\nmax_tokens: 32\n")
    arguments = [
        "verifier",
        str(config),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "v"),
        "--set",
        f"lora_rank={lora_rank}",
    ]
    arguments += ["--set", "learning_rate=1e-3", "--set", "epochs=6"] if lora_rank else []
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["settings"]["lora_rank"] == lora_rank
    assert facts["training_pairs"] == pytest.approx(480, abs=40)
    verifier = load_verifier(str(tmp_path / "v"))
    assert verifier.calibrator is not None
    pairs = [
        (f"Chair number {i} is {a}.", f"The chair is {b}.")
        for i, (a, b) in enumerate(zip(COLOURS, COLOURS[::-1], strict=True))
    ]
    same = [(evidence, f"The chair is {COLOURS[i]}.") for i, (evidence, _) in enumerate(pairs)]
    assert verifier.support(same).mean() > verifier.support(pairs).mean() + 0.3


def test_a_folder_in_use_and_data_without_rows_are_refused(data, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(InvalidInput, match="full is not empty; name a new folder"):
        train_verifier(VerifierConfig(), data, tmp_path / "full")
    (tmp_path / "nli").mkdir()
    (tmp_path / "nli" / "snli.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="has no training rows of snli"):
        train_verifier(VerifierConfig(sources=("snli",)), tmp_path, tmp_path / "new")
