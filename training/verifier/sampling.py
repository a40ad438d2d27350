"""Which rows an epoch reads, how often, and in which batches. Not covered: what a row holds (encoding.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EpochSampler"]

# Batches hold rows of similar length; a random number up to this is added, so that batches differ between epochs.
_LENGTH_NOISE = 24


class EpochSampler:
    """Draws the rows of each epoch, in batches of rows of similar length.

    The rows depend on the seed and the epoch alone, so that a resumed run reads what the interrupted one would have read.

    Args:
        lengths: (N,) tokens of each row.
        repeats: (N,) how often each row is read per epoch, 0 or more: its whole part always, and once more with the
            probability of its fractional part.
        batch_size: rows of a batch.
        seed: of all epochs.

    Raises:
        InvalidInput: an epoch would have no rows.
    """

    def __init__(self, lengths: Sequence[int], repeats: Sequence[float], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0
        certain = np.floor(repeats).astype(int)
        self._certain = np.repeat(np.arange(len(certain)), certain)
        self._fractions = np.asarray(repeats) - certain
        # Every epoch has the same number of rows. The sum of 0.1 ten times is just below 1.
        self._n_extra = int(self._fractions.sum() + 1e-6)
        if not len(self):
            raise InvalidInput("an epoch would read no pair; raise repeats and supported_repeats")

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self._certain) + self._n_extra

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose rows are drawn next; the trainer calls it before each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the rows of the epoch, batch after batch."""
        generator = np.random.default_rng([self._seed, self._epoch])
        rows = generator.permutation(np.concatenate([self._certain, self._extra(generator)]))
        in_full_batches = len(rows) // self._batch_size * self._batch_size
        grouped, remainder = rows[:in_full_batches], rows[in_full_batches:]
        lengths = self._lengths[grouped] + generator.random(len(grouped)) * _LENGTH_NOISE
        batches = grouped[np.argsort(lengths)].reshape(-1, self._batch_size)
        yield from generator.permutation(batches).ravel().tolist()
        yield from remainder.tolist()

    def _extra(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Rows that are read once more: systematic sampling with probabilities proportional to the fractional parts."""
        order = generator.permutation(len(self._fractions))
        ends = np.cumsum(self._fractions[order])
        # Each row has a stretch of a line; points at equal distances of at least 1 hit none of them twice.
        points = (np.arange(self._n_extra) + generator.random()) * ends[-1] / max(1, self._n_extra)
        hit = np.searchsorted(ends, points, side="right")
        extra: NDArray[np.int64] = order[np.minimum(hit, len(order) - 1)]
        return extra
