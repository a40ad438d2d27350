"""The benchmark of training: its parts of the data, its template, and its table from results that are on disk."""

import json
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def proof(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_proof

    # Some scripts there have the names of packages.
    sys.path.remove(str(BENCHMARKS))
    return training_proof


def test_the_parts_of_the_cities_are_disjoint(proof):
    parts = [{row["prompt"][0]["content"] for row in part} for part in proof.city_parts(170)]
    assert [len(part) for part in parts] == [100, 170, 167]
    assert len(set.union(*parts)) == 437


def test_the_prompt_is_a_line_to_complete_and_a_reply_ends_it(proof, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(proof.starting_model(tmp_path / "start"))
    prompt = [{"role": "user", "content": "Oslo"}]
    written = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    assert written == "City: Oslo\nCountry:"
    replied = [*prompt, {"role": "assistant", "content": "Norway"}]
    assert tokenizer.apply_chat_template(replied, tokenize=False) == f"{written} Norway{tokenizer.eos_token}"


def test_the_table_compares_seeds_with_their_own_start(proof, tmp_path, capsys):
    metrics = {"right": 0.3, "wrong": 0.6, "abstained": 0.1, "hallucination_rate": 0.667, "coverage": 0.9, "ece": 0.2}
    metrics |= {"perplexity": 20.0, "choice_accuracy": 0.8}
    written = {
        "base": {},
        "sft-0": {"wrong": 0.4, "right": 0.3},
        "sft-1": {"wrong": 0.2, "right": 0.4},
        "dpo-0": {"wrong": 0.2, "right": 0.4},
        "dpo-1": {"wrong": 0.2, "right": 0.3},
    }
    for name, values in written.items():
        facts = {} if name == "base" else {"seconds": 1.0, "peak_mib": 900.0}
        (tmp_path / f"{name}.json").write_text(json.dumps({"facts": facts, "metrics": metrics | values}))
    proof._show_table(tmp_path, ["sft", "dpo", "kto"], 167)
    rows = {row["stage"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(rows) == ["base", "sft", "dpo"]
    assert rows["dpo"]["seeds"] == 2
    assert rows["dpo"]["wrong / wrong of base"] == [0.333, 0.0]
    assert rows["dpo"]["wrong / wrong of sft"] == [0.75, 0.354]
    assert rows["dpo"]["right - right of sft"] == [0.0, 0.141]
    assert "wrong / wrong of sft" not in rows["sft"]


def test_a_folder_of_other_settings_is_refused(proof, tmp_path):
    proof._check_same_settings(tmp_path, 170, {})
    proof._check_same_settings(tmp_path, 170, {})
    for cities, sampling in ((160, {}), (170, {"temperature": 1.5})):
        with pytest.raises(SystemExit, match="holds results of a proof with other settings"):
            proof._check_same_settings(tmp_path, cities, sampling)
