"""KTO that also learns from single sentences: those that the evidence supports are desirable, contradicted ones are not.

TRL's `KTOTrainer` does the training. Not covered: which sentences are true (training/rewards), and the labels of whole
completions (training/runs/kto.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from trl import KTOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.trainers.columns import KeptColumns, check_weight, data_sets_of

__all__ = ["SENTENCES", "SentenceKTOTrainer", "sentence_losses"]

SENTENCES = "sentences"
"""Column of completions: what each states, a list of {text, start, credit} (`training.rewards.credit.CreditedSpan`)."""

_SPAN_OF_TOKEN, _CREDITS = "span_of_token", "credit_of_span"
_PLACE, _CREDIT = "sentence_of_token", "credit_of_token"


class SentenceKTOTrainer(KeptColumns, KTOTrainer):
    """TRL's `KTOTrainer` with the sentence-level loss of fKTO (FactAlign, arXiv 2410.01691) added, times a weight.

    Every sentence with a credit is treated as a completion of its own that follows the text before it; see
    `sentence_losses`. It needs no further pass through the model. Logs `sentences/loss` and `sentences/number` per batch.

    Args:
        args, kwargs: of `KTOTrainer`. The data sets have the additional column `sentences`.
        sentence_weight: at least 0; with 0 results are identical to TRL's, and the column is not needed.
        locate: gives the number of the sentence that each token of a completion is in, −1 for none, from the tokenizer, the
            tokens and the sentences (`training.rewards.credit.located_sentences`).

    Raises:
        InvalidInput: the weight is negative or not finite, log-probabilities of the reference are computed beforehand (TRL
            keeps only those of whole completions), the column is missing, or no sentence has a credit.
    """

    def __init__(
        self, *args: Any, sentence_weight: float = 0.0, locate: Callable[..., list[int]] | None = None, **kwargs: Any
    ) -> None:
        check_weight("sentence_weight", sentence_weight)
        self.sentence_weight = sentence_weight
        self.kept_columns = (_SPAN_OF_TOKEN, _CREDITS) if sentence_weight else ()
        super().__init__(*args, **kwargs)
        if not sentence_weight:
            return
        if self.precompute_ref_logps:
            raise InvalidInput("sentence_weight is set, and precompute_ref_log_probs too; set one of them")
        for name, rows in data_sets_of(self).items():
            if SENTENCES not in rows.column_names:
                raise InvalidInput(f"the {name} data set has no column {SENTENCES!r}; add it, or set sentence_weight to 0")
        if locate is None:
            raise InvalidInput("sentence_weight is set, and locate is not; pass training.rewards.credit.located_sentences")
        self.train_dataset = self._placed(self.train_dataset, locate)
        if isinstance(self.eval_dataset, dict):
            self.eval_dataset = {name: self._placed(rows, locate) for name, rows in self.eval_dataset.items()}
        elif self.eval_dataset is not None:
            self.eval_dataset = self._placed(self.eval_dataset, locate)
        if not any(any(credits) for credits in self.train_dataset[_CREDITS]):
            raise InvalidInput("no sentence of any completion is supported or contradicted; set sentence_weight to 0")
        self.data_collator = _WithSentences(self.data_collator)

    def _placed(self, rows: Any, locate: Callable[..., list[int]]) -> Any:
        """Add the sentence of each token of the completions, −1 for none, and the credits of the sentences."""

        def place(row: Mapping[str, Any]) -> dict[str, Any]:
            return {
                _SPAN_OF_TOKEN: locate(self.processing_class, row["completion_ids"], row[SENTENCES]),
                _CREDITS: [sentence["credit"] for sentence in row[SENTENCES]],
            }

        return rows.map(place, remove_columns=[SENTENCES])

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool) -> Any:
        if not self.sentence_weight:
            return super()._compute_loss(model, inputs, return_outputs)
        batch = {name: value for name, value in inputs.items() if name not in (_PLACE, _CREDIT)}
        with _LogProbs(self.model, self.ref_model) as calls:
            result = super()._compute_loss(model, batch, return_outputs)
        # With a KL, TRL computes the completions after those of the KL, by the policy and then by the reference.
        policy, reference = calls.values[1 if self.calculate_KL else 0], calls.values[3 if self.calculate_KL else 1]
        mode = "train" if model.training else "eval"
        kl_tokens = batch["KL_completion_mask"].sum(dim=1).float().mean() if self.calculate_KL else torch.tensor(1.0)
        width = batch["input_ids"].shape[1] - 1
        losses = sentence_losses(
            policy[:, -width:] - reference[:, -width:],
            inputs[_PLACE][:, 1:].to(policy.device),
            inputs[_CREDIT][:, 1:].to(policy.device),
            beta=self.beta,
            kl_per_token=self._metrics[mode]["kl"][-1] / float(kl_tokens),
            weights=(self.desirable_weight, self.undesirable_weight),
        )
        sentences = losses.mean() if len(losses) else policy.sum() * 0
        self._metrics[mode]["sentences/loss"].append(sentences.item())
        self._metrics[mode]["sentences/number"].append(len(losses))
        loss, outputs = result if return_outputs else (result, None)
        loss = loss + self.sentence_weight * sentences
        return (loss, outputs) if return_outputs else loss


def sentence_losses(
    log_ratios: torch.Tensor,
    places: torch.Tensor,
    credits: torch.Tensor,
    *,
    beta: float,
    kl_per_token: float,
    weights: tuple[float, float] = (1.0, 1.0),
) -> torch.Tensor:
    """Compute the loss of KTO (arXiv 2402.01306, eq. 7) of each sentence, as a completion of the text before it.

    With the log-ratio r of the tokens of a sentence, the loss is w_D·(1 − σ(β(r − z))) if it is supported and
    w_U·(1 − σ(β(z − r))) if it is contradicted. KTO's reference point z is the KL of a whole completion; that of a sentence
    with n tokens is n times the KL per token.

    Args:
        log_ratios: (B, T) log π(token) − log π_ref(token).
        places: (B, T) number of the sentence of each token within its row; −1 for none.
        credits: (B, T) credit of that sentence: 1 supported, −1 contradicted, 0 neither.
        beta: β above 0.
        kl_per_token: in nats, at least 0.
        weights: (w_D, w_U).

    Returns:
        (S,) losses of the sentences with a credit, by row and place.
    """
    losses = []
    for ratios, row_places, row_credits in zip(log_ratios, places, credits, strict=True):
        for sentence in torch.unique(row_places[(row_places >= 0) & (row_credits != 0)]):
            tokens = row_places == sentence
            credit = row_credits[tokens][0]
            difference = ratios[tokens].sum() - kl_per_token * tokens.sum()
            losses.append(weights[0 if credit > 0 else 1] * (1 - torch.sigmoid(beta * credit * difference)))
    return torch.stack(losses) if losses else log_ratios.new_zeros(0)


class _LogProbs:
    """Keeps the log-probabilities, (B, T) each, that models compute within this context, in order."""

    def __init__(self, *models: Any) -> None:
        self._models = [model for model in models if model is not None]
        self.values: list[torch.Tensor] = []

    def __enter__(self) -> _LogProbs:
        self._hooks = [model.register_forward_hook(self._keep) for model in self._models]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep(self, _module: Any, _inputs: Any, outputs: Any) -> None:
        self.values.append(outputs.log_probs)


class _WithSentences:
    """A collator that adds (B, T) tensors: the sentence of each token of prompt and completion, and its credit."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.collator(examples)
        places = torch.full_like(batch["input_ids"], -1)
        credits = torch.zeros_like(places)
        for row, example in enumerate(examples):
            inside = torch.nonzero(batch["completion_mask"][row]).squeeze(1)
            # A completion may be truncated.
            span_of_token = torch.tensor(example[_SPAN_OF_TOKEN][: len(inside)], dtype=places.dtype)
            places[row, inside] = span_of_token
            credit_of_span = torch.tensor([*example[_CREDITS], 0], dtype=places.dtype)
            credits[row, inside] = credit_of_span[span_of_token]
        return batch | {_PLACE: places, _CREDIT: credits}
