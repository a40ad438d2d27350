"""What the scripts beside this one share: rows in, one JSON line a figure out.

They import it before they take their own folder off the path, where some of them bear the name of a package.
"""

from __future__ import annotations

import json
from numbers import Integral, Real
from pathlib import Path


def read_rows(path: Path) -> list[dict]:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def show(figure: str, **values) -> None:
    """Print a figure, its numbers rounded to three decimals."""
    print(json.dumps({"figure": figure, **{name: _rounded(value) for name, value in values.items()}}), flush=True)


def wilson(successes: int, n: int) -> list[float]:
    """The 95 % interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return [interval.low, interval.high]


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    # Also numpy's numbers and those with an interval, which JSON does not know.
    return round(float(value), 3) if isinstance(value, Real) and not isinstance(value, Integral) else value
