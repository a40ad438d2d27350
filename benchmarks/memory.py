"""Peak memory of a part of a process, on Linux."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


class PeakMemory:
    """A context that measures the largest resident memory of this process in it.

    Attributes:
        before_mib: resident memory at the start, after the allocator returned what it held.
        after_mib: resident memory at the end.
        peak_mib: the largest in between.
    """

    before_mib: float
    after_mib: float
    peak_mib: float

    def __enter__(self) -> PeakMemory:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        # Writing 5 resets the peak to the present (man 5 proc_pid_clear_refs).
        Path("/proc/self/clear_refs").write_text("5")
        self.before_mib = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.peak_mib = _status("VmHWM")
        gc.collect()
        self.after_mib = _status("VmRSS")


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
