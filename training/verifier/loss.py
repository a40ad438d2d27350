"""What a verifier learns from: labels of pairs and of tokens, and a teacher's probabilities of both.

Not covered: what the teacher says (distillation.py) and the batches (encoding.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["verifier_loss"]


def verifier_loss(model: Any, inputs: dict[str, Any], span_share: float) -> torch.Tensor:
    """Cross-entropy of pairs and of tokens with their labels and with the probabilities of a teacher.

    Args:
        model: a `PairEncoder`.
        inputs: a batch of `PairCollator`; what is not for the model is removed.
        span_share: weight of the loss of tokens, which is the mean of that with the labels and that with the teacher, or the
            one of the two that the batch has.

    Returns:
        A scalar, the mean over pairs plus `span_share` times the mean over tokens.
    """
    import torch

    labels, token_labels = inputs.pop("labels"), inputs.pop("token_labels")
    teacher, teacher_share, token_teacher = (
        inputs.pop(name, None) for name in ("teacher", "teacher_share", "token_teacher")
    )
    output = model(**inputs)
    losses = torch.where(labels >= 0, _with_labels(output.logits, labels.clamp(min=0)), 0.0)
    if teacher is not None:
        losses = (1 - teacher_share) * losses + teacher_share * _with_probabilities(output.logits, teacher)
    loss = losses.mean()
    if not span_share:
        return loss
    of_tokens = []
    if (known := token_labels >= 0).any():
        of_tokens.append(_with_labels(output.token_logits[known], token_labels[known]).mean())
    if token_teacher is not None and (judged := token_teacher.sum(-1) > 0).any():
        of_tokens.append(_with_probabilities(output.token_logits[judged], token_teacher[judged]).mean())
    return loss + span_share * torch.stack(of_tokens).mean() if of_tokens else loss


def _with_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N,) cross-entropies of (N, 3) logits; label 3 is either of the labels 1 and 2."""
    import torch

    logprobs = torch.log_softmax(logits.float(), dim=-1)
    either = torch.logsumexp(logprobs[:, 1:], dim=-1, keepdim=True)
    return -torch.cat([logprobs, either], dim=-1).gather(1, labels[:, None]).squeeze(1)


def _with_probabilities(logits: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """(N,) cross-entropies of (N, 3) logits with (N, 3) probabilities."""
    import torch

    return -(probabilities * torch.log_softmax(logits.float(), dim=-1)).sum(-1)
