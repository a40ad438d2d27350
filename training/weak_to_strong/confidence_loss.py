"""The losses of a student of a weak supervisor, and the training of heads on frozen features.

Source: weak-to-strong generalization (Burns et al., arXiv 2312.09390), equation 1. Not covered: the features (features.py),
and the experiment (experiment.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["confidence_loss", "hardened", "train_head"]

# Share of the steps in which the weight of the auxiliary loss rises to its value (section 4.3.2 of the paper).
_WARMUP = 0.2


def confidence_loss(logits: torch.Tensor, weak: torch.Tensor, weight: float) -> torch.Tensor:
    """Compute (1 − α)·CE(f, f_w) + α·CE(f, f̂_t), equation 1: f̂_t are the student's own predictions, hardened.

    Args:
        logits: (B,) log-odds f(x) of the student.
        weak: (B,) probabilities of the weak supervisor, in [0, 1].
        weight: α in [0, 1]; with 0 the student imitates the supervisor.
    """
    imitation = nn.functional.binary_cross_entropy_with_logits(logits, weak)
    if not weight:
        return imitation
    own = nn.functional.binary_cross_entropy_with_logits(logits, hardened(logits.detach(), float(weak.mean())))
    return (1 - weight) * imitation + weight * own


def hardened(logits: torch.Tensor, share: float) -> torch.Tensor:
    """Set the predictions above an adaptive threshold t to 1 and the others to 0.

    The threshold is such that this share of the batch is above it. The paper takes one half, for balanced classes; here it
    is the mean of the weak labels, which keeps the balance that the supervisor sees.

    Args:
        logits: (B,) log-odds.
        share: in [0, 1].

    Returns:
        (B,) zeros and ones.
    """
    positive = round(share * len(logits))
    labels = torch.zeros_like(logits)
    labels[logits.argsort(descending=True, stable=True)[:positive]] = 1.0
    return labels


def train_head(
    features: NDArray[np.float32],
    targets: NDArray[np.float64],
    *,
    confidence_weight: float = 0.0,
    hidden: int = 0,
    epochs: int = 30,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 64,
    seed: int = 0,
) -> nn.Module:
    """Train a head on frozen features by AdamW.

    Args:
        features: (N, D), standardized.
        targets: (N,) probabilities: labels, or those of a weak supervisor.
        confidence_weight: α of equation 1; it rises linearly over the first fifth of the steps.
        hidden: units of a hidden layer; 0 for a linear head.
        epochs, learning_rate, weight_decay, batch_size: of the training.
        seed: of the weights and of the order.

    Returns:
        A module from (B, D) features to (B, 1) log-odds.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        size = features.shape[1]
        layers = [nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, 1)] if hidden else [nn.Linear(size, 1)]
        head = nn.Sequential(*layers)
        optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=weight_decay)
        inputs, labels = torch.from_numpy(features), torch.from_numpy(targets).float()
        steps = epochs * -(-len(inputs) // batch_size)
        step = 0
        for _ in range(epochs):
            for rows in torch.randperm(len(inputs)).split(batch_size):
                weight = confidence_weight * min(1.0, step / max(1.0, _WARMUP * steps))
                loss = confidence_loss(head(inputs[rows]).squeeze(-1), labels[rows], weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
    return head.eval()
