"""One copy of the weights for a policy that an adapter is trained on and for scorers that are adapters of the same model.

Not covered: loading a scorer by itself, and scoring (model.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["has_weights_of", "scorer_on"]


def has_weights_of(policy: Any, path: str | Path) -> bool:
    """Whether the body of a causal language model, all but its head, has the weights in a folder.

    Args:
        policy: the model, before an adapter is added to it.
        path: folder of a model in safetensors files; anything else has other weights.
    """
    import torch
    from safetensors import safe_open

    files = sorted(Path(path).glob("*.safetensors"))
    prefix = f"{policy.base_model_prefix}."
    missing = {name: tensor for name, tensor in policy.named_parameters() if name.startswith(prefix)}
    if not files or not missing:
        return False
    for file in files:
        with safe_open(file, "pt") as weights:
            for name in weights.keys() & missing.keys():
                tensor = missing.pop(name).detach()
                stored = weights.get_tensor(name)
                if stored.shape != tensor.shape or not torch.equal(stored.to(tensor.dtype), tensor.cpu()):
                    return False
    return not missing


def scorer_on(policy: Any, outputs: int) -> Any:
    """Build a model with a score head around the weights of a policy, which stay the policy's own tensors.

    Args:
        policy: a causal language model, before an adapter is added to it. Its weights must stay as they are: train an
            adapter.
        outputs: numbers that the head gives per text; the head is new.
    """
    import copy

    from accelerate import init_empty_weights
    from torch import nn
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(policy.config)
    config.num_labels = outputs
    with init_empty_weights(include_buffers=False):
        scorer = AutoModelForSequenceClassification.from_config(config)
    body = getattr(scorer, scorer.base_model_prefix)
    for name, parameter in getattr(policy, policy.base_model_prefix).named_parameters():
        module, _, leaf = name.rpartition(".")
        setattr(body.get_submodule(module), leaf, parameter)
    head = scorer.score
    scorer.score = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
    return scorer
