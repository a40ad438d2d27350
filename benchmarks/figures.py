"""What all benchmarks share: they read rows of JSON lines and print one JSON line per figure.

Scripts import this module before they remove their own folder from the path, since some of them have the name of a package.
"""

from __future__ import annotations

import json
from numbers import Integral, Real
from pathlib import Path


def read_rows(path: Path) -> list[dict]:
    """Read the objects of a JSON-lines file."""
    from halluc.files import read_rows as read_json_lines

    return [row for _, row in read_json_lines(path)]


def show(figure: str, **values) -> None:
    """Print a figure with its numbers rounded to three decimals."""
    print(json.dumps({"figure": figure, **{name: _rounded(value) for name, value in values.items()}}), flush=True)


def wilson(successes: int, n: int) -> list[float]:
    """Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return [interval.low, interval.high]


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    # Numbers of numpy and estimates with an interval are not JSON types.
    return round(float(value), 3) if isinstance(value, Real) and not isinstance(value, Integral) else value
