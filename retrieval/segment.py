"""One segment of an index, opened: passages in an Arrow file, vectors in a FAISS file, both memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.passages import Passage
from retrieval.storage import Segment
from retrieval.vectors import open_vectors, reconstruct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenSegment", "text_hash", "write_passages"]

_FIELDS = ("id", "text", "title", "metadata", "source", "document_id", "start", "end")


def text_hash(text: str) -> int:
    """64-bit hash by which equal texts are found; equal hashes are compared as texts."""
    import xxhash

    return int(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")))


def write_passages(passages: Sequence[Passage], path: Path) -> None:
    """Write passages as an Arrow file, one column a field and one for the text's hash."""
    import pyarrow as pa

    columns = {name: [getattr(passage, name) for passage in passages] for name in _FIELDS if name != "metadata"}
    arrays = {name: pa.array(values, _type(name)) for name, values in columns.items()}
    arrays["metadata"] = pa.array([json.dumps(dict(p.metadata), ensure_ascii=False) for p in passages], pa.large_string())
    arrays["text_hash"] = pa.array([text_hash(passage.text) for passage in passages], pa.uint64())
    table = pa.table(arrays)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class OpenSegment:
    """The rows of one segment; `folder` is the index's."""

    def __init__(self, folder: Path, segment: Segment) -> None:
        import pyarrow as pa

        self._segment = segment
        path = folder / "segments" / segment.name
        self._table: Any = pa.ipc.open_file(pa.memory_map(str(path / "passages.arrow"))).read_all()
        self._vector_path = path / "vectors.faiss"
        if not self._vector_path.exists():
            raise FileNotFoundError(str(self._vector_path))

    @property
    def rows(self) -> int:
        """Rows in the files, deleted ones included."""
        return self._segment.rows

    @cached_property
    def faiss(self) -> Any:
        """The FAISS index."""
        return open_vectors(self._vector_path)

    def offset(self, segments: Sequence[OpenSegment]) -> int:
        """Rows in the segments before this one."""
        total = 0
        for segment in segments:
            if segment is self:
                break
            total += segment.rows
        return total

    def live_mask(self) -> NDArray[np.bool_] | None:
        """(rows,) which rows count; None if all do."""
        import numpy as np

        if not self._segment.deleted:
            return None
        mask = np.ones(self.rows, bool)
        mask[list(self._segment.deleted)] = False
        return mask

    def live_rows(self) -> list[int]:
        """Rows that count, ascending."""
        return self.rows_without(self._segment.deleted)

    def rows_without(self, deleted: Sequence[int]) -> list[int]:
        """All rows but these, ascending."""
        gone = set(deleted)
        return [row for row in range(self.rows) if row not in gone]

    def matching(self, predicate: Callable[[Passage], bool]) -> NDArray[np.bool_]:
        """(rows,) rows that count and satisfy the predicate."""
        import numpy as np

        mask = np.zeros(self.rows, bool)
        rows = self.live_rows()
        mask[[row for row, passage in zip(rows, self.passages(rows), strict=True) if predicate(passage)]] = True
        return mask

    def ids(self) -> Iterator[tuple[int, str]]:
        """(row, id) of the rows that count."""
        ids = self._table.column("id").to_pylist()
        return ((row, ids[row]) for row in self.live_rows())

    def text_hashes(self) -> Iterator[tuple[int, int]]:
        """(row, hash of the text) of the rows that count."""
        hashes = self._table.column("text_hash").to_pylist()
        return ((row, hashes[row]) for row in self.live_rows())

    def texts(self) -> list[str]:
        """Texts of all rows, deleted ones included."""
        texts: list[str] = self._table.column("text").to_pylist()
        return texts

    def passages(self, rows: Sequence[int]) -> Iterator[Passage]:
        """The passages of some rows, in that order."""
        import pyarrow as pa

        taken = self._table.select(_FIELDS).take(pa.array(rows, pa.int64())).to_pydict()
        for values in zip(*(taken[name] for name in _FIELDS), strict=True):
            fields = dict(zip(_FIELDS, values, strict=True))
            yield Passage(**{**fields, "metadata": json.loads(fields["metadata"])})

    def vectors(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """(R, d) vectors of some rows."""
        import numpy as np

        return reconstruct(self.faiss, np.asarray(rows, np.int64))


def _type(name: str) -> Any:
    import pyarrow as pa

    return pa.int64() if name in ("start", "end") else pa.large_string()
