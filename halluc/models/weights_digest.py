"""A quick digest of a model's weights, by which kept answers are recognized as those of this model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["weights_digest"]


def weights_digest(lm: LanguageModel) -> str:
    """A digest of a few weights of each layer: a folder may get other weights under the same name. Empty for an endpoint."""
    network = getattr(lm, "model", None)
    if network is None or not hasattr(network, "parameters"):
        return ""
    digest = hashlib.sha256()
    for parameter in network.parameters():
        digest.update(parameter.detach().flatten()[:8].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
