"""Reading GGUF files: their metadata, and their tensors, dequantized.

The reader of the library `gguf` makes arrays of each of the 300,000 strings of a vocabulary, which takes longer than
dequantizing a model of half a billion parameters; this one only counts them. Dequantization is the library's. The format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Not covered: what the tensors mean (gguf_conversion.py).
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["GgufFile"]

_STRING, _ARRAY = 8, 9
# Formats of the values of fixed size, by the number of their type.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Dequantizing needs several times the memory of its result, so it is done in blocks of about this many values.
_VALUES_AT_A_TIME = 1 << 24


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    kind: int
    offset: int


class GgufFile:
    """A GGUF file (version 2 or 3), mapped into memory.

    Args:
        path: of the file.

    Attributes:
        metadata: its values by key; of an array of strings only the length.

    Raises:
        ValueError: the file is no GGUF file, or has a version or type that is not known.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._position = 0
        if self._bytes[:4] != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file: it does not begin with 'GGUF'")
        self._position = 4
        version = self._read("I")
        if version not in (2, 3):
            raise ValueError(f"{path} has version {version} of GGUF; versions 2 and 3 can be read")
        tensors, values = self._read("Q"), self._read("Q")
        self.metadata: dict[str, Any] = {}
        for _ in range(values):
            key = self._read_string()
            self.metadata[key] = self._read_value(self._read("I"))
        self._tensors: dict[str, _Tensor] = {}
        for _ in range(tensors):
            name = self._read_string()
            # GGUF names the dimension that changes fastest first.
            shape = tuple(self._read("Q") for _ in range(self._read("I")))[::-1]
            self._tensors[name] = _Tensor(shape, self._read("I"), self._read("Q"))
        alignment = int(self.metadata.get("general.alignment", 32))
        self._data = -(-self._position // alignment) * alignment

    @property
    def names(self) -> set[str]:
        """Names of the tensors."""
        return set(self._tensors)

    def tensor(self, name: str, dtype: torch.dtype, *, max_rows: int | None = None) -> torch.Tensor:
        """Dequantize a tensor.

        Args:
            name: of the tensor.
            dtype: of the result.
            max_rows: read only so many of the first rows of a matrix.

        Returns:
            The tensor, with its dimensions in the order of torch.

        Raises:
            ValueError: there is no such tensor.
        """
        import numpy as np
        import torch
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        if name not in self._tensors:
            raise ValueError(f"the GGUF file has no tensor {name}")
        info = self._tensors[name]
        kind = GGMLQuantizationType(info.kind)
        values_per_block, bytes_per_block = GGML_QUANT_SIZES[kind]
        columns = info.shape[-1]
        row_bytes = columns // values_per_block * bytes_per_block
        rows = math.prod(info.shape[:-1])
        shape = info.shape
        if max_rows is not None and max_rows < rows:
            rows, shape = max_rows, (max_rows, columns)
        packed = np.frombuffer(self._bytes, np.uint8, rows * row_bytes, self._data + info.offset).reshape(rows, row_bytes)
        tensor = torch.empty((rows, columns), dtype=dtype)
        step = max(1, _VALUES_AT_A_TIME // columns)
        for start in range(0, rows, step):
            block = dequantize(packed[start : start + step], kind)
            # Values that were not quantized are a view of the file, which cannot be written to.
            tensor[start : start + step] = torch.from_numpy(block if block.flags.writeable else block.copy())
        return tensor.reshape(shape)

    def _read(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._bytes, self._position)
        self._position += struct.calcsize(f"<{form}")
        return value

    def _read_string(self) -> str:
        length = self._read("Q")
        self._position += length
        return self._bytes[self._position - length : self._position].decode("utf-8")

    def _read_value(self, kind: int) -> Any:
        if kind in _FORMATS:
            return self._read(_FORMATS[kind])
        if kind == _STRING:
            return self._read_string()
        if kind != _ARRAY:
            raise ValueError(f"the GGUF file has a value of the type {kind}, which is not known")
        kind, count = self._read("I"), self._read("Q")
        if kind in _FORMATS:
            values = struct.unpack_from(f"<{count}{_FORMATS[kind]}", self._bytes, self._position)
            self._position += count * struct.calcsize(f"<{_FORMATS[kind]}")
            return list(values)
        if kind != _STRING:
            raise ValueError(f"the GGUF file has an array of the type {kind}, which is not known")
        for _ in range(count):
            length = self._read("Q")
            self._position += length
        return count
