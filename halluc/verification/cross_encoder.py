"""A cross-encoder as the verifier: a sequence classifier reads evidence and claim together.

Equal pairs are read once, long evidence is split into units (evidence.py), and units are sorted by length and batched by
tokens, so that hardly any padding is computed. If the CPU multiplies bfloat16 natively, pairs are first read in it, twice as
fast, and only those close to a decision again in float32.

Not covered: the files of verifiers trained by halluc (weights.py), and loading other people's (pretrained.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.verification.evidence import TOKENS_PER_CHARACTER, evidence_units, nearest_sentences
from halluc.verification.verifier import checked_pairs, reading_window, weights_fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration import Recalibrator

__all__ = ["CrossEncoderVerifier", "load_cross_encoder"]


def load_cross_encoder(
    path: str | Path,
    *,
    name: str | None = None,
    device: str | None = None,
    columns: Sequence[int] = (0, 1, 2),
    max_tokens: int | None = None,
    batch_tokens: int = 4096,
) -> CrossEncoderVerifier:
    """Load a verifier trained by halluc.

    Args:
        path: a folder written by `halluc train verifier`.
        name: name of the verifier in results; the path by default.
        device: "cpu", "cuda", ...; by default CUDA if there is a GPU. On CUDA it computes in half precision.
        columns: see `CrossEncoderVerifier`.
        max_tokens: longest unit of evidence; by default the one it was trained with.
        batch_tokens: tokens, padding included, per forward pass.

    Returns:
        The verifier.

    Raises:
        InvalidInput: an option is out of range.
        ModelUnavailable, VerifierMismatch: as `load_verifier`.
    """
    import torch

    from halluc.verification.weights import read_weights

    trained = read_weights(Path(path))
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trained.model.to(target, torch.float32 if target.type == "cpu" else torch.float16)
    return CrossEncoderVerifier(
        trained.model,
        trained.tokenizer,
        name=name or str(path),
        columns=columns,
        max_tokens=trained.max_tokens if max_tokens is None else max_tokens,
        calibrator=trained.calibrator,
        batch_tokens=batch_tokens,
    )


# Pairs with a probability this close to 0.5 in bfloat16 are read again in float32. Reading in bfloat16 moves a calibrated
# probability by less (benchmarks/verifier.py prints the difference that remains).
_REREAD_MARGIN = 0.03
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
        calibrator: maps the model's probability of support to a calibrated one; None to use it uncalibrated.
        batch_tokens: tokens, padding included, per forward pass.
        float32_only: never read in bfloat16 first. What that costs was measured for halluc's own weights alone.

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
        calibrator: Recalibrator | None = None,
        batch_tokens: int = 4096,
        float32_only: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        # Text that spells a special token, such as "[PAD]", is text: as a token it could turn a verdict.
        tokenizer.split_special_tokens = True
        self.columns = tuple(columns)
        window = reading_window(model, tokenizer)
        self.max_tokens = window * 5 // 8 if max_tokens is None else max_tokens
        self.calibrator = calibrator
        self.batch_tokens = batch_tokens
        self._fast = None if float32_only else _in_bfloat16(model)
        self._claim_tokens = window - self.max_tokens - tokenizer.num_special_tokens_to_add(pair=True)
        if len({*self.columns} & {*range(model.config.num_labels)}) != len(self.columns) or not 1 <= len(self.columns) <= 3:
            raise InvalidInput(
                f"columns is {self.columns}, but {name} has the logits 0 to {model.config.num_labels - 1}; name one, two or "
                "three of them"
            )
        if self.max_tokens < 1:
            raise InvalidInput(f"max_tokens is {self.max_tokens}; read at least one token of evidence at a time")
        if self._claim_tokens < 1:
            raise InvalidInput(
                f"max_tokens is {self.max_tokens}, which leaves no room for a claim in the {window} tokens of {name}; "
                "lower it"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a probability: weights, columns, longest unit of evidence, calibrator."""
        calibrator = self.calibrator.to_dict() if self.calibrator else None
        return weights_fingerprint(self.model, [self.columns, self.max_tokens, calibrator])

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
        if self._fast is not None:
            np.maximum.at(best, pair_of_unit, self._read(units, self._fast))
            near = np.abs(self._calibrated(best[:, 0]) - 0.5) < _REREAD_MARGIN
            best[near] = 0
            again = [i for i, pair in enumerate(pair_of_unit) if near[pair]]
            units, pair_of_unit = [units[i] for i in again], [pair_of_unit[i] for i in again]
        np.maximum.at(best, pair_of_unit, self._read(units, self.model))
        support = self._calibrated(best[:, 0])
        refuted = np.minimum(best[:, 1], 1 - best[:, 0]) / np.maximum(1 - best[:, 0], 1e-12) * (1 - support)
        table = np.stack([support, refuted, 1 - support - refuted], axis=1)
        return table[[unique[pair] for pair in pairs]]

    def _calibrated(self, support: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.calibrator.transform(support) if self.calibrator and len(support) else support

    def _units(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[int]]:
        """The (unit, claim) pairs to read, and the index of the pair that each belongs to."""
        claims = [c for c in dict.fromkeys(c for _, c in pairs) if TOKENS_PER_CHARACTER * len(c) > self._claim_tokens]
        for claim, length in zip(claims, self._lengths(claims), strict=True):
            if length > self._claim_tokens:
                raise InvalidInput(
                    f"the claim that begins {claim[:40]!r} has {length} tokens, more than the {self._claim_tokens} that "
                    f"{self.name} reads; split it into claims with halluc.extract_claims"
                )
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
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _read(self, units: Sequence[tuple[str, str]], model: Any) -> NDArray[np.float64]:
        """(U, 3) uncalibrated probabilities by `model`."""
        import numpy as np
        import torch

        table = np.zeros((len(units), 3))
        if not units:
            return table
        encoded = self.tokenizer([unit for unit, _ in units], [claim for _, claim in units], truncation=False, verbose=False)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        order = sorted(range(len(units)), key=lambda row: -lengths[row])
        with torch.inference_mode():
            start = 0
            while start < len(order):
                rows = order[start : start + max(1, self.batch_tokens // lengths[order[start]])]
                start += len(rows)
                batch = self.tokenizer.pad(
                    {key: [values[row] for row in rows] for key, values in encoded.items()}, return_tensors="pt"
                ).to(model.device)
                table[rows] = self._table(model(**batch).logits.float()).cpu().numpy()
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


def _in_bfloat16(model: Any) -> Any:
    """A copy of the model in bfloat16 if the CPU has instructions for it, which make it faster; else None."""
    import copy

    import torch

    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if model.device.type != "cpu" or model.dtype != torch.float32 or not native:
        return None
    return copy.deepcopy(model).to(torch.bfloat16)
