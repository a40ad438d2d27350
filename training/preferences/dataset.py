"""Preference pairs on disk: built batch by batch, saved after each, and moved into place when complete.

    OUT/                 a data set that `datasets.load_from_disk` reads, and manifest.json: settings, counts, fingerprint
    OUT.partial/         during the build: a lock, the manifest so far, and one file per batch

Not covered: what the pairs are (sampled.py, revised.py).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import write_json, write_text
from retrieval.files import parse_json_object
from retrieval.progress import progress_bar
from training.rows import check_output_folder, without_progress_bars

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["BuildPairs", "PairFolder", "check_pairs_folder"]

_MANIFEST = "manifest.json"
_FORMAT = 1

Batch = Mapping[str, Any]
"""{"pairs": rows, any other key: a count}"""


def check_pairs_folder(out: str | Path) -> None:
    """Check before the work, not after it, that pairs can be saved to a folder.

    Raises:
        InvalidInput: the folder cannot be written, or holds something other than pairs.
    """
    check_output_folder(out)
    if _is_taken(Path(out)) and _fingerprint_in(Path(out)) is None:
        raise InvalidInput(f"{out} holds something other than preference pairs; name a new folder")


class PairFolder:
    """A folder that pairs are built in, or none.

    Args:
        out: the folder to write; None keeps the pairs in memory.
        settings: the settings of the build, for the manifest.
        inputs: prompts and columns. Together with the settings they identify a build: only the same build is resumed.

    Raises:
        InvalidInput: the folder cannot be written, or holds other pairs.
    """

    def __init__(self, out: str | Path | None, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        import xxhash

        self.out = Path(out) if out is not None else None
        self.settings = dict(settings)
        described = json.dumps([_FORMAT, self.settings, inputs], sort_keys=True, default=str)
        self.fingerprint = xxhash.xxh3_128_hexdigest(described.encode())
        if self.out is not None:
            check_pairs_folder(self.out)
            for folder in (self.out, _partial(self.out)):
                self._check(folder)

    def build(
        self,
        batches: int,
        make_batch: Callable[[int], dict[str, Any]],
        activity: str,
        compute: Callable[[Iterable[int]], Iterator[dict[str, Any]]] | None = None,
    ) -> Dataset:
        """Make the pairs of all batches, except those that are on disk already.

        Args:
            batches: number of batches.
            make_batch: from the number of a batch to its pairs and counts.
            activity: shown beside the progress bar.
            compute: makes the batches of some numbers, in order; None calls `make_batch` for each.

        Raises:
            InvalidInput: another process is building the folder, it holds other pairs, or no batch gives a pair.
        """
        from datasets import load_from_disk

        compute = compute or partial(map, make_batch)
        if self.out is None:
            return _data_set(self._all_batches(None, batches, compute, activity))
        if not _is_taken(self.out):
            with self._locked(self.out) as folder:
                # Another process may have finished the folder in the meantime.
                if not _is_taken(self.out):
                    self._check(folder)
                    write_text(folder / _MANIFEST, _pretty(self._described()))
                    results = self._all_batches(folder, batches, compute, activity)
                    dataset = _data_set(results)
                    _save(dataset, folder, self.out, self._described() | _statistics(dataset, results))
                    return dataset
        self._check(self.out)
        return load_from_disk(str(self.out))

    def _all_batches(
        self, folder: Path | None, batches: int, compute: Callable[[Iterable[int]], Iterator[dict[str, Any]]], activity: str
    ) -> list[Batch]:
        results: list[Batch] = []
        paths = [folder / f"batch-{number:06}.json" if folder else None for number in range(batches)]
        done = {number for number, path in enumerate(paths) if path is not None and path.exists()}
        computed = iter(compute(number for number in range(batches) if number not in done))
        with progress_bar(activity, batches) as advance:
            for number, path in enumerate(paths):
                if path is not None and number in done:
                    results.append(parse_json_object(path.read_bytes()))
                else:
                    results.append(next(computed))
                    if path is not None:
                        write_json(path, dict(results[-1]))
                advance(1)
        return results

    @contextmanager
    def _locked(self, out: Path) -> Iterator[Path]:
        """The folder of the unfinished build, which only one process may write at a time."""
        import filelock

        partial = _partial(out)
        partial.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(partial / ".lock", timeout=0)
        try:
            lock.acquire()
        except (filelock.Timeout, OSError) as error:
            raise InvalidInput(f"another process is building {out}; wait for it, or name another folder") from error
        try:
            yield partial
        finally:
            lock.release()

    def _described(self) -> dict[str, Any]:
        return {"format": _FORMAT, "fingerprint": self.fingerprint, **self.settings}

    def _check(self, folder: Path) -> None:
        if (folder / _MANIFEST).exists() and _fingerprint_in(folder) != self.fingerprint:
            raise InvalidInput(
                f"{folder} holds pairs made from other data or with other settings; name a new folder or remove it"
            )


BuildPairs = Callable[[PairFolder, int, Callable[[int], dict[str, Any]], str], Any]
"""`PairFolder.build`, or another function of its arguments."""


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _is_taken(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _fingerprint_in(folder: Path) -> str | None:
    """The fingerprint in the manifest of a folder; None if there is none."""
    try:
        return str(parse_json_object((folder / _MANIFEST).read_bytes())["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _data_set(results: Sequence[Batch]) -> Dataset:
    from datasets import Dataset

    pairs = [pair for batch in results for pair in batch["pairs"]]
    if not pairs:
        counts = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in _counts(results).items())
        raise InvalidInput(
            f"no prompt gave a pair ({counts}); lower min_margin or min_chosen, or raise n_samples, max_length_ratio, "
            "max_new_tokens or temperature"
        )
    return Dataset.from_list(pairs)


def _counts(results: Sequence[Batch]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for batch in results:
        counts.update({name: count for name, count in batch.items() if name != "pairs"})
    return counts


def _statistics(dataset: Dataset, results: Sequence[Batch]) -> dict[str, Any]:
    words = {side: [len(row[0]["content"].split()) for row in dataset[side]] for side in ("chosen", "rejected")}
    means = {f"mean_words_{side}": round(sum(counts) / len(counts), 2) for side, counts in words.items()}
    return {"pairs": len(dataset), **_counts(results), **means}


def _save(dataset: Dataset, partial: Path, out: Path, manifest: Mapping[str, Any]) -> None:
    complete = partial / "complete"
    if complete.exists():
        shutil.rmtree(complete)
    with without_progress_bars():
        dataset.save_to_disk(str(complete))
    write_text(complete / _MANIFEST, _pretty(manifest))
    complete.rename(out)
    shutil.rmtree(partial)


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
