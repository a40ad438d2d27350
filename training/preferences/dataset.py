"""Preference pairs on disk: built batch by batch, kept after each, and moved into place when whole.

    OUT/                 a data set as `datasets.load_from_disk` reads it, and manifest.json: settings, counts, fingerprint
    OUT.partial/         while it is built: the manifest so far and one file a batch

Not here: what the pairs are (preferences.py).
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.persistence import write_aside
from halluc.errors import InvalidInput
from retrieval.progress import progress_bar

if TYPE_CHECKING:
    from datasets import Dataset

    from training.rewards.composite import RewardFunction

__all__ = ["PairFolder", "checked_scores", "without_bars"]

_MANIFEST = "manifest.json"
_FORMAT = 1


class PairFolder:
    """Where pairs are kept, or nowhere.

    Args:
        out: the folder to write; None keeps pairs in memory alone.
        settings: what made the pairs, for the manifest.
        inputs: the prompts and columns; with the settings they tell whether what lies there is the same work.
    """

    def __init__(self, out: str | Path | None, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        import xxhash

        self.out = Path(out) if out is not None else None
        self.settings = dict(settings)
        described = json.dumps([_FORMAT, self.settings, inputs], sort_keys=True, default=str)
        self.fingerprint = xxhash.xxh3_128_hexdigest(described.encode())

    def build(self, batches: int, batch: Callable[[int], dict[str, Any]], what: str) -> Dataset:
        """The pairs of all batches; those found on disk are not made again.

        Args:
            batches: how many there are.
            batch: from a number to {"pairs": rows, any other key: a count}.
            what: shown beside the progress bar.

        Raises:
            InvalidInput: the folder holds other pairs, or no batch gives a pair.
        """
        from datasets import Dataset, load_from_disk

        if self.out is not None and self.out.exists():
            self._check(self.out)
            return load_from_disk(str(self.out))
        partial = self._partial()
        made: list[dict[str, Any]] = []
        with progress_bar(what, batches) as advance:
            for number in range(batches):
                path = partial / f"batch-{number:06}.json" if partial else None
                if path is not None and path.exists():
                    made.append(json.loads(path.read_text(encoding="utf-8")))
                else:
                    made.append(batch(number))
                    if path is not None:
                        _write(path, made[-1])
                advance(1)
        pairs = [pair for one in made for pair in one["pairs"]]
        if not pairs:
            raise InvalidInput(
                f"no prompt gave a pair, {_told(made)}: lower gap, or raise k, longest_ratio or the temperature"
            )
        dataset = Dataset.from_list(pairs)
        if self.out is not None and partial is not None:
            _save(dataset, partial, made, self.out, {"fingerprint": self.fingerprint, **self.settings})
        return dataset

    def _partial(self) -> Path | None:
        if self.out is None:
            return None
        partial = self.out.with_name(f"{self.out.name}.partial")
        if partial.exists() and (partial / _MANIFEST).exists():
            self._check(partial)
        partial.mkdir(parents=True, exist_ok=True)
        _write(partial / _MANIFEST, {"fingerprint": self.fingerprint, **self.settings})
        return partial

    def _check(self, folder: Path) -> None:
        try:
            found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if found != self.fingerprint:
            raise InvalidInput(
                f"{folder} holds other data or pairs made with other settings; name a new folder or remove it"
            )


def _told(made: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in _counts(made).items())


def _counts(made: Sequence[Mapping[str, Any]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in made:
        counts.update({key: value for key, value in one.items() if key != "pairs"})
    return counts


def checked_scores(
    reward: RewardFunction,
    prompts: Sequence[Any],
    completions: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    *,
    rows: Sequence[int],
) -> list[float]:
    """A finite score per completion, from one call of the reward.

    Raises:
        InvalidInput: a score is missing or not finite; the message names the completion and its row, of `rows`.
    """
    scores = list(reward(prompts=prompts, completions=completions, **columns))
    if len(scores) != len(completions):
        raise InvalidInput(f"the reward gave {len(scores)} scores for {len(completions)} completions")
    for row, text, score in zip(rows, completions, scores, strict=True):
        if score is None or not math.isfinite(score):
            raise InvalidInput(f"the reward of row {row}, whose completion begins {text[:40]!r}, is {score}; drop the row")
    return [float(score) for score in scores if score is not None]


def _write(path: Path, value: Any) -> None:
    write_aside(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _save(
    dataset: Dataset, partial: Path, made: Sequence[Mapping[str, Any]], out: Path, described: Mapping[str, Any]
) -> None:
    counts = _counts(made)
    words = {side: [len(row[0]["content"].split()) for row in dataset[side]] for side in ("chosen", "rejected")}
    means = {f"mean_words_{side}": round(sum(own) / len(own), 2) for side, own in words.items()}
    whole = partial / "whole"
    if whole.exists():
        shutil.rmtree(whole)
    with without_bars():
        dataset.save_to_disk(str(whole))
    _write(whole / _MANIFEST, {"format": _FORMAT, **described, "pairs": len(dataset), **counts, **means})
    whole.rename(out)
    shutil.rmtree(partial)


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of datasets: they would show for the shortest work, and into files."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
