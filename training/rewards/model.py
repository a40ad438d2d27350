"""A trained reward model as a reward, for `CompositeReward(preference=RewardModel(FOLDER))`.

Not covered: how it is trained (training/trainers/reward.py, training/runs/preference.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.models.causal_network import loading_reason
from halluc.models.chat_template import fit_conversation
from training.rewards.completions import check_one_each
from training.rewards.shared_weights import has_weights_of, scorer_on

if TYPE_CHECKING:
    import torch

__all__ = ["RewardModel", "load_scorer"]


class RewardModel:
    """r_pref: the score of a completion by a reward model that `halluc train reward` trained, any real number.

    Only differences between completions of one prompt are meaningful (Bradley-Terry); GRPO and RLOO need no more.

    Args:
        folder: of an adapter or a full model, as a run saved it.
        device: "cpu", "cuda", ...; by default CUDA if available.
        batch_size: completions per forward pass.
        policy: a causal language model that an adapter will be trained on. If this reward model is an adapter of the same
            weights, both use one copy of them, on the device of the policy; pass it before its adapter is added.

    Attributes:
        shares_weights: whether they do.

    Raises:
        ModelUnavailable: the folder holds no reward model, or the base model of its adapter cannot be loaded.
    """

    __name__ = "preference"

    def __init__(self, folder: str | Path, *, device: str | None = None, batch_size: int = 16, policy: Any = None) -> None:
        import torch

        self.batch_size = batch_size
        self.tokenizer, self.model, self.shares_weights = _load(Path(folder), policy)
        self._device = None if self.shares_weights else device or ("cuda" if torch.cuda.is_available() else "cpu")
        if self._device is not None:
            self.model.to(self._device)
        self.model.eval()

    @property
    def device(self) -> torch.device:
        """Where the model is; weights that it shares move with those of the policy."""
        if self._device is None:
            # What is its own, the adapter and the head, follows.
            self.model.to(next(self.model.get_base_model().model.parameters()).device)
        device: torch.device = next(self.model.parameters()).device
        return device

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **_columns: Any,
    ) -> list[float]:
        """Score completions, strings or conversations as TRL passes them.

        The mean of the factuality head, if there is one, is logged to TRL's `log_metric` as "preference/factuality".

        Returns:
            (N,) scores.

        Raises:
            InvalidInput: a prompt with its completion exceeds the context window; the row is named.
        """
        scores = self.scores(prompts, completions)
        if log_metric is not None and scores.shape[1] == 2 and len(scores):
            log_metric(f"{self.__name__}/factuality", float(scores[:, 1].mean()))
        return [float(score) for score in scores[:, 0]]

    def scores(self, prompts: Sequence[Any], completions: Sequence[Any]) -> np.ndarray:
        """Score completions by all heads of the model.

        Returns:
            (N, 1) preference scores, or (N, 2) with the predicted factuality in the second column.

        Raises:
            InvalidInput: a prompt with its completion exceeds the context window; the row is named.
        """
        import torch

        check_one_each("completions", completions, prompts=prompts)
        encoded = [self._encode(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        window = getattr(self.model.config, "max_position_embeddings", None)
        for row, ids in enumerate(encoded):
            if window is not None and len(ids) > window:
                raise InvalidInput(
                    f"the prompt and completion of row {row} have {len(ids)} tokens, more than the reward model's context "
                    f"window of {window}"
                )
        scores, device = np.zeros((len(encoded), self.model.config.num_labels)), self.device
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
        with torch.inference_mode():
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                batch = self.tokenizer.pad(
                    {"input_ids": [encoded[row] for row in rows]}, padding_side="right", return_tensors="pt"
                )
                scores[rows] = self.model(**batch.to(device)).logits.float().cpu().numpy()
        return scores

    def _encode(self, prompt: Any, completion: Any) -> list[int]:
        """The tokens that TRL's `RewardTrainer` trains on for this row."""
        ids: list[int]
        if isinstance(prompt, str):
            ids = self.tokenizer(prompt + completion + self.tokenizer.eos_token)["input_ids"]
        else:
            ids = self.tokenizer.apply_chat_template(
                fit_conversation(self.tokenizer, [*prompt, *completion]), return_dict=True
            )["input_ids"]
        return ids


def load_scorer(path: str | Path, outputs: int, **options: Any) -> Any:
    """Load a causal language model with a new linear head in place of that over its vocabulary.

    Args:
        path: folder or hub id.
        outputs: numbers that the head gives per text.
        options: of `from_pretrained`; float32 unless they name another dtype.

    Raises:
        ModelUnavailable: the folder or hub id cannot be loaded in this way.
    """
    from transformers import AutoModelForSequenceClassification

    with _quiet():
        try:
            return AutoModelForSequenceClassification.from_pretrained(
                path, num_labels=outputs, **{"dtype": "float32", **options}
            )
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{path} cannot be loaded as a reward model: {loading_reason(path, error)}; pass 'default', a folder "
                "or a hub id of a causal language model"
            ) from error


def _load(folder: Path, policy: Any) -> tuple[Any, Any, bool]:
    """The tokenizer, the model, and whether its weights are the policy's."""
    from peft import PeftConfig, PeftModel
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        adapter = folder / "adapter_model.safetensors"
        if adapter.exists():
            with safe_open(adapter, "pt") as weights:
                names = [name for name in weights.keys() if name.endswith("score.weight")]  # noqa: SIM118
                outputs = weights.get_slice(names[0]).get_shape()[0] if names else 0
        else:
            config = AutoConfig.from_pretrained(folder)
            scores = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
            outputs = config.num_labels if scores else 0
        if outputs not in (1, 2):
            # transformers would silently add a new, untrained head.
            raise ModelUnavailable(f"{folder} holds a model without a score head; name the output of halluc train reward")
        base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path if adapter.exists() else None
        shared = base is not None and policy is not None and has_weights_of(policy, base)
        if shared:
            # Not merged, which would change the policy.
            model = PeftModel.from_pretrained(scorer_on(policy, outputs), folder)
        elif base is not None:
            model = PeftModel.from_pretrained(load_scorer(base, outputs), folder).merge_and_unload()
        else:
            model = load_scorer(folder, outputs)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{folder} holds no reward model: {loading_reason(folder, error)}; name the output of halluc train reward"
        ) from error
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return tokenizer, model, shared


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' warning that the head is new, which is intended, and its progress bar."""
    from transformers.utils import logging

    from retrieval.progress import no_transformers_bars

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_transformers_bars():
            yield
    finally:
        logging.set_verbosity(verbosity)
