import pytest
from scripted import Scripted

from halluc.errors import InvalidInput
from training import FactualityReward
from training.rewards.composite import CompositeReward, format_reward, length_reward
from training.rewards.kinds import claim_precision


def preference(*, completions, **_):
    return [float(len(completion)) for completion in completions]


def test_the_reward_is_the_weighted_sum_of_its_terms_and_each_is_logged():
    logged = {}
    reward = CompositeReward(
        preference,
        FactualityReward(Scripted({"ab": (0.5, 0.0)}), kind=claim_precision),
        factuality_weight=4.0,
        format=format_reward(r".*\."),
        format_weight=10.0,
        length=length_reward(2, 4),
        length_weight=100.0,
    )
    rewards = reward(prompts=["?"] * 2, completions=["x is ab.", ""], context=["c"] * 2, log_metric=logged.__setitem__)
    assert rewards == [8 + 4 * 0.5 + 10 + 0, 0 + 0 + 0 - 100]
    means = {name: value for name, value in logged.items() if name.startswith("composite/")}
    assert means == {
        "composite/preference": 4.0,
        "composite/factuality": 0.25,
        "composite/format": 0.5,
        "composite/length": -0.5,
    }
    assert logged["factuality/claims"] == 0.5


def test_a_term_that_does_not_apply_adds_nothing():
    reward = CompositeReward(lambda **_: [None, 2.0])
    assert reward(prompts=["?"] * 2, completions=["a", "b"]) == [0.0, 2.0]


def test_rewards_of_format_and_length_read_conversations():
    completions = [[{"role": "assistant", "content": "one two three four five six"}]]
    assert length_reward(2, 4)(prompts=[], completions=completions) == [-0.5]
    assert format_reward("one.*six")(prompts=[], completions=completions) == [1.0]


def test_unusable_terms_are_named():
    with pytest.raises(InvalidInput, match="needs a term; pass one of preference, factuality, format, length"):
        CompositeReward()
    with pytest.raises(InvalidInput, match="factuality_weight is nan"):
        CompositeReward(factuality=preference, factuality_weight=float("nan"))
    with pytest.raises(InvalidInput, match="the preference reward of row 1 is nan"):
        CompositeReward(lambda **_: [1.0, float("nan")])(prompts=["?"] * 2, completions=["a", "b"])
    with pytest.raises(InvalidInput, match="the preference reward gave 1 values for 2 completions"):
        CompositeReward(lambda **_: [1.0])(prompts=["?"] * 2, completions=["a", "b"])
    with pytest.raises(InvalidInput, match="ranges from 3 to 2 words"):
        length_reward(3, 2)


@pytest.mark.parametrize("reward", [CompositeReward(preference), format_reward("."), length_reward(1, 2)])
def test_a_string_in_place_of_completions_is_refused(reward):
    """Each letter was scored."""
    with pytest.raises(InvalidInput, match="completions is a single value, 'ab'; pass a list with one per row"):
        reward(prompts=["?", "?"], completions="ab")
