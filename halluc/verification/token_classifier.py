"""Verifiers that classify the tokens of a claim: LettuceDetect and TinyLettuce (arXiv 2502.17125).

The model reads evidence, in the prompt of its family, and claim as a pair, and gives each token of the claim a probability
of being unsupported. The support of a claim is one minus the largest of them, since published code calls an answer
hallucinated if one of its tokens is. Evidence that does not fit the window is read in overlapping windows, and a token is as
unsupported as in the window that supports it best: what one window does not say another may.

Not covered: classifiers of whole texts (cross_encoder.py, templated.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_number, check_same_length
from halluc.verification.batches import read_in_batches, token_lengths
from halluc.verification.evidence import evidence_units
from halluc.verification.templated import fill
from halluc.verification.verifier import UnsupportedSpan, checked_pairs, reading_window, weights_fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.verification.families import Family

__all__ = ["TokenClassifierVerifier"]

# LettuceDetect's prompt for an answer to a question; without one, it uses that of the family.
_QUESTION_TEMPLATE = (
    "Briefly answer the following question:\n{question}\nBear in mind that your response should be strictly based on the "
    "following 1 passages:\npassage 1: {evidence}\nIn case the passages do not contain the necessary information to answer "
    'the question, please reply with: "Unable to answer based on given passages."\noutput:'
)


class TokenClassifierVerifier:
    """`Verifier` on a token classifier with two labels; it also marks what is not supported.

    Args:
        model: a transformers token classifier.
        tokenizer: its tokenizer, a fast one.
        family: prompt and labels.
        name: name of the verifier in results.
        max_tokens: longest unit of evidence in tokens; None for all that fits the window.
        batch_tokens: tokens, padding included, per forward pass.

    Raises:
        InvalidInput: max_tokens leaves no room for a claim, or the tokenizer does not know the place of its tokens.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        family: Family,
        *,
        name: str,
        max_tokens: int | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        # Text that spells a special token is text.
        tokenizer.split_special_tokens = True
        self.family = family
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens
        self.window = reading_window(model, tokenizer, trained=family.window)
        if not tokenizer.is_fast:
            raise InvalidInput(
                f"the tokenizer of {name} does not know the place of its tokens; save it with a tokenizer.json"
            )
        if max_tokens is not None and not 1 <= max_tokens < self.window:
            raise InvalidInput(f"max_tokens is {max_tokens}; pass 1 to {self.window - 1}, the window of {name}")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a probability: weights, family and longest unit of evidence."""
        from dataclasses import asdict

        return weights_fingerprint(self.model, [asdict(self.family), self.max_tokens])

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the probabilities that the evidence supports every token of the claim.

        Args:
            pairs: (N,) pairs of evidence and claim; equal pairs are read once.

        Returns:
            (N,) probabilities in [0, 1].

        Raises:
            InvalidInput: a pair is not two texts that are not blank, or a claim does not fit the window.
        """
        import numpy as np

        pairs = checked_pairs(pairs)
        unique = list(dict.fromkeys(pairs))
        tokens = dict(zip(unique, self._tokens(unique, [None] * len(unique)), strict=True))
        return np.array([1 - tokens[pair][1].max(initial=0) for pair in pairs], dtype=np.float64)

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of `LABELS`, as `support`; the second column, refuted, is 0."""
        import numpy as np

        support = self.support(pairs)
        return np.stack([support, np.zeros_like(support), 1 - support], axis=1)

    def unsupported_spans(
        self, pairs: Sequence[tuple[str, str]], *, questions: Sequence[str | None] | None = None, threshold: float = 0.5
    ) -> list[tuple[UnsupportedSpan, ...]]:
        """Find the parts of claims, or of whole answers, that the evidence does not support.

        Args:
            pairs: (N,) pairs of evidence and claim.
            questions: (N,) the question that a claim answers, or None.
            threshold: probability from which a token is unsupported, in [0, 1].

        Returns:
            (N,) spans of adjacent unsupported tokens, in order, without white space at their ends.

        Raises:
            InvalidInput: as `support`, or there is not one question per pair.
        """
        pairs = checked_pairs(pairs)
        check_number("threshold", threshold, 0, 1)
        check_same_length(pairs=pairs, questions=questions)
        tokens = self._tokens(pairs, questions or [None] * len(pairs))
        return [
            _spans(claim, places, unsupported, threshold)
            for (_, claim), (places, unsupported) in zip(pairs, tokens, strict=True)
        ]

    def _tokens(
        self, pairs: Sequence[tuple[str, str]], questions: Sequence[str | None]
    ) -> list[tuple[list[tuple[int, int]], NDArray[np.float64]]]:
        """For each pair the places of the tokens of its claim, and their probabilities of being unsupported."""
        import numpy as np

        prompts: list[tuple[str, str]] = []
        pair_of_prompt: list[int] = []
        for number, ((evidence, claim), question) in enumerate(zip(pairs, questions, strict=True)):
            units = self._units(evidence, claim, question)
            prompts += [(self._prompt(unit, question), claim) for unit in units]
            pair_of_prompt += [number] * len(units)
        tokens: dict[int, tuple[list[tuple[int, int]], NDArray[np.float64]]] = {}
        for number, (places, unsupported) in zip(pair_of_prompt, self._read(prompts), strict=True):
            before = tokens[number][1] if number in tokens else unsupported
            tokens[number] = (places, np.minimum(before, unsupported))
        return [tokens[number] for number in range(len(pairs))]

    def _units(self, evidence: str, claim: str, question: str | None) -> list[str]:
        overhead, claim_tokens = self._lengths([self._prompt("", question), claim])
        room = self.window - overhead - claim_tokens - self.tokenizer.num_special_tokens_to_add(pair=True) - 4
        if room < min(64, self.window // 4):
            raise InvalidInput(
                f"the claim that begins {claim[:40]!r} has {claim_tokens} tokens, which leaves no room for evidence in the "
                f"{self.window} tokens that {self.name} reads; split it into claims with halluc.extract_claims"
            )
        return evidence_units(evidence, self._lengths, max_tokens=min(room, self.max_tokens or room))

    def _prompt(self, evidence: str, question: str | None) -> str:
        if question is None:
            return fill(self.family.template, evidence=evidence)
        return fill(_QUESTION_TEMPLATE, evidence=evidence, question=question)

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return token_lengths(self.tokenizer, texts)

    def _read(self, prompts: Sequence[tuple[str, str]]) -> list[tuple[list[tuple[int, int]], NDArray[np.float64]]]:
        """For each prompt and claim the places of the claim's tokens, and their probabilities of being unsupported."""
        import torch

        if not prompts:
            return []
        encoded = self.tokenizer(
            [prompt for prompt, _ in prompts],
            [claim for _, claim in prompts],
            truncation=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        offsets = encoded.pop("offset_mapping")
        of_claim = [[i for i, text in enumerate(encoded.sequence_ids(row)) if text == 1] for row in range(len(prompts))]
        results: dict[int, tuple[list[tuple[int, int]], NDArray[np.float64]]] = {}
        for rows, output in read_in_batches(self.model, self.tokenizer, encoded, self.batch_tokens, padding_side="right"):
            probabilities = torch.softmax(output.logits.float(), dim=2)[:, :, self.family.labels[0]]
            for row, values in zip(rows, probabilities.double().cpu().numpy(), strict=True):
                places = [(int(offsets[row][i][0]), int(offsets[row][i][1])) for i in of_claim[row]]
                results[row] = (places, values[of_claim[row]])
        return [results[row] for row in range(len(prompts))]


def _spans(
    claim: str, places: Sequence[tuple[int, int]], unsupported: NDArray[np.float64], threshold: float
) -> tuple[UnsupportedSpan, ...]:
    """Join adjacent tokens that are unsupported."""
    spans: list[UnsupportedSpan] = []
    adjacent = False
    for (start, end), probability in zip(places, unsupported.tolist(), strict=True):
        if start == end:
            continue
        # Tokens of some tokenizers begin with the white space before the word.
        start += len(claim[start:end]) - len(claim[start:end].lstrip())
        end -= len(claim[start:end]) - len(claim[start:end].rstrip())
        if probability < threshold:
            adjacent = False
        elif start < end:
            if adjacent:
                last = spans.pop()
                spans.append(UnsupportedSpan(last.start, end, max(last.probability, probability)))
            else:
                spans.append(UnsupportedSpan(start, end, probability))
            adjacent = True
    return tuple(spans)
