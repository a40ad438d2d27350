"""The tokenizer of a BERT encoder, read by `tokenizers` alone: the import of transformers takes a second of processor time.

It is called as transformers' tokenizers are, with what this repository uses of them, and gives the same tokens. Not covered:
tokenizers of other architectures, which transformers reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["EncodedTexts", "EncoderTokenizer", "load_tokenizer"]

# What transformers takes for the length if a configuration has none.
_NO_LIMIT = int(1e30)


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of an encoder: an `EncoderTokenizer` if it is a BERT, else that of transformers.

    Raises:
        OSError, ValueError: it is missing or damaged.
    """
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except FileNotFoundError:
        config = {}
    if config.get("tokenizer_class") == "BertTokenizer" and (folder / "tokenizer.json").is_file():
        return EncoderTokenizer(folder / "tokenizer.json", int(config.get("model_max_length") or _NO_LIMIT))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


class EncodedTexts(dict[str, Any]):
    """Columns of (N,) rows by name: lists, or tensors of one length."""

    def __init__(self, columns: Mapping[str, Any], sequences: Sequence[list[int | None]] = ()) -> None:
        super().__init__(columns)
        self._sequences = sequences

    def sequence_ids(self, row: int) -> list[int | None]:
        """For each token of a row: 0 in the first text, 1 in the second, None for a special token."""
        return self._sequences[row]

    def to(self, device: torch.device | str) -> EncodedTexts:
        """Move the tensors."""
        return EncodedTexts({name: tensor.to(device) for name, tensor in self.items()}, self._sequences)


class EncoderTokenizer:
    """A word-piece tokenizer with the special tokens of BERT.

    Args:
        file: a tokenizer.json.
        model_max_length: tokens that the encoder reads.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """

    is_fast = True
    model_input_names = ("input_ids", "token_type_ids", "attention_mask")

    def __init__(self, file: Path, model_max_length: int) -> None:
        from tokenizers import Tokenizer

        self.model_max_length = model_max_length
        try:
            self._tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
        except OSError:
            raise
        except Exception as error:
            # The library raises Exception itself.
            raise ValueError(f"{file} is damaged: {error}") from error
        # The file may ask for both.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.pad_token_id = self._tokenizer.token_to_id("[PAD]") or 0

    @property
    def split_special_tokens(self) -> bool:
        """Whether text that spells a special token is text."""
        return bool(self._tokenizer.encode_special_tokens)

    @split_special_tokens.setter
    def split_special_tokens(self, value: bool) -> None:
        self._tokenizer.encode_special_tokens = value

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Number of special tokens in an encoded text, or pair of texts."""
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_offsets_mapping: bool = False,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> EncodedTexts:
        """Encode (N,) texts, or (N,) pairs of texts.

        Args:
            texts, pairs: the texts, and the second ones of the pairs.
            add_special_tokens: whether to add special tokens.
            padding: whether all rows get the length of the longest.
            truncation: whether rows are cut to `max_length`, of a pair the longer text first.
            max_length: most tokens of a row; None for those that the encoder reads.
            return_offsets_mapping: also give the characters [start, end) of each token.
            return_tensors: "pt" for tensors.
            verbose: as in transformers; nothing is said in any case.

        Raises:
            TypeError: `texts` is one text.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one text; pass a list")
        if truncation:
            self._tokenizer.enable_truncation(max_length or self.model_max_length, strategy="longest_first")
        try:
            encodings = self._tokenizer.encode_batch(
                list(texts) if pairs is None else list(zip(texts, pairs, strict=True)), add_special_tokens=add_special_tokens
            )
        finally:
            if truncation:
                self._tokenizer.no_truncation()
        columns: dict[str, Any] = {
            "input_ids": [e.ids for e in encodings],
            "token_type_ids": [e.type_ids for e in encodings],
            "attention_mask": [e.attention_mask for e in encodings],
        }
        if padding or return_tensors is not None:
            return self.pad(columns, return_tensors=return_tensors)
        if return_offsets_mapping:
            columns["offset_mapping"] = [e.offsets for e in encodings]
        return EncodedTexts(columns, [e.sequence_ids for e in encodings])

    def pad(
        self,
        encoded: Mapping[str, Sequence[list[int]]] | Sequence[Mapping[str, list[int]]],
        *,
        padding_side: str | None = None,
        return_tensors: str | None = None,
    ) -> EncodedTexts:
        """Pad rows to the length of the longest.

        Args:
            encoded: columns, or rows.
            padding_side: "right", as None is, or "left".
            return_tensors: "pt" for tensors.
        """
        if not isinstance(encoded, Mapping):
            encoded = {name: [row[name] for row in encoded] for name in encoded[0]}
        width = max((len(row) for row in encoded["input_ids"]), default=0)
        padded = EncodedTexts({})
        for name, rows in encoded.items():
            fill = self.pad_token_id if name == "input_ids" else 0
            gaps = [[fill] * (width - len(row)) for row in rows]
            filled = [gap + row if padding_side == "left" else row + gap for row, gap in zip(rows, gaps, strict=True)]
            if return_tensors is not None:
                import torch

                padded[name] = torch.tensor(filled)
            else:
                padded[name] = filled
        return padded
