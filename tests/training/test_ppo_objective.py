"""The formulas of PPO, against values computed by hand."""

import math

import pytest
import torch

from training.trainers.ppo_objective import (
    adapted_kl_coefficient,
    explained_variance,
    generalized_advantages,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whitened,
)

# Two completions, of three tokens and of two.
MASK = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])


def test_the_kl_is_paid_per_token_and_the_score_at_the_last_one():
    logprobs = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, -9.0]])
    reference = torch.tensor([[-1.5, -2.0, -2.0], [-1.0, -3.0, 0.0]])
    rewards = token_rewards(torch.tensor([1.0, -1.0]), logprobs, reference, MASK, 0.1)
    assert rewards.tolist() == [pytest.approx([-0.05, 0.0, 0.1 + 1.0]), pytest.approx([0.0, -0.2 - 1.0, 0.0])]


def test_a_completion_without_tokens_has_no_reward():
    zeros = torch.zeros(1, 2)
    assert token_rewards(torch.tensor([5.0]), zeros, zeros, zeros, 0.1).tolist() == [[0.0, 0.0]]


def test_advantages_sum_discounted_errors_and_stop_at_the_end_of_each_completion():
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.0, 2.0, 7.0]])
    values = torch.tensor([[0.5, 0.4, 0.2], [1.0, 0.5, 3.0]])
    advantages, returns = generalized_advantages(rewards, values, MASK, gamma=0.9, lam=0.5)
    # δ of the first: 0.9·0.4 − 0.5 = −0.14, 0.9·0.2 − 0.4 = −0.22, 1 − 0.2 = 0.8; γλ = 0.45.
    third = 0.8
    second = -0.22 + 0.45 * third
    first = -0.14 + 0.45 * second
    assert advantages[0].tolist() == pytest.approx([first, second, third])
    # δ of the second: 0.9·0.5 − 1 = −0.55, 2 − 0.5 = 1.5; padding counts for nothing.
    assert advantages[1].tolist() == pytest.approx([-0.55 + 0.45 * 1.5, 1.5, 0.0])
    assert returns[0].tolist() == pytest.approx([first + 0.5, second + 0.4, third + 0.2])
    assert returns[1, 2] == 0


def test_with_lambda_one_the_advantage_is_the_return_minus_the_value():
    rewards, values = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.3, 0.2, 0.1]])
    advantages, returns = generalized_advantages(rewards, values, torch.ones(1, 3), gamma=1.0, lam=1.0)
    assert returns[0].tolist() == pytest.approx([6.0, 5.0, 3.0])
    assert advantages[0].tolist() == pytest.approx([5.7, 4.8, 2.9])


def test_the_policy_loss_is_clipped_where_that_makes_it_larger():
    old = torch.zeros(1, 4)
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5]])
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    loss, clipped = policy_loss(ratios.log(), old, advantages, torch.ones(1, 4), clip_range=0.2)
    # min(1.5, 1.2), min(−1.5, −1.2), min(0.5, 0.8), min(−0.5, −0.8)
    assert loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    assert clipped.item() == pytest.approx(0.5)


def test_padding_changes_no_loss():
    logprobs = torch.tensor([[0.1, 0.2, -0.3], [0.0, 0.4, 99.0]])
    changed = logprobs.clone()
    changed[1, 2] = -99.0
    zeros, ones = torch.zeros(2, 3), torch.ones(2, 3)
    first, second = (policy_loss(values, zeros, ones, MASK, clip_range=0.2)[0] for values in (logprobs, changed))
    assert first.item() == second.item()
    first, second = (value_loss(values, zeros, ones, MASK, clip_range=0.2) for values in (logprobs, changed))
    assert first.item() == second.item()


def test_the_value_loss_takes_the_worse_of_the_plain_and_the_clipped_error():
    values, old, returns = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 0.9]]), torch.tensor([[1.0, 0.0]])
    # Clipped to 0.2 the first errs by 0.8; the second is within the range and errs by 1.
    assert value_loss(values, old, returns, torch.ones(1, 2), clip_range=0.2).item() == pytest.approx(0.5 * (0.64 + 1) / 2)


def test_whitened_values_have_mean_zero_and_variance_one_over_the_tokens():
    white = whitened(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 1000.0]]), MASK)
    assert masked_mean(white, MASK).item() == pytest.approx(0.0, abs=1e-6)
    assert masked_mean(white**2, MASK).item() == pytest.approx(1.0, abs=1e-5)
    assert white[1, 2] == 0


def test_explained_variance_is_one_for_right_values_and_zero_for_constant_ones():
    returns = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    assert explained_variance(returns, returns, MASK).item() == pytest.approx(1.0)
    assert explained_variance(torch.ones(2, 3), returns, MASK).item() == pytest.approx(0.0)
    assert explained_variance(returns, torch.ones(2, 3), MASK).item() == 0.0


@pytest.mark.parametrize(("kl", "expected"), [(6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (0.0, 0.98), (5.7, 0.995)])
def test_the_weight_of_the_kl_follows_its_target(kl, expected):
    assert adapted_kl_coefficient(1.0, kl, target=6.0, rate=0.1) == pytest.approx(expected)


def test_entropy_and_log_probability_are_those_of_the_distribution():
    from training.trainers.ppo import _token_logprobs

    logits = torch.tensor([[[0.0, math.log(3.0)]]])
    logprobs, entropies = _token_logprobs(logits, torch.tensor([[1]]))
    assert logprobs.item() == pytest.approx(math.log(0.75))
    assert entropies.item() == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
