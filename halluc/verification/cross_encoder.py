"""Any sequence classifier that reads evidence and claim together, such as an NLI cross-encoder, as the verifier.

Equal pairs are read once, and long evidence is split into units (evidence.py). Not covered: loading them (pretrained.py),
and verifiers trained by halluc (pair_verifier.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.verification.batches import read_in_batches, token_lengths
from halluc.verification.evidence import TOKENS_PER_CHARACTER, evidence_units, nearest_sentences
from halluc.verification.verifier import (
    check_claim_lengths,
    checked_pairs,
    reading_window,
    room_for_claims,
    weights_fingerprint,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CrossEncoderVerifier"]


# Sentences that are read alone if the evidence is longer than a unit. On 1,239 calibration and validation pairs with
# evidence of over 60 words, balanced accuracy was 0.70 with windows and three sentences, 0.69 with windows, 0.66 with
# sentences.
_SENTENCES = 3


class CrossEncoderVerifier:
    """`Verifier` on any sequence classifier that reads (evidence, claim).

    Args:
        model: a transformers sequence classifier.
        tokenizer: its tokenizer.
        name: name of the verifier in results.
        columns: the logits of supported, refuted and not enough information, in this order; two entries for a model that
            only distinguishes supported from everything else, one for a model whose only logit is that of support.
        max_tokens: longest unit of evidence in tokens, five eighths of the window by default. Longer evidence is read in
            overlapping windows, and the three sentences nearest to the claim are also read alone; the best unit counts.
        batch_tokens: tokens, padding included, per forward pass.

    Raises:
        InvalidInput: max_tokens leaves no room for a claim, or columns does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        columns: Sequence[int] = (0, 1, 2),
        max_tokens: int | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        # Text that spells a special token, such as "[PAD]", is text: as a token it could turn a verdict.
        tokenizer.split_special_tokens = True
        self.columns = tuple(columns)
        window = reading_window(model, tokenizer)
        self.max_tokens = window * 5 // 8 if max_tokens is None else max_tokens
        self.batch_tokens = batch_tokens
        if len({*self.columns} & {*range(model.config.num_labels)}) != len(self.columns) or not 1 <= len(self.columns) <= 3:
            raise InvalidInput(
                f"columns is {self.columns}, but {name} has the logits 0 to {model.config.num_labels - 1}; name one, two or "
                "three of them"
            )
        self._claim_tokens = room_for_claims(tokenizer, window, self.max_tokens, name)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a probability: weights, columns, longest unit of evidence."""
        return weights_fingerprint(self.model, [self.columns, self.max_tokens])

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N,) probabilities in [0, 1] that the evidence supports the claim; see `probabilities`."""
        support: NDArray[np.float64] = self.probabilities(pairs)[:, 0]
        return support

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of `LABELS`.

        Of the units of long evidence the highest support counts, and of the remaining probability the highest refutation.

        Args:
            pairs: (N,) pairs of evidence and claim; equal pairs are read once.

        Returns:
            (N, 3) probabilities in [0, 1]; each row sums to 1.

        Raises:
            InvalidInput: a pair is not two texts that are not blank, or a claim does not fit beside a unit.
        """
        import numpy as np

        pairs = checked_pairs(pairs)
        unique = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        units, pair_of_unit = self._units(list(unique))
        best = np.zeros((len(unique), 3))
        np.maximum.at(best, pair_of_unit, self._read(units))
        support = best[:, 0]
        refuted = np.minimum(best[:, 1], 1 - support)
        table = np.stack([support, refuted, 1 - support - refuted], axis=1)
        return table[[unique[pair] for pair in pairs]]

    def _units(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[int]]:
        """The (unit, claim) pairs to read, and the index of the pair that each belongs to."""
        check_claim_lengths({claim: claim for _, claim in pairs}, self._lengths, self._claim_tokens, self.name)
        evidence = list(dict.fromkeys(text for text, _ in pairs))
        # A text of few characters has few tokens, so it need not be counted.
        windows = {
            text: [text]
            if TOKENS_PER_CHARACTER * len(text) <= self.max_tokens
            else evidence_units(text, self._lengths, max_tokens=self.max_tokens)
            for text in evidence
        }
        units: list[tuple[str, str]] = []
        pair_of_unit: list[int] = []
        for number, (text, claim) in enumerate(pairs):
            texts = windows[text]
            # In a window of many sentences a single one is easily missed.
            if len(texts) > 1:
                nearest = nearest_sentences(text, claim, _SENTENCES)
                fitting = [length <= self.max_tokens for length in self._lengths(nearest)]
                texts = [*texts, *compress(nearest, fitting)]
            units += [(unit, claim) for unit in texts]
            pair_of_unit += [number] * len(texts)
        return units, pair_of_unit

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return token_lengths(self.tokenizer, texts)

    def _read(self, units: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(U, 3) probabilities."""
        import numpy as np

        table = np.zeros((len(units), 3))
        if units:
            encoded = self.tokenizer(
                [unit for unit, _ in units], [claim for _, claim in units], truncation=False, verbose=False
            )
            for rows, output in read_in_batches(self.model, self.tokenizer, encoded, self.batch_tokens):
                table[rows] = self._table(output.logits.float()).cpu().numpy()
        return table

    def _table(self, logits: Any) -> Any:
        """(B, 3) probabilities of `LABELS` from the model's (B, L) logits."""
        import torch

        if len(self.columns) == 1:
            support = torch.sigmoid(logits[:, self.columns[0]])
            return torch.stack([support, torch.zeros_like(support), 1 - support], dim=1)
        probabilities = torch.softmax(logits, dim=1)[:, list(self.columns)]
        if len(self.columns) == 2:
            support = probabilities[:, 0]
            return torch.stack([support, torch.zeros_like(support), 1 - support], dim=1)
        return probabilities
