"""Groups with different wishes: rules by hand, choices, the reward of a run, distributions of votes, and the command."""

import json
import math
import shutil

import numpy as np
import pytest
import yaml

from halluc.errors import InvalidInput
from halluc.models.language_model import Generation
from training.pluralism.aggregation import group_weights, welfare
from training.pluralism.choices import choose, compare_rules
from training.pluralism.distribution import distributional_report
from training.pluralism.group_reward import GroupReward
from training.preferences.constitution import Principle
from training.preferences.principle_reward import PrincipleReward
from training.runs.config import load_config
from training.runs.online import GRPORun, run_grpo
from training.runs.pluralism import PluralismConfig
from training.runs.preference import RewardRun, run_reward


def test_weights_and_welfare_of_the_rules_by_hand():
    utilities = np.array([0.2, 0.8])
    assert group_weights("mean", utilities).tolist() == [0.5, 0.5]
    assert group_weights("mixture", utilities, [1, 3]).tolist() == [0.25, 0.75]
    assert group_weights("maxmin", utilities).tolist() == [1.0, 0.0]
    assert group_weights("maxmin", np.array([0.2, 0.2, 0.3])).tolist() == [0.5, 0.5, 0.0]
    assert group_weights("nash", utilities).tolist() == pytest.approx([0.8, 0.2])
    assert welfare("mean", utilities) == pytest.approx(0.5)
    assert welfare("mixture", utilities, [1, 3]) == pytest.approx(0.65)
    assert welfare("maxmin", utilities) == 0.2
    assert welfare("nash", utilities) == pytest.approx(0.4)


# Four prompts with the same three answers: good for the first group, good for the second, and a compromise.
UTILITIES = np.tile(np.array([[1.0, 0.0], [0.0, 0.9], [0.4, 0.4]]), (4, 1, 1))


def test_maxmin_shares_the_prompts_between_the_groups_where_the_mean_serves_one():
    assert choose(UTILITIES, "mean").tolist() == [0] * 4
    # Half of the prompts for each group is better for the one that gets least than the compromise everywhere.
    assert sorted(choose(UTILITIES, "maxmin").tolist()) == [0, 0, 1, 1]
    outcomes = {outcome.rule: outcome for outcome in compare_rules(UTILITIES, ["a", "b"], weights=[1, 9])}
    assert outcomes["maxmin"].welfare == pytest.approx(0.45)
    assert outcomes["nash"].welfare == pytest.approx(math.sqrt(0.5 * 0.45))
    assert [group.after for group in outcomes["mixture"].groups] == pytest.approx([0.0, 0.9])
    first = outcomes["mean"].groups[0]
    assert (float(first.before), float(first.after), float(first.best)) == pytest.approx((1.4 / 3, 1.0, 1.0))
    assert [float(group.price) for group in outcomes["mean"].groups] == pytest.approx([0.0, 0.9])
    assert [float(group.price) for group in outcomes["maxmin"].groups] == pytest.approx([0.5, 0.45])


def test_no_rule_is_beaten_at_its_own_welfare_by_another_rule():
    utilities = np.random.default_rng(0).uniform(size=(40, 4, 3)) * [1.0, 0.6, 0.8]
    outcomes = compare_rules(utilities, ["a", "b", "c"])
    assert [outcome.rule for outcome in outcomes] == ["mean", "maxmin", "nash"]
    for outcome in outcomes:
        for other in outcomes:
            reached = np.array([float(group.after) for group in other.groups])
            assert outcome.welfare >= welfare(outcome.rule, reached) - 1e-9
    least = {outcome.rule: min(float(group.after) for group in outcome.groups) for outcome in outcomes}
    assert least["maxmin"] > least["mean"] + 0.05
    for group in outcomes[0].groups:
        assert group.after.low < group.after < group.after.high


@pytest.mark.parametrize(
    ("utilities", "rule", "weights", "message"),
    [
        (np.zeros((2, 3)), "mean", None, "utilities have the shape"),
        (np.full((1, 1, 2), np.nan), "mean", None, "not finite"),
        (UTILITIES, "median", None, "the rule is 'median'; choose from mean, mixture, maxmin, nash"),
        (UTILITIES, "mixture", None, "'mixture' needs weights"),
        (UTILITIES, "mean", [1, 1], "weights are of the rule 'mixture' alone"),
        (UTILITIES, "mixture", [1], "there are 1 weights for 2 groups"),
        (UTILITIES, "mixture", [0, 0], r"the weights are \[0, 0\]"),
    ],
)
def test_choices_that_cannot_be_made_are_refused(utilities, rule, weights, message):
    with pytest.raises(InvalidInput, match=message):
        choose(utilities, rule, weights)


def lengths(*, completions, **_):
    return [float(len(text)) for text in completions]


def vowels(*, completions, **_):
    return [float(sum(letter in "aeiou" for letter in text)) for text in completions]


def call(reward, texts):
    logged = {}
    return reward(prompts=["?"] * len(texts), completions=texts, log_metric=logged.__setitem__), logged


def test_the_group_that_has_least_decides_and_the_scale_is_that_of_the_start():
    reward = GroupReward({"long": lengths, "vowels": vowels}, "maxmin", decay=0.0, reference_calls=1)
    first, logged = call(reward, ["bbbb", "aa"])
    # Both groups are standardized to ±1, and share the weight while they have equal utilities.
    assert logged["groups/weight_long"] == logged["groups/weight_vowels"] == 0.5
    assert first == pytest.approx([0.0, 0.0])
    second, logged = call(reward, ["bbbbbb", "bbbb"])
    # Lengths have mean 3 and deviation 1 at the start, vowels 1 and 1: the vowels have lost.
    assert (logged["groups/long"], logged["groups/vowels"]) == pytest.approx((2.0, -1.0))
    assert (logged["groups/weight_long"], logged["groups/weight_vowels"]) == (0.0, 1.0)
    assert second == pytest.approx([-1.0, -1.0])
    copy = GroupReward({"long": lengths, "vowels": vowels}, "maxmin", decay=0.0, reference_calls=1)
    copy.restore(json.loads(json.dumps(reward.state())))
    assert call(copy, ["ab", "a"]) == call(reward, ["ab", "a"])


def test_groups_that_cannot_be_aggregated_are_refused():
    groups = {"long": lengths, "vowels": vowels}
    for arguments, options, message in (
        ({"one": lengths}, {}, "there are 1 groups; pass at least two"),
        (groups, {"rule": "x"}, "the rule is 'x'"),
        (groups, {"rule": "mixture", "weights": {"long": 1}}, "pass one for each of long, vowels"),
        (groups, {"decay": 1}, "decay is 1"),
        (groups, {"disagreement": 0}, "disagreement is 0"),
        (groups, {"reference_calls": 0}, "reference_calls is 0"),
    ):
        with pytest.raises(InvalidInput, match=message):
            GroupReward(arguments, **options)
    broken = GroupReward(groups | {"none": lambda **_: [math.nan]})
    with pytest.raises(InvalidInput, match="the reward of none for row 0 is nan"):
        broken(prompts=["?"], completions=["a"])


class Answering:
    """Says Yes with a probability that depends on the principle's question."""

    name = "answering"

    def generate(self, prompts, *, max_new_tokens, top_logprobs):
        p = [0.9 if "short" in prompt else 0.2 for prompt in prompts]
        return [[Generation("", top_logprobs=((("Yes", math.log(x)), ("No", math.log(1 - x))),))] for x in p]


def test_principles_are_a_reward_by_the_mean_probability_of_yes():
    principles = [Principle("s", "c", "r", "Which is short?"), Principle("t", "c", "r", "Which is true?")]
    reward = PrincipleReward(Answering(), principles)
    prompts = [[{"role": "user", "content": "?"}]] * 2
    completions = [[{"role": "assistant", "content": text}] for text in ("a", "b")]
    assert reward(prompts=prompts, completions=completions) == pytest.approx([0.55, 0.55])
    assert reward(prompts=[], completions=[]) == []
    with pytest.raises(InvalidInput, match="'x' has no preference"):
        PrincipleReward(Answering(), [Principle("x", "c", "r")])
    with pytest.raises(InvalidInput, match="there are no principles"):
        PrincipleReward(Answering(), [])


def test_distributions_are_compared_by_hand():
    votes, model = [[2, 2], [4, 0]], [[0.5, 0.5], [0.5, 0.5]]
    report = distributional_report(model, votes)
    # The second row: mixture (.75, .25), entropies .5623, log 2 and 0.
    divergence = 0.562335 - math.log(2) / 2
    assert float(report.divergence) == pytest.approx(divergence / 2, abs=1e-5)
    assert float(report.cross_entropy) == pytest.approx(math.log(2))
    assert float(report.kl) == pytest.approx(math.log(2) / 2)
    assert report.entropy_of_votes == pytest.approx(math.log(2) / 2)
    # One answer for the first row, whose votes tie, diverges from them as the model from those of the second.
    assert float(report.majority_divergence) == pytest.approx(divergence / 2, abs=1e-5)
    assert math.isnan(float(report.entropy_correlation))
    exact = distributional_report(votes, votes)
    assert (float(exact.divergence), float(exact.kl), float(exact.entropy_correlation)) == pytest.approx((0, 0, 1))


@pytest.mark.parametrize(
    ("model", "votes", "message"),
    [
        ([[1, 0]], [[1, 0, 0]], "the model has the shape"),
        ([[1, 0]], [[0, 0]], "row 0 of votes adds up to 0"),
        ([[1, -1]], [[1, 0]], "model has a value that is negative"),
        ([], [], "model has the shape"),
    ],
)
def test_distributions_that_cannot_be_compared_are_refused(model, votes, message):
    with pytest.raises(InvalidInput, match=message):
        distributional_report(model, votes)


PAIRS = [{"prompt": "Who?", "chosen": " Fleming", "rejected": " Curie"}]
PROMPTS = [{"prompt": f"Who won game {n}?"} for n in range(4)]


@pytest.fixture
def groups(configure, tmp_path):
    """Two reward models with opposite preferences."""
    folders = {}
    for name, rows in {"a": PAIRS, "b": [{**PAIRS[0], "chosen": " Curie", "rejected": " Fleming"}]}.items():
        folders[name] = str(tmp_path / name)
        path = configure("pairs", rows, max_steps=2, learning_rate=0.01, output_dir=folders[name])
        run_reward(load_config(RewardRun, path))
    return folders


def test_a_run_aggregates_reward_models_of_groups_and_resumes_with_their_utilities(configure, groups, tmp_path):
    def rewards(folder):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        names = ("reward", "groups/a", "groups/weight_a")
        return {line["step"]: [line[name] for name in names] for line in lines if "groups/a" in line}

    path = configure(
        "prompts", PROMPTS, groups=groups, verifier=None, max_steps=4, save_steps=2, learning_rate=0.01, group_rule="nash"
    )
    facts = run_grpo(load_config(GRPORun, path))
    assert list(facts["groups"]) == ["a", "b"]
    for group in facts["groups"].values():
        assert (group["after"] > group["before"]) == (group["gain"] > 0)
    whole = rewards(tmp_path / "out")
    assert sorted(whole) == [1, 2, 3, 4]
    shutil.rmtree(tmp_path / "out" / "checkpoint-4")
    assert run_grpo(load_config(GRPORun, path))["resumed_from"].endswith("checkpoint-2")
    for step, values in rewards(tmp_path / "out").items():
        assert values == pytest.approx(whole[step], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_weights": {"a": 1}}, "group_weights is set but groups is not"),
        ({"groups": {"a": "x", "b": "y"}, "preference": "z"}, "groups and preference are both set"),
        ({"groups": {"a": "x"}}, "there are 1 groups"),
        ({"groups": {"a": "x", "b": "y"}, "group_rule": "x"}, "the rule is 'x'"),
    ],
)
def test_groups_of_a_run_are_checked(configure, settings, message):
    with pytest.raises(InvalidInput, match=message):
        load_config(GRPORun, configure("prompts", PROMPTS, **settings))


def test_the_command_compares_the_rules_and_resumes(halluc, groups, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROMPTS[:2]))
    config = tmp_path / "p.yaml"
    settings = {
        "prompts": str(tmp_path / "prompts.jsonl"), "output_dir": str(tmp_path / "chosen"), "model": "smollm2-135m",
        "groups": groups | {"careful": "training/preferences/constitution.yaml"}, "n_samples": 2, "max_new_tokens": 8,
        "weights": {"a": 1, "b": 1, "careful": 2},
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    code, out, err = halluc("train", "pluralism", config, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert [rule["rule"] for rule in facts["rules"]] == ["mean", "mixture", "maxmin", "nash"]
    for rule in facts["rules"]:
        assert [group["group"] for group in rule["groups"]] == ["a", "b", "careful"]
        assert all(group["price"]["value"] >= -1e-9 for group in rule["groups"])
    assert facts == json.loads((tmp_path / "chosen" / "report.json").read_text())
    code, out, _ = halluc("train", "pluralism", config, "--no-json")
    assert code == 0
    assert "careful" in out
    code, out, err = halluc("train", "pluralism", config, "--set", "n_samples=3")
    assert code != 0
    assert "holds a run with another n_samples" in err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": ""}, "prompts is not set"),
        ({"groups": {"a": "b"}}, "groups has 1 groups"),
        ({"weights": {"a": 1}}, "pass one for each of a, b"),
        ({"n_samples": 1}, "n_samples is 1"),
        ({"temperature": 0}, "temperature is 0"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, message):
    with pytest.raises(InvalidInput, match=message):
        PluralismConfig(**({"prompts": "p", "output_dir": "o", "groups": {"a": "x.yaml", "b": "y.yaml"}} | settings))
