"""A cross-encoder as the verifier: evidence and claim are read together by a sequence classifier.

Pairs are deduplicated, long evidence becomes units (evidence.py), units are sorted by length and batched by tokens, so that
hardly any padding is computed. Where the CPU multiplies bfloat16 natively, pairs are read in it first, twice as fast, and
only those close to a decision again in float32. Not here: the files of verifiers trained by halluc (weights.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.verification.evidence import TOKENS_PER_CHARACTER, evidence_units, nearest_sentences
from halluc.verification.verifier import checked_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration.recalibrators import Recalibrator

__all__ = ["CrossEncoderVerifier", "load_cross_encoder"]


def load_cross_encoder(
    path: str | Path,
    *,
    name: str | None = None,
    device: str | None = None,
    columns: Sequence[int] | None = None,
    max_tokens: int | None = None,
    batch_tokens: int = 4096,
) -> CrossEncoderVerifier:
    """Load a verifier trained by halluc, or any sequence classifier that reads evidence and claim.

    Args:
        path: a folder written by `halluc train verifier`, or a folder or hub id that
            `AutoModelForSequenceClassification.from_pretrained` understands.
        name: how results call it; the path by default.
        device: "cpu", "cuda", ...; by default CUDA where there is one. On CUDA it computes in half precision.
        columns: see `CrossEncoderVerifier`; by default read off the names of the model's labels.
        max_tokens: longest unit of evidence; by default what the verifier was trained with, or five eighths of the window.
        batch_tokens: tokens, padding included, computed at a time.

    Raises:
        InvalidInput: the labels' names do not tell which of them means support.
        ModelUnavailable, VerifierMismatch: as `load_verifier`.
    """
    import torch

    path = Path(path) if Path(path).is_dir() else path
    calibrator = None
    if isinstance(path, Path) and (path / "verifier.json").is_file():
        from halluc.verification.weights import read_weights

        trained = read_weights(path)
        model, tokenizer, calibrator = trained.model, trained.tokenizer, trained.calibrator
        max_tokens, columns = max_tokens or trained.max_tokens, columns or (0, 1, 2)
    else:
        model, tokenizer = _from_pretrained(path)
        columns = columns or _columns(str(path), model.config)
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.to(target, torch.float32 if target.type == "cpu" else torch.float16)
    return CrossEncoderVerifier(
        model,
        tokenizer,
        name=name or str(path),
        columns=columns,
        max_tokens=max_tokens,
        calibrator=calibrator,
        batch_tokens=batch_tokens,
    )


def _from_pretrained(path: str | Path) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from retrieval.hub import require_hub

    try:
        require_hub(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        model, report = AutoModelForSequenceClassification.from_pretrained(path, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"the verifier {str(path)!r} cannot be loaded: {' '.join(str(error).split())[:300]}; pass 'default', 'lm', a "
            "folder, or the id of a sequence classifier that is in the cache or can be fetched"
        ) from error
    if report["missing_keys"]:
        raise ModelUnavailable(
            f"{path} is no trained sequence classifier: it has no weights for {min(report['missing_keys'])}"
        )
    return model.eval(), tokenizer


_SUPPORTED = {
    "entailment",
    "entails",
    "supported",
    "supports",
    "support",
    "consistent",
    "factual",
    "faithful",
    "attributable",
}
_REFUTED = {"contradiction", "contradicts", "refuted", "refutes", "refute"}
_NEITHER = {"neutral", "not_enough_info", "nei", "unverified"}


def _columns(path: str, config: Any) -> tuple[int, ...]:
    """Which logits mean what, from the labels' names; MiniCheck and HHEM, which name none, have support last."""
    labels = {int(i): re.sub(r"\W+", "_", str(label).lower()) for i, label in config.id2label.items()}
    found = [[i for i, label in labels.items() if label in known] for known in (_SUPPORTED, _REFUTED, _NEITHER)]
    if len(labels) == 3 and all(len(own) == 1 for own in found):
        return tuple(own[0] for own in found)
    if len(found[0]) == 1 and len(labels) == 2:
        return found[0][0], 1 - found[0][0]
    if len(labels) <= 2 and all(re.fullmatch(r"label_\d", label) for label in labels.values()):
        return tuple(sorted(labels, reverse=True))
    raise InvalidInput(
        f"the labels of {path}, {', '.join(map(repr, config.id2label.values()))}, do not say which means support; pass "
        "columns=(supported, refuted, not enough information)"
    )


# Reading in bfloat16 moves a calibrated probability by less than this (benchmarks/verifier.py prints what is left of it).
_SECOND_LOOK = 0.03
# Sentences of evidence longer than a unit that are read alone. On 1,239 calibration and validation pairs with evidence of
# over 60 words, balanced accuracy was 0.70 with windows and three sentences, 0.69 with windows, 0.66 with sentences.
_SENTENCES = 3


class CrossEncoderVerifier:
    """`Verifier` on any sequence classifier that reads (evidence, claim).

    Args:
        model: a transformers sequence classifier.
        tokenizer: its tokenizer.
        name: how results call it.
        columns: which logits mean supported, refuted and not enough information, in this order; two entries for a model
            that only tells supported from the rest, one for a model whose only logit is that of support.
        max_tokens: longest unit of evidence in tokens, five eighths of the window by default. Longer evidence is read in
            overlapping windows, and the three sentences nearest to the claim alone; the best counts.
        calibrator: maps the model's probability of support to a calibrated one; None to take it as it is.
        batch_tokens: tokens, padding included, computed at a time.
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
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.columns = tuple(columns)
        window: int = min(model.config.max_position_embeddings, tokenizer.model_max_length)
        self.max_tokens = max_tokens or window * 5 // 8
        self.calibrator = calibrator
        self.batch_tokens = batch_tokens
        self._fast = _in_bfloat16(model)
        self._claim_tokens = window - self.max_tokens - tokenizer.num_special_tokens_to_add(pair=True)
        if self._claim_tokens < 1:
            raise InvalidInput(
                f"max_tokens is {self.max_tokens}, which leaves no room for a claim in the {window} tokens of {name}; "
                "lower it"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a probability: weights, columns, longest unit of evidence, calibrator."""
        import torch
        import xxhash

        calibrator = self.calibrator.to_dict() if self.calibrator else None
        digest = xxhash.xxh3_128(json.dumps([self.columns, self.max_tokens, calibrator]).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            # In half precision, which is what the same weights have on CUDA.
            digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy())
        return str(digest.hexdigest())

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1] that the evidence supports the claim; see `probabilities`."""
        support: NDArray[np.float64] = self.probabilities(pairs)[:, 0]
        return support

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(N, 3) probabilities of `LABELS`; equal pairs are computed once.

        Over the units of long evidence the highest support counts, and of what it leaves the highest refutation.

        Raises:
            InvalidInput: a pair is not two strings with something in them, or a claim does not fit beside a unit.
        """
        import numpy as np

        pairs = checked_pairs(pairs)
        unique = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        units, owner = self._units(list(unique))
        best = np.zeros((len(unique), 3))
        if self._fast is not None:
            np.maximum.at(best, owner, self._read(units, self._fast))
            near = np.abs(self._calibrated(best[:, 0]) - 0.5) < _SECOND_LOOK
            best[near] = 0
            again = [i for i, row in enumerate(owner) if near[row]]
            units, owner = [units[i] for i in again], [owner[i] for i in again]
        np.maximum.at(best, owner, self._read(units, self.model))
        support = self._calibrated(best[:, 0])
        refuted = np.minimum(best[:, 1], 1 - best[:, 0]) / np.maximum(1 - best[:, 0], 1e-12) * (1 - support)
        table = np.stack([support, refuted, 1 - support - refuted], axis=1)
        return table[[unique[pair] for pair in pairs]]

    def _calibrated(self, support: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.calibrator.transform(support) if self.calibrator and len(support) else support

    def _units(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[int]]:
        """The (unit, claim) pairs to read, and the number of the pair that each belongs to."""
        claims = [c for c in dict.fromkeys(c for _, c in pairs) if TOKENS_PER_CHARACTER * len(c) > self._claim_tokens]
        for claim, length in zip(claims, self._lengths(claims), strict=True):
            if length > self._claim_tokens:
                raise InvalidInput(
                    f"the claim that begins {claim[:40]!r} has {length} tokens, more than the {self._claim_tokens} that "
                    f"{self.name} reads; split it into claims with halluc.extract_claims"
                )
        evidence = list(dict.fromkeys(text for text, _ in pairs))
        # What is short in characters needs no counting.
        windows = {
            text: [text]
            if TOKENS_PER_CHARACTER * len(text) <= self.max_tokens
            else evidence_units(text, self._lengths, max_tokens=self.max_tokens)
            for text in evidence
        }
        units: list[tuple[str, str]] = []
        owner: list[int] = []
        for number, (text, claim) in enumerate(pairs):
            own = windows[text]
            # In a window of many sentences a single one is easily missed.
            if len(own) > 1:
                nearest = nearest_sentences(text, claim, _SENTENCES)
                fitting = [length <= self.max_tokens for length in self._lengths(nearest)]
                own = [*own, *compress(nearest, fitting)]
            units += [(unit, claim) for unit in own]
            owner += [number] * len(own)
        return units, owner

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _read(self, units: Sequence[tuple[str, str]], model: Any) -> NDArray[np.float64]:
        """(U, 3) probabilities as `model` gives them."""
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
    """A copy of the model in bfloat16 where that is faster, else None: on CPUs with instructions for it."""
    import copy

    import torch

    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if model.device.type != "cpu" or model.dtype != torch.float32 or not native:
        return None
    return copy.deepcopy(model).to(torch.bfloat16)
