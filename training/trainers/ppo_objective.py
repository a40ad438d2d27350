"""The formulas of PPO for language models, as functions of tensors.

Each completion is an episode, and each of its tokens an action. All tensors are (B, T) over the tokens of completions;
`mask` is 1 at their tokens, including the token that ends them, and 0 at padding. Not covered: sampling and training
(ppo.py).
"""

from __future__ import annotations

import torch

__all__ = [
    "adapted_kl_coefficient",
    "explained_variance",
    "generalized_advantages",
    "masked_mean",
    "policy_loss",
    "token_rewards",
    "value_loss",
    "whitened",
]


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens where `mask` is 1; 0 if there are none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whitened(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Shift and scale values to mean 0 and variance 1 over the tokens where `mask` is 1; 0 elsewhere."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def token_rewards(
    scores: torch.Tensor, logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, kl_coefficient: float
) -> torch.Tensor:
    """Compute r_t = −β·(log π(a_t) − log π_ref(a_t)), plus the score of the completion at its last token.

    This is the reward of InstructGPT (arXiv 2203.02155, section 3.4) token by token, as in arXiv 1909.08593, eq. 2.

    Args:
        scores: (B,) reward of each whole completion.
        logprobs: (B, T) of the tokens under the policy that sampled them.
        reference: (B, T) under the reference policy.
        mask: (B, T).
        kl_coefficient: β.

    Returns:
        (B, T) rewards; 0 at padding. A completion without tokens has none.
    """
    rewards = -kl_coefficient * (logprobs - reference) * mask
    lengths = mask.sum(dim=1).long()
    rows = torch.nonzero(lengths > 0).squeeze(1)
    rewards[rows, lengths[rows] - 1] += scores[rows].to(rewards.dtype)
    return rewards


def generalized_advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, *, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute generalized advantage estimates (arXiv 1506.02438, eq. 16) and the returns that values should predict.

    δ_t = r_t + γ·V_{t+1} − V_t and A_t = δ_t + γλ·A_{t+1}; after the last token V and A are 0. Returns are A_t + V_t.

    Args:
        rewards: (B, T).
        values: (B, T) V_t, the value of the state before token t.
        mask: (B, T).
        gamma: discount γ in [0, 1].
        lam: λ in [0, 1]; 1 gives the return minus the value, 0 the one-step error.

    Returns:
        (B, T) advantages and (B, T) returns; 0 at padding.
    """
    advantages = torch.zeros_like(rewards)
    following_value = following_advantage = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        inside = mask[:, t]
        error = rewards[:, t] + gamma * following_value - values[:, t]
        following_advantage = (error + gamma * lam * following_advantage) * inside
        following_value = values[:, t] * inside
        advantages[:, t] = following_advantage
    return advantages, (advantages + values) * mask


def policy_loss(
    logprobs: torch.Tensor, old_logprobs: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, *, clip_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the clipped surrogate loss, −min(ρA, clip(ρ, 1 − ε, 1 + ε)A) (arXiv 1707.06347, eq. 7), as a mean over tokens.

    Args:
        logprobs: (B, T) under the policy that is trained.
        old_logprobs: (B, T) under the policy that sampled the tokens; ρ is the ratio of the two probabilities.
        advantages: (B, T) A.
        mask: (B, T).
        clip_range: ε above 0.

    Returns:
        The loss, and the share in [0, 1] of tokens at which the clipped term decides.
    """
    ratio = torch.exp((logprobs - old_logprobs) * mask)
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    return masked_mean(torch.maximum(plain, clipped), mask), masked_mean((clipped > plain).float(), mask)


def value_loss(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, *, clip_range: float
) -> torch.Tensor:
    """Compute ½·max((V − R)², (clip(V, V_old − ε, V_old + ε) − R)²) as a mean over tokens (arXiv 2005.12729, section 3).

    Args:
        values: (B, T) V by the value head that is trained.
        old_values: (B, T) V_old when the completions were sampled.
        returns: (B, T) R.
        mask: (B, T).
        clip_range: ε above 0.
    """
    clipped = torch.clamp(values, old_values - clip_range, old_values + clip_range)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (clipped - returns) ** 2), mask)


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute 1 − Var(R − V) / Var(R) over tokens: 1 for perfect values, 0 for constant ones and for constant returns."""
    inside = mask.bool()
    if inside.sum() < 2:
        return torch.zeros(())
    total = returns[inside].var()
    return torch.where(total > 0, 1 - (returns[inside] - values[inside]).var() / total.clamp(min=1e-12), torch.zeros(()))


def adapted_kl_coefficient(coefficient: float, kl: float, *, target: float, rate: float) -> float:
    """Adapt β to keep the KL near a target: β·(1 + K·clip(KL/target − 1, −0.2, 0.2)) (arXiv 1909.08593, section 2.2).

    Args:
        coefficient: β.
        kl: mean KL of the completions to the reference, in nats per completion.
        target: wanted KL, above 0.
        rate: K, at least 0; 0.1 in the paper.
    """
    error = max(-0.2, min(0.2, kl / target - 1))
    return coefficient * (1 + rate * error)
