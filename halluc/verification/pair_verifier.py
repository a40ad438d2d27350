"""halluc's own verifiers: a network that labels a pair of evidence and claim, and each token of the claim.

Texts are first written as in training (reading.py), and long evidence is reduced to an excerpt for each claim (evidence.py).
Networks of this size overlook changed digits, so a date, price or measure of the claim that is nowhere in the evidence
(halluc.quantities) lowers the support below 0.5 and is marked; and some pairs are decided by their words (wording.py).
Equal pairs are read once, and pairs are sorted by length and batched by tokens, so that hardly any padding is computed. If
the CPU multiplies bfloat16 natively, pairs are first read in it, twice as fast, and only those close to a decision again in
float32.

Not covered: the network (pair_encoder.py), its files (weights.py), and other people's verifiers (pretrained.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.answers import SpanKind
from halluc.quantities import QuantityConflict, quantity_conflicts
from halluc.verification.batches import bfloat16_copy, read_in_batches, token_lengths
from halluc.verification.evidence import EvidenceText
from halluc.verification.reading import as_read, moved_span
from halluc.verification.verifier import (
    UnsupportedSpan,
    check_claim_lengths,
    checked_pairs,
    reading_window,
    room_for_claims,
    weights_fingerprint,
)
from halluc.verification.wording import answers_question, shares_terms, states_verbatim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration import Recalibrator
    from calibration.platt_map import PlattMap
    from halluc.verification.pair_encoder import PairEncoder

__all__ = ["PairVerifier", "load_pair_verifier"]

# Pairs with a probability this close to 0.5 in bfloat16 are read again in float32. Reading in bfloat16 moves a calibrated
# probability by less (benchmarks/verifier.py prints the difference that remains).
_REREAD_MARGIN = 0.03
# Texts of evidence that stay split into sentences, and pairs whose reading is kept: spans follow from the same reading as
# probabilities.
_MAX_TEXTS = 64
_MAX_READINGS = 4096
# Support of a claim that is a sentence of its evidence.
_SUPPORT_OF_COPY = 0.99
# Support that is left to a claim with a quantity that its evidence does not state, and the probability that its characters
# are unsupported: 0.93 of such claims are, over twenty data sets.
_SHARE_AFTER_CONFLICT = 0.45
_CONFLICT_PROBABILITY = 0.93


@dataclass(frozen=True)
class _Reading:
    """What the network says about a pair: (3,) probabilities of labels, and (T, 3) of the tokens of the claim."""

    labels: NDArray[np.float64]
    tokens: NDArray[np.float32]
    offsets: tuple[tuple[int, int], ...]


def load_pair_verifier(
    folder: str | Path,
    *,
    name: str | None = None,
    device: str | None = None,
    max_tokens: int | None = None,
    batch_tokens: int = 4096,
) -> PairVerifier:
    """Load a verifier trained by halluc.

    Args:
        folder: written by `halluc train verifier`.
        name: name of the verifier in results; the folder by default.
        device: "cpu", "cuda", ...; by default CUDA if there is a GPU. On CUDA it computes in half precision.
        max_tokens: longest excerpt of evidence; by default the one it was trained with.
        batch_tokens: tokens, padding included, per forward pass.

    Returns:
        The verifier.

    Raises:
        InvalidInput: an option is out of range.
        ModelUnavailable, VerifierMismatch: as `load_verifier`.
    """
    import torch

    from halluc.verification.weights import read_weights

    trained = read_weights(Path(folder))
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trained.model.to(target, torch.float32 if target.type == "cpu" else torch.float16)
    return PairVerifier(
        trained.model,
        trained.tokenizer,
        name=name or str(folder),
        max_tokens=trained.max_tokens if max_tokens is None else max_tokens,
        calibrator=trained.calibrator,
        answer_calibrator=trained.answer_calibrator,
        span_threshold=trained.span_threshold,
        batch_tokens=batch_tokens,
    )


class PairVerifier:
    """`SpanVerifier` on a network with a head for pairs and one for tokens.

    Args:
        model: the network.
        tokenizer: that of its encoder.
        name: name of the verifier in results.
        max_tokens: longest excerpt of evidence, in tokens.
        calibrator: maps the probability of support to a calibrated one; None to use it uncalibrated.
        answer_calibrator: the same for claims that are a question with its answer; None for `calibrator`.
        span_threshold: least probability of "not supported" of a word in an unsupported span.
        batch_tokens: tokens, padding included, per forward pass.

    Raises:
        InvalidInput: max_tokens leaves no room for a claim.
    """

    def __init__(
        self,
        model: PairEncoder,
        tokenizer: Any,
        *,
        name: str,
        max_tokens: int,
        calibrator: Recalibrator | PlattMap | None = None,
        answer_calibrator: Recalibrator | PlattMap | None = None,
        span_threshold: float = 0.5,
        batch_tokens: int = 4096,
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        # Text that spells a special token, such as "[PAD]", is text: as a token it could turn a verdict.
        tokenizer.split_special_tokens = True
        self.max_tokens = max_tokens
        self.calibrator = calibrator
        self.answer_calibrator = answer_calibrator
        self.span_threshold = span_threshold
        self.batch_tokens = batch_tokens
        # What reads first: a copy in bfloat16 where the CPU has instructions for it, else the model itself.
        self.fast_model = bfloat16_copy(model) or model
        self._texts: dict[str, EvidenceText] = {}
        self._readings: dict[tuple[str, str], _Reading] = {}
        self._claim_tokens = room_for_claims(tokenizer, reading_window(model, tokenizer), max_tokens, name)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a result: weights, longest excerpt, calibrator, threshold of spans."""
        calibrators = [fitted.to_dict() if fitted else None for fitted in (self.calibrator, self.answer_calibrator)]
        return weights_fingerprint(self.model, [self.max_tokens, *calibrators, self.span_threshold])

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N,) probabilities in [0, 1] that the evidence supports the claim; see `probabilities`."""
        support: NDArray[np.float64] = self.probabilities(pairs)[:, 0]
        return support

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of `LABELS`.

        Args:
            pairs: (N,) pairs of evidence and claim; equal pairs are read once.

        Returns:
            (N, 3) probabilities in [0, 1]; each row sums to 1.

        Raises:
            InvalidInput: a pair is not two texts that are not blank, or a claim does not fit beside an excerpt.
        """
        import numpy as np

        pairs = list(pairs)
        table = self.network_probabilities(pairs)
        support = self._calibrated(table[:, 0], [claim for _, claim in pairs])
        refuted = table[:, 1] / np.maximum(1 - table[:, 0], 1e-12) * (1 - support)
        for i, (evidence, claim) in enumerate(pairs):
            read = as_read(evidence), as_read(claim)
            if states_verbatim(*read):
                support[i] = max(support[i], _SUPPORT_OF_COPY)
                refuted[i] = min(refuted[i], 1 - support[i])
            elif self._conflicts(evidence, claim):
                kept = support[i] * _SHARE_AFTER_CONFLICT
                refuted[i] += support[i] - kept
                support[i] = kept
            if not shares_terms(*read):
                refuted[i] = 0.0
        return np.stack([support, refuted, 1 - support - refuted], axis=1)

    def network_probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of the network alone, before calibration and the comparison of quantities."""
        import numpy as np

        return np.array([reading.labels for reading in self._read(pairs)]).reshape(-1, 3)

    def unsupported_spans(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[UnsupportedSpan, ...]]:
        """Mark the characters of each claim that its evidence does not support.

        Args:
            pairs: (N,) pairs of evidence and claim; those whose probabilities were asked for are not read again.

        Returns:
            (N,) spans in order, without overlaps, of whole words.

        Raises:
            InvalidInput: as `probabilities`.
        """
        pairs = list(pairs)
        readings = self._read(pairs)
        return [
            () if states_verbatim(as_read(evidence), as_read(claim)) else self._spans(evidence, claim, reading)
            for (evidence, claim), reading in zip(pairs, readings, strict=True)
        ]

    def _spans(self, evidence: str, claim: str, reading: _Reading) -> tuple[UnsupportedSpan, ...]:
        import numpy as np

        written = as_read(claim)
        unsupported = 1 - reading.tokens[:, 0]
        kinds_of_tokens = reading.tokens[:, 1:].copy()
        for conflict in self._conflicts(evidence, claim):
            inside = [i for i, (start, end) in enumerate(reading.offsets) if start < conflict.end and conflict.start < end]
            unsupported[inside] = np.maximum(unsupported[inside], _CONFLICT_PROBABILITY)
            kinds_of_tokens[inside] = (_CONFLICT_PROBABILITY, 0)
        words = []
        for word in re.finditer(r"\S+", written):
            tokens = [i for i, (start, end) in enumerate(reading.offsets) if start < word.end() and word.start() < end]
            if tokens:
                words.append((word, float(unsupported[tokens].max()), kinds_of_tokens[tokens].sum(0)))
        spans: list[UnsupportedSpan] = []
        run: list[tuple[Any, float, Any]] = []
        for item in [*words, None]:
            if item is not None and item[1] >= self.span_threshold:
                run.append(item)
                continue
            if run:
                start, end = moved_span(written, claim, run[0][0].start(), run[-1][0].end())
                conflict, baseless = sum(kinds for _, _, kinds in run)
                kind: SpanKind = "conflict" if conflict > baseless else "baseless"
                if start < end:
                    spans.append(UnsupportedSpan(start, end, sum(p for _, p, _ in run) / len(run), kind))
            run = []
        return tuple(spans)

    def _conflicts(self, evidence: str, claim: str) -> list[QuantityConflict]:
        """Quantities of the claim, at places in it as it is read, that are nowhere in the evidence."""
        return [conflict for conflict in quantity_conflicts(as_read(evidence), as_read(claim)) if conflict.reliable]

    def _calibrated(self, support: NDArray[np.float64], claims: Sequence[str]) -> NDArray[np.float64]:
        import numpy as np

        calibrated = support.copy()
        answers = np.array([answers_question(claim) for claim in claims], bool)
        for fitted, rows in ((self.calibrator, ~answers), (self.answer_calibrator or self.calibrator, answers)):
            if fitted and rows.any():
                calibrated[rows] = fitted.predict(support[rows])
        return calibrated

    def _read(self, pairs: Sequence[tuple[str, str]]) -> list[_Reading]:
        """The readings of pairs, of which those kept from before are not read again."""
        import numpy as np

        keys = self._units(checked_pairs(pairs))
        readings = {key: self._readings[key] for key in keys if key in self._readings}
        unread = [key for key in dict.fromkeys(keys) if key not in readings]
        fresh = dict(zip(unread, self._forward(unread, self.fast_model), strict=True))
        if self.fast_model is not self.model and fresh:
            probabilities = np.array([reading.labels[0] for reading in fresh.values()])
            support = self._calibrated(probabilities, [claim for _, claim in fresh])
            near = [key for key, value in zip(fresh, support, strict=True) if abs(value - 0.5) < _REREAD_MARGIN]
            fresh.update(zip(near, self._forward(near, self.model), strict=True))
        readings |= fresh
        if len(self._readings) + len(fresh) > _MAX_READINGS:
            self._readings = {}
        if len(fresh) <= _MAX_READINGS:
            self._readings |= fresh
        return [readings[key] for key in keys]

    def _units(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The excerpt and the claim to read for each pair."""
        written = {claim: as_read(claim) for claim in dict.fromkeys(claim for _, claim in pairs)}
        check_claim_lengths(written, self._lengths, self._claim_tokens, self.name)
        return [(self._text(evidence).excerpt(written[claim]), written[claim]) for evidence, claim in pairs]

    def _text(self, evidence: str) -> EvidenceText:
        text = self._texts.get(evidence)
        if text is None:
            text = EvidenceText(as_read(evidence), self._lengths, max_tokens=self.max_tokens)
            while len(self._texts) >= _MAX_TEXTS:
                del self._texts[next(iter(self._texts))]
            self._texts[evidence] = text
        return text

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return token_lengths(self.tokenizer, texts)

    def _forward(self, units: Sequence[tuple[str, str]], model: Any) -> list[_Reading]:
        import torch

        if not units:
            return []
        encoded = self.tokenizer(
            [excerpt for excerpt, _ in units],
            [claim for _, claim in units],
            truncation=False,
            verbose=False,
            return_offsets_mapping=True,
        )
        offsets = encoded.pop("offset_mapping")
        readings: list[_Reading | None] = [None] * len(units)
        for rows, output in read_in_batches(model, self.tokenizer, encoded, self.batch_tokens):
            labels = torch.softmax(output.logits.float(), dim=-1).double().cpu().numpy()
            tokens = torch.softmax(output.token_logits.float(), dim=-1).cpu().numpy()
            for i, row in enumerate(rows):
                of_claim = [place for place, sequence in enumerate(encoded.sequence_ids(row)) if sequence == 1]
                places = tuple(offsets[row][place] for place in of_claim)
                readings[row] = _Reading(labels[i], tokens[i, of_claim], places)
        return [reading for reading in readings if reading is not None]
