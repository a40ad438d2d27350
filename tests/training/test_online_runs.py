import json

import pytest
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from retrieval import Passage, PassageIndex
from training.cli import app
from training.runs.config import load_config
from training.runs.online import GRPORun, RLOORun, run_grpo
from training.runs.online_rewards import search_tool
from training.runs.preference import RewardRun, run_reward


def write(tmp_path, rows, **settings):
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = {
        "prompts": str(tmp_path / "prompts.jsonl"),
        "output_dir": str(tmp_path / "out"),
        "verifier": "lm",
        "lora_rank": 2,
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "num_generations": 2,
        "max_completion_length": 12,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        **settings,
    }
    path = tmp_path / "grpo.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in lines.items()))
    return path


ROWS = [{"prompt": f"Who discovered penicillin in {year}?", "context": "Fleming discovered it."} for year in (1927, 1928)]


def test_the_command_trains_the_default_model(tmp_path):
    path = write(tmp_path, ROWS, words=[1, 30])
    result = CliRunner().invoke(app, ["grpo", str(path), "--json"], catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert (facts["prompts"], facts["steps"]) == (2, 1)
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == facts
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    logged = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"][0]
    assert {"factuality/support", "composite/factuality", "composite/length", "kl"} <= set(logged)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"promt": "Who?", "context": "x"}], {}, "no column 'prompt'; did you mean 'promt'"),
        ([{"prompt": "Who?"}], {}, "no column 'context' or 'references'"),
        ([{"prompt": "Who?", "context": "x"}, {"prompt": " ", "context": "x"}], {}, "the prompt of row 1 is empty"),
        (
            [{"prompt": "Who?", "context": "x"}],
            {"max_completion_length": 9000},
            "the prompt of row 0 has .* exceeds the context window",
        ),
    ],
)
def test_prompts_that_cannot_be_trained_on_are_named(tmp_path, rows, settings, message):
    with pytest.raises(InvalidInput, match=message):
        run_grpo(load_config(GRPORun, write(tmp_path, rows, **settings)))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("prompts=''", "prompts is not set"),
        ("kind=true", "kind is True: Input should be a valid string"),
        ("words=[1]", r"words is \[1\]"),
        ("max_gap_growth=0.1", "needs a held_out_verifier"),
        ("verifier=null", "verifier is null and preference is not set, so there is no reward"),
        ("num_generation=2", "did you mean 'num_generations'"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, setting, message):
    with pytest.raises(InvalidInput, match=message):
        load_config(GRPORun, write(tmp_path, ROWS), [setting])


PAIRS = [{"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie"}]


@pytest.fixture
def online(configure, tmp_path):
    """Settings of a run on a reward model that was just trained."""
    run_reward(load_config(RewardRun, configure("pairs", PAIRS, max_steps=1, output_dir=str(tmp_path / "judge"))))
    settings = {"words": [1, 30], "factuality_weight": 2.0, "max_steps": 1}
    return configure("prompts", ROWS, preference=str(tmp_path / "judge"), **settings)


def checked(folder, facts):
    assert (facts["prompts"], facts["steps"]) == (2, 1)
    assert (folder / "adapter_model.safetensors").is_file()
    log = json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    terms = log["composite/preference"] + 2 * log["composite/factuality"] + log["composite/length"]
    assert log["reward"] == pytest.approx(terms, abs=1e-5)
    assert log["composite/preference"] != 0


def test_the_command_optimizes_the_composite_reward_with_a_trained_preference(online, tmp_path):
    result = CliRunner().invoke(app, ["rloo", str(online), "--json"], catch_exceptions=False)
    checked(tmp_path / "out", json.loads(result.stdout))


OWN_REWARD = """
def long_replies(*, completions, row, **_):
    return [float(number) for number in row]
"""


def test_own_reward_functions_and_settings_of_the_reward_pass_through(configure, tmp_path):
    """Only the rewards of the package could be named."""
    (tmp_path / "own.py").write_text(OWN_REWARD)
    config = configure(
        "prompts", ROWS, max_steps=1, rewards=[f"{tmp_path / 'own.py'}:long_replies"], reward_weights=[1.0, 0.5],
        reward_settings={"copy_penalty": 0.0}, save_strategy="no",
    )  # fmt: skip
    assert run_grpo(load_config(GRPORun, config))["steps"] == 1
    log = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])
    assert log["rewards/long_replies/mean"] in (0.0, 1.0)
    assert log["reward"] == pytest.approx(log["rewards/composite/mean"] + 0.5 * log["rewards/long_replies/mean"], abs=1e-5)


def test_settings_that_need_others_are_named(configure):
    for settings, changes, message in [
        (GRPORun, {"search_tool": True}, "search_tool needs an index"),
        (GRPORun, {"sentence_credit": True, "verifier": None, "preference": "x"}, "sentence_credit needs a verifier"),
        (RLOORun, {"sentence_credit": True}, "sentence_credit is for GRPO and PPO"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            load_config(settings, configure("prompts", ROWS, **changes))


def test_the_search_of_an_index_is_a_tool(tmp_path):
    from transformers.utils import get_json_schema

    index = PassageIndex.create(tmp_path / "x")
    index.add([Passage("a", "Fleming discovered penicillin."), Passage("b", "Paris is in France.")])
    search = search_tool(index, 1)
    assert search("Who discovered penicillin?") == "[1] Fleming discovered penicillin."
    assert search(" ") == "The query is empty; say what to look for."
    function = get_json_schema(search)["function"]
    assert (function["name"], list(function["parameters"]["properties"])) == ("search", ["query"])


def test_grpo_takes_the_same_reward_model(online, tmp_path):
    checked(tmp_path / "out", run_grpo(load_config(GRPORun, online)))


def test_a_reward_model_is_reward_enough_and_needs_no_evidence(online, tmp_path, configure):
    rows = [{"prompt": row["prompt"]} for row in ROWS]
    path = configure("prompts", rows, preference=str(tmp_path / "judge"), verifier=None, max_steps=1)
    run_grpo(load_config(GRPORun, path))
    log = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])
    assert log["reward"] == pytest.approx(log["composite/preference"], abs=1e-5)
    assert "composite/factuality" not in log
