import json
from pathlib import Path

import pytest
from datasets import load_from_disk
from typer.testing import CliRunner

from halluc.errors import HallucError, InvalidInput
from training.cli import app
from training.preferences.dataset import PairFolder
from training.runs.config import load_config
from training.runs.pairs import PairsConfig, _build_with_workers, make_pairs
from training.runs.preference import DPORun, run_dpo

EXAMPLE = Path(__file__).parents[2] / "examples" / "training" / "pairs.yaml"
FACTS = "Penicillin was discovered by Alexander Fleming in London in 1928."
ROWS = [
    {"question": "Who discovered penicillin?", "right": "Alexander Fleming", "wrong": "Marie Curie", "context": FACTS},
    {"question": "When was penicillin discovered?", "right": "In 1928.", "wrong": "In 1800.", "context": FACTS},
]


@pytest.fixture
def settings_for(tmp_path):
    """Settings for rows in a file: settings_for(rows, n_samples=2)."""

    def settings(rows, /, **values):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {"rows": str(tmp_path / "rows.jsonl"), "out": str(tmp_path / "pairs"), **values}
        return [f"{key}={json.dumps(value)}" for key, value in settings.items()]

    return settings


def command(settings, config=EXAMPLE):
    arguments = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(app, ["pairs", str(config), "--json", *arguments], catch_exceptions=False)


def test_the_example_samples_pairs_that_dpo_trains_on(settings_for, lm, configure, tmp_path):
    settings = settings_for(
        [{"question": row["question"], "context": FACTS} for row in ROWS],
        n_samples=4,
        max_new_tokens=64,
        min_margin=0.01,
        min_chosen=None,
    )
    facts = json.loads(command([*settings, "max_length_ratio=9"]).stdout)
    assert (facts["rows"], facts["method"], facts["model"], facts["n_samples"]) == (2, "sampled", lm.name, 4)
    pairs = load_from_disk(str(tmp_path / "pairs"))
    assert facts["pairs"] == len(pairs) > 0
    assert all(row["chosen_factuality"] > row["rejected_factuality"] for row in pairs)
    trained = run_dpo(load_config(DPORun, configure("pairs", [], pairs=str(tmp_path / "pairs"), max_steps=1)))
    assert (trained["pairs"], trained["steps"]) == (facts["pairs"], 1)


def test_right_and_wrong_answers_are_scored_by_the_default_verifier(settings_for, tmp_path):
    facts = make_pairs(load_config(PairsConfig, None, settings_for(ROWS, method="answers")))
    assert (facts["pairs"], facts["rows_scored_otherwise"], facts["reward"]) == (2, 0, "factuality")
    pairs = load_from_disk(str(tmp_path / "pairs"))
    assert [row[0]["content"] for row in pairs["chosen"]] == ["Alexander Fleming", "In 1928."]
    assert all(
        0 <= low < high <= 1 for high, low in zip(pairs["chosen_factuality"], pairs["rejected_factuality"], strict=True)
    )


def test_without_a_verifier_answers_and_revisions_are_trusted(settings_for, tmp_path):
    facts = make_pairs(load_config(PairsConfig, None, settings_for(ROWS, method="answers", verifier=None)))
    assert facts["reward"] == "1 for chosen, 0 for rejected"
    settings = settings_for(ROWS, method="constitution", verifier=None, max_new_tokens=64, max_length_ratio=99.0)
    facts = make_pairs(load_config(PairsConfig, None, [*settings, f"out={tmp_path / 'revised'}"]))
    pairs = load_from_disk(str(tmp_path / "revised"))
    assert len(pairs) == facts["pairs"] > 0
    assert set(pairs["principle"]) <= {principle["name"] for principle in facts["principles"]}


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (ROWS, {}, "method is ''; choose from sampled, answers, cove, constitution"),
        (ROWS, {"method": "sampled", "rows": ""}, "rows is not set"),
        (ROWS, {"method": "sampled", "out": ""}, "out is not set"),
        (ROWS, {"method": "sampled", "rows": "nowhere"}, "there is no nowhere"),
        (ROWS, {"method": "sampled", "kind": "truth"}, "kind is 'truth'; choose from precision"),
        (ROWS, {"method": "sampled", "verifier": None}, "verifier is null, but 'sampled' needs one"),
        (ROWS, {"method": "cove", "n_samples": 3}, "n_samples has no effect with the method 'cove'"),
        (ROWS, {"method": "sampled", "variant": "joint"}, "variant has no effect with the method 'sampled'"),
        (ROWS, {"methd": "cove"}, "'methd' is not a setting of PairsConfig; did you mean 'method'"),
        ([], {"method": "answers"}, "no rows|cannot be read"),
        ([{"question": "Who?"}], {"method": "sampled"}, "has no column 'context' or 'references'"),
        ([{"question": " ", "context": "x"}], {"method": "sampled"}, "row 0 of .* has the prompt ' '"),
        ([{"prompt": [{"role": "user", "content": "x"}], "context": "x"}], {"method": "cove"}, "row 0 .* is a conversation"),
        ([ROWS[0], {"question": "When?", "context": "x"}], {"method": "answers"}, "row 1 of .* has no 'right'"),
        (
            [ROWS[0], {**ROWS[0], "context": None}],
            {"method": "answers"},
            "row 1 of .* has no context; every row needs evidence",
        ),
    ],
)
def test_unusable_settings_and_rows_are_named(settings_for, rows, settings, message):
    with pytest.raises(InvalidInput, match=message):
        make_pairs(load_config(PairsConfig, None, settings_for(rows, **settings)))


def test_everything_that_needs_no_model_is_checked_before_one_is_loaded(settings_for, tmp_path, monkeypatch):
    """Folders, the index, principles and options were looked at after the models were loaded."""

    def load(*_, **__):
        raise AssertionError("a model was loaded before everything was checked")

    monkeypatch.setattr("halluc.models.load_model", load)
    monkeypatch.setattr("halluc.verification.load_verifier", load)
    (tmp_path / "file").write_text("a book")
    for settings, message in [
        ({"method": "sampled", "out": str(tmp_path / "file")}, "file is a file"),
        ({"method": "sampled", "out": str(tmp_path)}, "holds something other than preference pairs"),
        ({"method": "sampled", "index": str(tmp_path / "none")}, "none"),
        ({"method": "sampled", "min_margin": 0}, "min_margin is 0"),
        ({"method": "sampled", "n_samples": 1}, "n_samples is 1"),
        ({"method": "sampled", "temperature": 0}, "temperature is 0"),
        ({"method": "sampled", "batch_size": 0}, "batch_size is 0"),
        ({"method": "sampled", "max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"method": "sampled", "abstention": "Paris."}, "does not read as one"),
        ({"method": "cove", "variant": "twice"}, "variant is 'twice'; choose from joint"),
        ({"method": "constitution", "principles": str(tmp_path / "none.yaml")}, r"none\.yaml cannot be read"),
    ]:
        with pytest.raises(HallucError, match=message):
            make_pairs(load_config(PairsConfig, None, settings_for(ROWS, **settings)))


def test_rows_may_have_either_kind_of_evidence(settings_for, tmp_path):
    """A missing context of one row was an error although the row had references."""
    rows = [ROWS[0], {**ROWS[1], "context": None, "references": ["1928"]}]
    facts = make_pairs(load_config(PairsConfig, None, settings_for(rows, method="answers")))
    assert (facts["rows"], facts["pairs"]) == (2, 2)


def test_two_workers_make_the_pairs_of_one_process(settings_for, tmp_path):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    made = {}
    for workers in (1, 2):
        settings = [*settings_for(ROWS, method="answers", verifier=None), f"out={tmp_path / str(workers)}"]
        facts = make_pairs(load_config(PairsConfig, None, settings), workers=workers)
        facts.pop("out")
        made[workers] = facts, load_from_disk(str(tmp_path / str(workers))).to_list()
    assert made[1] == made[2]
    assert len(made[1][1]) == 2


def test_a_build_with_workers_resumes_after_its_last_batch(tmp_path):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    marker = tmp_path / "go on"

    def load():
        def make_batch(number):
            if number == 2 and not marker.exists():
                raise InvalidInput("batch 2 cannot be made")
            reply = [{"role": "assistant", "content": "yes"}]
            pair = {"row": number, "chosen": reply, "rejected": reply}
            return {"pairs": [pair], "made": number * marker.exists()}

        return make_batch

    def build():
        folder = PairFolder(tmp_path / "pairs", {}, {})
        return _build_with_workers(2, load, folder, 5, lambda _: pytest.fail("made here"), "making pairs")

    with pytest.raises(InvalidInput, match="batch 2 cannot be made"):
        build()
    files = sorted(path.name for path in (tmp_path / "pairs.partial").glob("batch-*"))
    assert files == ["batch-000000.json", "batch-000001.json"]
    marker.write_text("")
    assert list(build()["row"]) == [0, 1, 2, 3, 4]
    # Batches 0 and 1 are those of the first run.
    assert json.loads((tmp_path / "pairs" / "manifest.json").read_text())["made"] == 2 + 3 + 4
