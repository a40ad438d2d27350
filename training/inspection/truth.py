"""Whether the hidden states of a model tell true statements from false ones, layer by layer.

A linear probe is fitted on the state of the last token (SAPLMA's classifier in its linear form, arXiv 2304.13734). Not
covered: probes of a model's own answers (`halluc.detectors.Probe`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput, check_same_length
from retrieval.progress import progress_bar
from training.inspection.states import hidden_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import Estimate

__all__ = ["last_states", "truth_by_layer"]

_BATCH = 16
_FOLDS = 5


def truth_by_layer(
    model: Any, tokenizer: Any, statements: Sequence[str], labels: Sequence[bool], *, seed: int = 0
) -> list[Estimate]:
    """Compute the AUROC of a linear probe for truth on each layer, by cross-validation.

    Args:
        model: a causal language model with L layers.
        tokenizer: its tokenizer.
        statements: (N,) sentences.
        labels: (N,) whether they are true.
        seed: of the folds.

    Returns:
        (L + 1,) AUROCs with 95 % intervals: of the embeddings and of each layer.

    Raises:
        InvalidInput: the lengths differ, or there are fewer than five statements of either kind.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from calibration import auroc

    check_same_length(statements=statements, labels=labels)
    truth = np.array(labels, dtype=bool)
    if min(truth.sum(), (~truth).sum()) < _FOLDS:
        raise InvalidInput(
            f"there are {truth.sum()} true and {(~truth).sum()} false statements; pass at least {_FOLDS} of each"
        )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    result = []
    for states in last_states(model, tokenizer, statements):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        probability = cross_val_predict(probe, states, truth, cv=folds, method="predict_proba")[:, 1]
        result.append(auroc(probability, truth, interval=0.95))
    return result


def last_states(model: Any, tokenizer: Any, statements: Sequence[str]) -> NDArray[np.float32]:
    """Read the states of the last token of each of N statements.

    Returns:
        (L + 1, N, D): of the embeddings and of each layer.
    """
    import torch

    encoded = [list(tokenizer(statement)["input_ids"]) for statement in statements]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    parts: list[Any] = []
    with progress_bar("reading statements", len(statements)) as advance, torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            rows = [encoded[i] for i in order[start : start + _BATCH]]
            last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
            chosen = [state[torch.arange(len(rows)), last].float().cpu() for state in hidden_states(model, rows)]
            parts.append(torch.stack(chosen))
            advance(len(rows))
    states = torch.cat(parts, dim=1)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    restored: NDArray[np.float32] = states[:, back].numpy()
    return restored
