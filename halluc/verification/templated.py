"""Verifiers that read evidence and claim as one templated text: MiniCheck, FactCG, Bespoke-MiniCheck and HHEM-2.1.

The template is that of the model's family (families.py). Long evidence is cut as the family does it, and the best chunk
counts. Text that spells a special token is broken by a space, because the templates themselves need special tokens.

Two deviations from the published code, for long inputs alone: a chunk that does not fit the window is cut into overlapping
windows, and a claim that does not fit is refused, where published code silently truncates the end of the text, the claim.

Not covered: token classifiers (token_classifier.py) and pairs (cross_encoder.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from halluc.control_tokens import break_control_tokens
from halluc.errors import InvalidInput
from halluc.verification.batches import batches_of_rows
from halluc.verification.evidence import TokenCounter, evidence_units
from halluc.verification.verifier import checked_pairs, reading_window, weights_fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.verification.families import Family

__all__ = ["TemplatedVerifier", "fill", "special_tokens"]


class TemplatedVerifier:
    """`Verifier` on a model of a family that reads one templated text.

    Such models only distinguish supported from everything else, so no claim is refuted: what is not supported counts as not
    enough information.

    Args:
        model: a transformers model with the head of the family.
        tokenizer: its tokenizer.
        family: template, labels and chunks.
        name: name of the verifier in results.
        max_tokens: longest unit of evidence in tokens; None for chunks as the family cuts them.
        batch_tokens: tokens, padding included, per forward pass.

    Raises:
        InvalidInput: max_tokens leaves no room for a claim, or the model lacks the labels of the family.
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
        self.family = family
        self.batch_tokens = batch_tokens
        self.window = reading_window(model, tokenizer, trained=family.window)
        self.max_tokens = max_tokens
        self._special = special_tokens(tokenizer)
        self._overhead = len(self._encode("a", "a")) - 2
        if max_tokens is not None and not 1 <= max_tokens < self.window - self._overhead:
            raise InvalidInput(
                f"max_tokens is {max_tokens}; pass 1 to {self.window - self._overhead - 1}, which leaves room for a claim "
                f"in the {self.window} tokens of {name}"
            )
        self._check_labels()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides a probability: weights, family and longest unit of evidence."""
        from dataclasses import asdict

        return weights_fingerprint(self.model, [asdict(self.family), self.max_tokens])

    def support(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the probabilities that the evidence supports the claim.

        Args:
            pairs: (N,) pairs of evidence and claim; equal pairs are read once.

        Returns:
            (N,) probabilities in [0, 1]; of the chunks of long evidence the best one counts.

        Raises:
            InvalidInput: a pair is not two texts that are not blank, or a claim does not fit the window.
        """
        import numpy as np

        pairs = checked_pairs(pairs)
        unique = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        texts: list[list[int]] = []
        pair_of_text: list[int] = []
        chunks: dict[str, list[str]] = {}
        for number, (evidence, claim) in enumerate(unique):
            claim = self._plain(claim)
            if evidence not in chunks:
                chunks[evidence] = self._chunks(self._plain(evidence))
            for chunk in self._fitting(chunks[evidence], claim):
                texts.append(self._encode(chunk, claim))
                pair_of_text.append(number)
        best = np.zeros(len(unique))
        np.maximum.at(best, pair_of_text, self._read(texts))
        support: NDArray[np.float64] = best[[unique[pair] for pair in pairs]]
        return support

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Compute the (N, 3) probabilities of `LABELS`, as `support`; the second column, refuted, is 0."""
        import numpy as np

        support = self.support(pairs)
        return np.stack([support, np.zeros_like(support), 1 - support], axis=1)

    # -- input -----------------------------------------------------------------------------------------------------------

    def _plain(self, text: str) -> str:
        return break_control_tokens(text, self._special, by_form=False)

    def _encode(self, evidence: str, claim: str) -> list[int]:
        text = fill(self.family.template, evidence=evidence, claim=claim, eos=self.tokenizer.eos_token or "")
        if self.family.head == "causal":
            messages = [{"role": "system", "content": self.family.system}, {"role": "user", "content": text}]
            text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            # The chat template writes the special tokens itself.
            return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        return list(self.tokenizer(text, verbose=False)["input_ids"])

    def _chunks(self, evidence: str) -> list[str]:
        """The evidence as the family cuts it."""
        if self.max_tokens is not None:
            return evidence_units(evidence, self._lengths, max_tokens=self.max_tokens, overlap=0)
        if self.family.chunk is None:
            return [evidence]
        counters = {"tokens": self._lengths, "words": _counts(r"\S+"), "words and signs": _counts(r"\w+|[^\w\s]")}
        return evidence_units(evidence, counters[self.family.unit], max_tokens=self.family.chunk, overlap=0)

    def _fitting(self, chunks: Sequence[str], claim: str) -> list[str]:
        """The chunks, with those cut that do not fit the window beside the claim."""
        claim_tokens = self._lengths([claim])[0]
        # A tokenizer may divide the text differently where the template meets it.
        room = self.window - self._overhead - claim_tokens - 4
        if room < min(64, self.window // 4):
            raise InvalidInput(
                f"the claim that begins {claim[:40]!r} has {claim_tokens} tokens, which leaves no room for evidence in the "
                f"{self.window} tokens that {self.name} reads; split it into claims with halluc.extract_claims"
            )
        return [unit for chunk in chunks for unit in evidence_units(chunk, self._lengths, max_tokens=room)]

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    # -- output ----------------------------------------------------------------------------------------------------------

    def _read(self, texts: Sequence[list[int]]) -> NDArray[np.float64]:
        """(T,) probabilities of support for encoded texts."""
        import numpy as np
        import torch

        support = np.zeros(len(texts))
        with torch.inference_mode():
            for rows in batches_of_rows([len(text) for text in texts], self.batch_tokens):
                ids, mask = self._padded([texts[row] for row in rows])
                support[rows] = self._batch_support(ids, mask).double().cpu().numpy()
        return support

    def _padded(self, texts: Sequence[list[int]]) -> tuple[Any, Any]:
        """(B, T) token ids and attention mask; causal models are padded on the left, so that all end together."""
        import torch

        length = max(map(len, texts))
        padding = self.tokenizer.pad_token_id
        ids = torch.full((len(texts), length), self.tokenizer.eos_token_id or 0 if padding is None else padding)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            place = slice(length - len(text), length) if self.family.head == "causal" else slice(0, len(text))
            ids[row, place] = torch.tensor(text)
            mask[row, place] = 1
        return ids.to(self.model.device), mask.to(self.model.device)

    def _batch_support(self, ids: Any, mask: Any) -> Any:
        """(B,) probabilities of support."""
        import torch

        unsupported, supported = self.family.labels
        if self.family.head == "seq2seq":
            # The decoder begins with the padding token, which is 0 in T5.
            begin = torch.zeros((len(ids), 1), dtype=torch.long, device=ids.device)
            logits = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=begin).logits[:, 0]
            return torch.softmax(logits[:, [unsupported, supported]].float(), dim=1)[:, 1]
        if self.family.head == "causal":
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            last_only = {"logits_to_keep": 1} if self._keeps_logits else {}
            output = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **last_only)
            return torch.softmax(output.logits[:, -1].float(), dim=1)[:, self._yes_tokens].sum(1)
        logits = self.model(input_ids=ids, attention_mask=mask).logits
        # HHEM's own code returns the logits of the first token; without it there would be those of all tokens.
        logits = logits[:, 0] if logits.ndim == 3 else logits
        return torch.softmax(logits.float(), dim=1)[:, supported]

    @cached_property
    def _keeps_logits(self) -> bool:
        import inspect

        return "logits_to_keep" in inspect.signature(self.model.forward).parameters

    @cached_property
    def _yes_tokens(self) -> list[int]:
        """The tokens that read "yes", in any case, as the published code counts them."""
        size = self.model.config.vocab_size
        return [i for i in sorted(self.tokenizer.get_vocab().values()) if i < size and self._reads_yes(i)]

    def _reads_yes(self, token: int) -> bool:
        return str(self.tokenizer.decode([token])).lower() == "yes"

    def _check_labels(self) -> None:
        if self.family.head == "causal" and not self._yes_tokens:
            raise InvalidInput(
                f"the tokenizer of {self.name} has no token 'Yes', so it is not of the family {self.family.name!r}"
            )
        if self.family.head == "seq2seq" and max(self.family.labels) >= self.model.config.vocab_size:
            raise InvalidInput(
                f"{self.name} has {self.model.config.vocab_size} tokens, not the vocabulary of the family {self.family.name}"
            )


def fill(template: str, **texts: str) -> str:
    """Fill in a template in one pass: braces in the texts mean nothing."""
    return re.sub(r"\{(\w+)\}", lambda match: texts[match[1]], template)


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The strings that a tokenizer turns into special tokens."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(dict.fromkeys([*tokenizer.all_special_tokens, *added]))


def _counts(pattern: str) -> TokenCounter:
    return lambda texts: [sum(1 for _ in re.finditer(pattern, text)) for text in texts]
