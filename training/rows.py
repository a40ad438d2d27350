"""Data sets: read rows from a folder, a file or the hub, and check a folder to write to.

Not covered: whether rows can be trained on (runs/row_checks.py) or evaluated on (evaluation/evaluate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import can_write_into
from halluc.files import read_rows as read_json_lines
from retrieval.hub import require_hub

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_output_folder", "read_rows", "without_progress_bars"]

_HUB = "hf://"
# Suffixes of tables, with the character between cells.
_TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}


def read_rows(path: str | Path, *, prepare: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None) -> Dataset:
    """Read a data set.

    Args:
        path: a folder written by `build_preference_pairs` or `Dataset.save_to_disk`; a file of JSON lines, or a CSV, TSV or
            Parquet file; or "hf://OWNER/NAME" or "hf://OWNER/NAME:SPLIT" for a data set of the Hugging Face hub (its split
            "train" by default).
        prepare: changes each object of a file of JSON lines, given its number, before all of them become one table.

    Returns:
        The rows; a field that a line of JSON lacks is None.

    Raises:
        InvalidInput: there is no such file or folder, it cannot be read, a line is not a JSON object (the line is named), or
            a field is written in different forms, such as text in one row and a conversation in another (the row is named).
    """
    if str(path).startswith(_HUB):
        return _read_hub(str(path))
    path = Path(path)
    if not path.exists():
        raise InvalidInput(
            f"there is no {path}; name a folder that a data set was saved to, a file of JSON lines, CSV or Parquet, or "
            f"{_HUB}OWNER/NAME"
        )
    if path.is_dir():
        return _read_folder(path)
    return _read_table(path) if path.suffix.lower() in _TABLES else _read_file(path, prepare)


def check_output_folder(path: str | Path) -> None:
    """Check before the work, not after it, that a folder can be written or created.

    Raises:
        InvalidInput: the path or one of its parents is a file, or it cannot be written to.
    """
    path = Path(path)
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise InvalidInput(f"{path} cannot be a folder: {existing} is a file; name another folder")
    if not can_write_into(existing):
        raise InvalidInput(f"{path} cannot be written: no folder can be created in {existing}; name another folder")


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Hide the progress bars of datasets, which it shows for the shortest work, and in files too."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def _read_folder(path: Path) -> Dataset:
    from datasets import DatasetDict, load_from_disk

    try:
        with without_progress_bars():
            dataset = load_from_disk(str(path))
    except Exception as error:  # datasets lets through the errors of every library below it
        raise InvalidInput(f"{path} cannot be read as a data set: {' '.join(str(error).split())[:200]}") from error
    if isinstance(dataset, DatasetDict):
        raise InvalidInput(f"{path} holds several data sets, {', '.join(dataset)}; name one of its folders")
    return dataset


def _read_table(path: Path) -> Dataset:
    """A CSV, TSV or Parquet file; empty cells of text are None."""
    from datasets import Dataset

    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            return Dataset(pyarrow.parquet.read_table(path))
        import pyarrow.csv

        columns = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(delimiter=_TABLES[path.suffix.lower()], newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=[""]),
        )
        return Dataset(columns)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InvalidInput(f"{path} cannot be read as a data set: {' '.join(str(error).split())[:200]}") from error


def _read_hub(name: str) -> Dataset:
    from datasets import load_dataset

    repository, _, split = name.removeprefix(_HUB).partition(":")
    try:
        require_hub(repository, kind="dataset")
        with without_progress_bars():
            return load_dataset(repository, split=split or "train")
    except Exception as error:  # datasets lets through the errors of every library below it
        raise InvalidInput(f"{name} cannot be read from the hub: {' '.join(str(error).split())[:200]}") from error


def _read_file(path: Path, prepare: Callable[[int, dict[str, Any]], dict[str, Any]] | None) -> Dataset:
    import pyarrow
    from datasets import Dataset

    rows = [row for _, row in read_json_lines(path)]
    if prepare is not None:
        rows = [prepare(number, row) for number, row in enumerate(rows)]
    # The rows need not have the same fields.
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    try:
        return Dataset.from_dict(columns)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        for name, values in columns.items():
            _check_same_form(name, values)
        raise InvalidInput(f"{path} cannot be read as a data set: {' '.join(str(error).split())[:200]}") from error


def _check_same_form(column: str, values: Sequence[Any]) -> None:
    """Name the first row whose value does not have the type of the first one."""
    first = next((row for row, value in enumerate(values) if value is not None), 0)
    for row, value in enumerate(values):
        if _same_type(values[first], values[first]) and not _same_type(values[first], value):
            raise InvalidInput(
                f"{column} of row {row} is {_start_of(value)} but that of row {first} is {_start_of(values[first])}; write "
                "all rows in the same form"
            )


def _same_type(one: Any, other: Any) -> bool:
    import pyarrow

    try:
        pyarrow.array([one, other])
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def _start_of(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
