"""One segment of an index, opened: passages in an Arrow file, vectors in a FAISS file, both memory-mapped."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xxhash import xxh3_64_intdigest

from retrieval.errors import IndexDamaged
from retrieval.files import SummedFile, parse_json_object
from retrieval.filters import Filter, choices_of, passes
from retrieval.manifest import Segment
from retrieval.passages import Passage
from retrieval.vectors import build_vectors, open_vectors, reconstruct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenSegment", "Place", "text_hash", "write_files"]

_FIELDS = ("id", "text", "title", "metadata", "source", "document_id", "start", "end")


class Place(NamedTuple):
    """Where a passage is: position of its segment in the manifest, row in it."""

    segment: int
    row: int


def text_hash(text: str) -> int:
    """Compute the 64-bit hash by which equal texts are looked up; texts of equal hash are then compared."""
    return xxh3_64_intdigest(text.encode())


def write_files(
    folder: Path, passages: Sequence[Passage], vectors: NDArray[np.float32], kind: str
) -> dict[str, tuple[int, str]]:
    """Write the two files of a segment.

    Args:
        folder: where the files go.
        passages: N passages; Arrow holds one column per field and one for the hash of the text.
        vectors: (N, d) unit vectors.
        kind: kind of FAISS index, from `choose_kind`.

    Returns:
        Size in bytes and checksum of each file.

    Raises:
        OSError: the disk refused.
    """
    import pyarrow as pa

    columns = {name: list(map(attrgetter(name), passages)) for name in _FIELDS}
    encode = json.JSONEncoder(ensure_ascii=False).encode
    columns["metadata"] = [encode(dict(metadata)) if metadata else "{}" for metadata in columns["metadata"]]
    arrays = {
        name: pa.array(values, pa.int64() if name in ("start", "end") else pa.large_string())
        for name, values in columns.items()
    }
    arrays["text_hash"] = pa.array(list(map(text_hash, columns["text"])), pa.uint64())
    table = pa.table(arrays)
    passage_file, vector_file = folder / "passages.arrow", folder / "vectors.faiss"
    with SummedFile(passage_file) as passage_sink, pa.ipc.new_file(passage_sink, table.schema) as writer:
        writer.write_table(table)
    with SummedFile(vector_file) as vector_sink:
        build_vectors(vectors, vector_sink.write, kind)
    return {
        passage_file.name: (passage_file.stat().st_size, passage_sink.checksum),
        vector_file.name: (vector_file.stat().st_size, vector_sink.checksum),
    }


class OpenSegment:
    """The rows of one segment, numbered from 0, deleted ones included."""

    def __init__(self, folder: Path, segment: Segment, dimension: int) -> None:
        """Map the files of a segment of the index in `folder`, whose vectors have `dimension` numbers.

        Both files are opened now: a later merge may remove them, but not what is mapped.

        Raises:
            Exception: of pyarrow or FAISS, or a ValueError: a file is not what a segment has.
        """
        import pyarrow as pa

        path = folder / "segments" / segment.name
        self._table: Any = pa.ipc.open_file(pa.memory_map(str(path / "passages.arrow"))).read_all()
        # Arrow trusts the offsets in a file: without this check a wrong one crashes the process.
        self._table.validate(full=True)
        self.faiss: Any = open_vectors(path / "vectors.faiss")
        if not (self._table.num_rows == self.faiss.ntotal == segment.rows and self.faiss.d == dimension):
            raise ValueError(
                f"it has {self._table.num_rows} passages and {self.faiss.ntotal} vectors of {self.faiss.d} dimensions "
                f"instead of {segment.rows} of {dimension}"
            )
        self.rows = segment.rows
        self.files = segment.files
        self.live = _live(segment)

    def with_deleted(self, segment: Segment) -> OpenSegment:
        """Get the same segment with the deleted rows that `segment` names; the mapped files are shared."""
        changed = copy.copy(self)
        changed.live = _live(segment)
        return changed

    def live_rows(self) -> NDArray[np.int64]:
        """Get the rows that count, ascending."""
        import numpy as np

        return np.arange(self.rows) if self.live is None else np.flatnonzero(self.live)

    def rows_where(self, column: str, values: Collection[object]) -> list[tuple[int, Any]]:
        """Find the rows that count and whose `column` is one of `values`, as (row, value)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        cells = self._table.column(column)
        mask = pc.is_in(cells, value_set=pa.array(list(values), cells.type))
        rows = pc.indices_nonzero(mask).to_pylist()
        matches = cells.take(pa.array(rows, pa.int64())).to_pylist()
        return [(row, value) for row, value in zip(rows, matches, strict=True) if self.live is None or self.live[row]]

    def matching(self, wanted: Filter) -> NDArray[np.bool_]:
        """Compute the (rows,) mask of the rows that count and pass the filter."""
        import numpy as np

        rows = self.live_rows()
        if isinstance(wanted, Mapping):
            choices = choices_of(wanted)
            metadata = self._table.column("metadata").to_pylist()
            passed = [passes(_metadata(metadata[row]), choices) for row in rows]
        else:
            passed = [bool(wanted(passage)) for passage in self.passages(rows)]
        mask = np.zeros(self.rows, bool)
        mask[rows[np.array(passed, bool)]] = True
        return mask

    def columns(self, names: Sequence[str], rows: Sequence[int] | NDArray[np.int64]) -> dict[str, list[Any]]:
        """Get the cells of some columns and rows, by column."""
        import pyarrow as pa

        cells: dict[str, list[Any]] = self._table.select(names).take(pa.array(rows, pa.int64())).to_pydict()
        return cells

    def texts(self) -> list[str]:
        """Get the texts of all rows, deleted ones included."""
        texts: list[str] = self._table.column("text").to_pylist()
        return texts

    def passages(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[Passage]:
        """Get the passages of some rows, in that order."""
        import pyarrow as pa

        taken = self._table.select(_FIELDS).take(pa.array(rows, pa.int64())).to_pydict()
        for passage_id, text, title, metadata, *others in zip(*(taken[name] for name in _FIELDS), strict=True):
            yield Passage(passage_id, text, title, _metadata(metadata), *others)

    def vectors(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Get the (R, d) vectors of some rows."""
        import numpy as np

        return reconstruct(self.faiss, np.asarray(rows, np.int64))


def _live(segment: Segment) -> NDArray[np.bool_] | None:
    """Compute the (rows,) mask of the rows that count; None if all do."""
    import numpy as np

    if not segment.deleted:
        return None
    live = np.ones(segment.rows, bool)
    live[list(segment.deleted)] = False
    return live


def _metadata(text: str) -> dict[str, Any]:
    try:
        return parse_json_object(text)
    except (TypeError, ValueError) as error:
        raise IndexDamaged(f"the metadata of a passage {error}; restore the index or build it again") from error
