"""One segment of an index, opened: passages in an Arrow file, vectors in a FAISS file, both memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.passages import Passage
from retrieval.storage import Segment
from retrieval.vectors import build_vectors, open_vectors, reconstruct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Filter", "OpenSegment", "text_hash", "write_files"]

Filter = Mapping[str, Any] | Callable[[Passage], bool]

_FIELDS = ("id", "text", "title", "metadata", "source", "document_id", "start", "end")


def text_hash(text: str) -> int:
    """64-bit hash by which equal texts are looked for; equal hashes are then compared as texts."""
    import xxhash

    return int(xxhash.xxh3_64_intdigest(text.encode()))


def write_files(folder: Path, passages: Sequence[Passage], vectors: NDArray[np.float32], kind: str) -> None:
    """Write the two files of a segment.

    Args:
        folder: where to.
        passages: N passages, in Arrow one column a field and one for the text's hash.
        vectors: (N, d) unit vectors.
        kind: of the FAISS index, from `choose_kind`.

    Raises:
        OSError: the disk refused.
    """
    import pyarrow as pa

    columns = {name: [getattr(passage, name) for passage in passages] for name in _FIELDS if name != "metadata"}
    columns["metadata"] = [json.dumps(dict(passage.metadata), ensure_ascii=False) for passage in passages]
    arrays = {
        name: pa.array(values, pa.int64() if name in ("start", "end") else pa.large_string())
        for name, values in columns.items()
    }
    arrays["text_hash"] = pa.array([text_hash(passage.text) for passage in passages], pa.uint64())
    table = pa.table(arrays)
    with pa.OSFile(str(folder / "passages.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    build_vectors(vectors, folder / "vectors.faiss", kind)


class OpenSegment:
    """The rows of one segment; rows are numbered from 0, deleted ones included."""

    def __init__(self, folder: Path, segment: Segment) -> None:
        """Map the files of a segment of the index in `folder`.

        Both are opened now: a later merge may remove the files, but not what is mapped.
        """
        import numpy as np
        import pyarrow as pa

        path = folder / "segments" / segment.name
        self._table: Any = pa.ipc.open_file(pa.memory_map(str(path / "passages.arrow"))).read_all()
        self.faiss: Any = open_vectors(path / "vectors.faiss")
        self.rows = segment.rows
        self.live: NDArray[np.bool_] | None = None
        if segment.deleted:
            self.live = np.ones(segment.rows, bool)
            self.live[list(segment.deleted)] = False

    def live_rows(self) -> NDArray[np.int64]:
        """Rows that count, ascending."""
        import numpy as np

        return np.arange(self.rows) if self.live is None else np.flatnonzero(self.live)

    def rows_where(self, column: str, values: Collection[object]) -> list[tuple[int, Any]]:
        """(row, value) of the rows that count and whose `column` ("id" or "text_hash") is one of `values`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        own = self._table.column(column)
        mask = pc.is_in(own, value_set=pa.array(list(values), own.type))
        rows = pc.indices_nonzero(mask).to_pylist()
        found = own.take(pa.array(rows, pa.int64())).to_pylist()
        return [(row, value) for row, value in zip(rows, found, strict=True) if self.live is None or self.live[row]]

    def matching(self, wanted: Filter) -> NDArray[np.bool_]:
        """(rows,) rows that count and pass the filter."""
        import numpy as np

        rows = self.live_rows()
        if isinstance(wanted, Mapping):
            choices = {key: value if isinstance(value, list | tuple | set) else [value] for key, value in wanted.items()}
            metadata = self._table.column("metadata").to_pylist()
            passed = [
                all(own.get(key) in values for key, values in choices.items())
                for own in (json.loads(metadata[row]) for row in rows)
            ]
        else:
            passed = [bool(wanted(passage)) for passage in self.passages(rows)]
        mask = np.zeros(self.rows, bool)
        mask[rows[np.array(passed, bool)]] = True
        return mask

    def texts(self) -> list[str]:
        """Texts of all rows, deleted ones included."""
        texts: list[str] = self._table.column("text").to_pylist()
        return texts

    def passages(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[Passage]:
        """The passages of some rows, in that order."""
        import pyarrow as pa

        taken = self._table.select(_FIELDS).take(pa.array(rows, pa.int64())).to_pydict()
        for passage_id, text, title, metadata, *rest in zip(*(taken[name] for name in _FIELDS), strict=True):
            yield Passage(passage_id, text, title, json.loads(metadata), *rest)

    def vectors(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """(R, d) vectors of some rows."""
        import numpy as np

        return reconstruct(self.faiss, np.asarray(rows, np.int64))
