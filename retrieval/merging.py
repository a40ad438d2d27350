"""Which segments a write merges, so that they stay few and hold few deleted rows."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["segments_to_merge"]


def segments_to_merge(rows: Sequence[int], live: Sequence[int], added: int) -> list[int]:
    """Numbers, ascending, of the segments that go into the segment now written.

    Merged is every segment of which more than a quarter is deleted, and, from the last backwards, each with at most twice as
    many passages as go into the new segment so far. Sizes then fall by more than half from segment to segment: their number
    is logarithmic in the number of passages, and so is how often a passage is written again.

    Args:
        rows: per segment its rows, deleted ones included.
        live: per segment the rows that count.
        added: new passages.
    """
    merged = {number for number in range(len(rows)) if 4 * live[number] < 3 * rows[number]}
    total = added + sum(live[number] for number in merged)
    # With nothing to write there is nothing to merge into.
    for number in reversed(range(len(rows))) if total else ():
        if number in merged:
            continue
        if live[number] > 2 * total:
            break
        merged.add(number)
        total += live[number]
    return sorted(merged)
