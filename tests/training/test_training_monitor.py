"""The monitor of a run: measures by hand, rules, and real runs of several trainers that it measures and stops."""

import json
import math
import shutil
from contextlib import nullcontext

import pytest
import torch
from tiny_model import save_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from halluc.errors import InvalidInput
from training.monitoring.measures import distinct_share, sample_replies, text_measures
from training.monitoring.page import render_monitor
from training.monitoring.rules import Measured, StopRule, broken_rule, stop_rules
from training.runs.config import load_config
from training.runs.kto import KTORun, run_kto
from training.runs.online import GRPORun, PPORun, run_grpo, run_ppo
from training.runs.preference import DPORun, RewardRun, run_dpo
from training.runs.sft import SFTRun, run_sft

EXAMPLES = [{"prompt": [{"role": "user", "content": f"Who won game {n}?"}]} for n in range(4)]
SFT = [row | {"completion": [{"role": "assistant", "content": "I don't know."}]} for row in EXAMPLES]
PAIRS = [
    {"prompt": row["prompt"], "chosen": [{"role": "assistant", "content": "Team"}]}
    | {"rejected": [{"role": "assistant", "content": "Club"}], "chosen_factuality": 1.0, "rejected_factuality": 0.0}
    for row in EXAMPLES
]
ONLINE = [{"prompt": f"Who won game {n}?", "context": f"Team {n} won game {n}."} for n in range(4)]


def test_texts_are_measured_by_hand():
    measures = text_measures(["I don't know.", "a b a b a b", ""])
    # Words: I don t know; six; none. The 3-grams of the second are aba, bab, aba, bab.
    assert measures["words"] == pytest.approx(10 / 3)
    assert measures["repetition"] == pytest.approx(0.5 / 3)
    assert measures["distinct_1"] == pytest.approx(6 / 10)
    assert measures["distinct_2"] == pytest.approx((3 + 2) / (3 + 5))
    assert measures["empty"] == pytest.approx(1 / 3)
    assert measures["abstained"] >= 1 / 3
    assert distinct_share([["a"]], 2) == 0.0


def test_entropy_and_kl_are_those_of_the_distributions(tiny):
    model, other = (AutoModelForCausalLM.from_pretrained(tiny) for _ in range(2))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(3)
    prompts = [row["prompt"] for row in EXAMPLES]
    before = torch.random.get_rng_state()
    model.train()
    options = {"max_new_tokens": 5, "seed": 1}
    same = sample_replies(model, model, nullcontext, tokenizer, prompts, **options)
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.training
    assert same.kl == pytest.approx(0.0, abs=1e-5)
    # A random model is close to uniform.
    assert same.entropy == pytest.approx(math.log(model.config.vocab_size), abs=0.2)
    assert same.cut == 1.0
    assert len(same.texts) == 4
    again = sample_replies(model, other, nullcontext, tokenizer, prompts, **options)
    assert again.texts == same.texts
    assert again.kl > 0.1


def test_rules_are_limits_of_values_or_of_multiples_of_the_start():
    rules = stop_rules({"max_kl": 5, "min_distinct_2_ratio": 0.5, "min_entropy": 0})
    assert rules[1] == StopRule("distinct_2", False, "ratio", 0.5)
    assert str(rules[1]) == "distinct pairs of words per pair below 0.5 times its start"
    start = Measured(0, {"kl": 9.0, "distinct_2": 0.8, "entropy": 1.0}, ())
    fine = Measured(1, {"kl": 5.0, "distinct_2": 0.4, "entropy": 1.0}, ())
    narrow = Measured(2, {"kl": 5.0, "distinct_2": 0.3, "entropy": 1.0}, ())
    assert broken_rule(rules, [start], 1) is None
    assert broken_rule(rules, [start, fine], 1) is None
    assert broken_rule(rules, [start, fine, narrow], 1) == rules[1]
    assert broken_rule(rules, [start, fine, narrow], 2) is None
    assert broken_rule(rules, [start, narrow, narrow], 2) == rules[1]
    assert broken_rule(stop_rules({"max_support": 0}), [start, fine], 1) is None


def test_a_rule_may_limit_the_growth_of_a_measure_also_of_a_negative_one():
    rule = stop_rules({"max_held_out_gap_growth": 0.1})[0]
    assert rule == StopRule("held_out_gap", True, "growth", 0.1)
    assert str(rule) == "growth of gap of the two verifiers above 0.1"
    first = {"held_out_gap": -0.3}
    assert rule.limit_after(first) == pytest.approx(-0.2)
    assert not rule.breaks({"held_out_gap": -0.21}, first)
    assert rule.breaks({"held_out_gap": -0.19}, first)
    assert not rule.breaks({"held_out_gap": 1.0}, {})


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"kl": 5}, "'kl' is no limit of the monitor; write max_ or min_ before one of words,"),
        ({"max_klx": 5}, "'max_klx' is no limit"),
        ({"max_kl": math.inf}, "the limit max_kl is inf"),
    ],
)
def test_limits_that_cannot_be_used_are_named(limits, message):
    with pytest.raises(InvalidInput, match=message):
        stop_rules(limits)


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held_out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ONLINE))
    return str(path)


@pytest.mark.parametrize(
    ("settings", "run", "column", "rows", "more"),
    [
        pytest.param(SFTRun, run_sft, "examples", SFT, {}, id="sft"),
        pytest.param(SFTRun, run_sft, "examples", SFT, {"lora_rank": 0}, id="sft-all-weights"),
        pytest.param(DPORun, run_dpo, "pairs", PAIRS, {}, id="dpo"),
        pytest.param(KTORun, run_kto, "examples", PAIRS, {}, id="kto"),
        pytest.param(GRPORun, run_grpo, "prompts", ONLINE, {"kind": "precision"}, id="grpo"),
        pytest.param(PPORun, run_ppo, "prompts", ONLINE, {"num_mini_batches": 1, "kind": "precision"}, id="ppo"),
    ],
)
def test_every_trainer_is_measured_before_during_and_after(configure, held_out, tmp_path, settings, run, column, rows, more):
    more = more | {"max_steps": 3, "learning_rate": 0.05, "monitor_steps": 2, "monitor_verifier": "default"}
    path = configure(column, rows, monitor_prompts=held_out, monitor_max_new_tokens=6, **more)
    if settings is PPORun:
        path.write_text(path.read_text().replace("num_generations: 2\n", ""))
    facts = run(load_config(settings, path))["monitor"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "monitor.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 3]
    assert (facts["measurements"], facts["stopped_by"]) == (3, None)
    assert (facts["before"], facts["after"]) == (lines[0]["values"], lines[-1]["values"])
    assert facts["before"]["kl"] == pytest.approx(0, abs=1e-4)
    assert facts["after"]["kl"] > 1e-4
    gap = {"support", "held_out_support", "held_out_gap"} & set(facts["after"])
    assert gap == ({"held_out_support"} if column != "prompts" else {"support", "held_out_support", "held_out_gap"})
    page = (tmp_path / "out" / "monitor.html").read_text()
    assert "No stop rule was broken up to step 3" in page
    assert "Who won game 0?" in page


def test_a_broken_rule_stops_the_run_and_a_resumed_run_says_so(configure, held_out, tmp_path):
    options = {"monitor_prompts": held_out, "monitor_steps": 1, "monitor_max_new_tokens": 4, "max_steps": 6}
    limited = {"monitor_limits": {"max_kl": 1e-3}, "monitor_patience": 2, "learning_rate": 0.1}
    path = configure("examples", SFT, save_steps=100, **options, **limited)
    facts = run_sft(load_config(SFTRun, path))
    assert facts["monitor"]["stopped_by"] == "KL to the start, nats per reply above 0.001"
    assert facts["steps"] < 6
    assert "The run was stopped at step" in (tmp_path / "out" / "monitor.html").read_text()
    with pytest.raises(InvalidInput, match=r"a stop rule is broken \(KL .*\); change monitor_limits to go on"):
        run_sft(load_config(SFTRun, path))
    assert run_sft(load_config(SFTRun, path, ["monitor_limits=null"]))["steps"] == 6


def test_a_monitored_run_learns_what_one_without_monitor_learns_and_resumes(configure, held_out, tmp_path):
    def losses(folder):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return {line["step"]: line["loss"] for line in lines if "loss" in line}

    # Dropout draws random numbers in every step.
    model = save_tiny_model(tmp_path / "model", dropout=0.1)
    path = configure("examples", SFT, model=model, max_steps=4, learning_rate=0.01, save_steps=2)
    run_sft(load_config(SFTRun, path, [f"output_dir={tmp_path / 'plain'}"]))
    monitored = [f"monitor_prompts={held_out}", "monitor_steps=2", "monitor_max_new_tokens=4"]
    run_sft(load_config(SFTRun, path, monitored))
    out = tmp_path / "out"
    assert losses(out) == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)
    whole = (out / "monitor.jsonl").read_text()
    shutil.rmtree(out / "checkpoint-4")
    assert run_sft(load_config(SFTRun, path, monitored))["resumed_from"].endswith("checkpoint-2")
    resumed = [json.loads(line) for line in (out / "monitor.jsonl").read_text().splitlines()]
    for found, expected in zip(resumed, map(json.loads, whole.splitlines()), strict=True):
        assert (found["step"], found["replies"]) == (expected["step"], expected["replies"])
        assert found["values"] == pytest.approx(expected["values"], abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["monitor_prompts=none.jsonl"], "there is no none.jsonl"),
        (["monitor_limits={max_kl: 1}"], "monitor_limits is set but monitor_prompts is not"),
        (["monitor_prompts=HELD", "monitor_steps=0"], "monitor_steps is 0"),
        (["monitor_prompts=HELD", "monitor_limits={max_x: 1}"], "'max_x' is no limit"),
        (
            ["monitor_prompts=HELD", "monitor_limits={max_held_out_gap: 1}"],
            "a limit of held_out_gap needs a held-out",
        ),
        (["monitor_prompts=HELD", "monitor_limits={min_support: 1}"], "a limit of support needs a run with a verifier"),
        (["monitor_prompts=BARE", "monitor_verifier=default"], "has no column 'context' or 'references' for the verifier"),
    ],
)
def test_settings_of_a_monitor_that_cannot_be_used_are_named(configure, held_out, tmp_path, changes, message):
    (tmp_path / "bare.jsonl").write_text('{"prompt": "Who?"}\n')
    changes = [change.replace("HELD", held_out).replace("BARE", str(tmp_path / "bare.jsonl")) for change in changes]
    with pytest.raises(InvalidInput, match=message):
        run_sft(load_config(SFTRun, configure("examples", SFT), changes))


def test_a_reward_model_has_no_monitor(configure, held_out):
    with pytest.raises(InvalidInput, match="a reward model replies to no prompts"):
        load_config(RewardRun, configure("pairs", PAIRS, monitor_prompts=held_out))


def test_the_page_escapes_replies():
    history = [Measured(step, {"words": 1.0 + step, "kl": 0.0}, ("<script>alert(1)</script>",)) for step in range(2)]
    page = render_monitor(history, stop_rules({"max_words": 9}), None, ["<b>?"])
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Rules: words per reply above 9." in page
