"""Speed of calibration and of its peers, in one process on the same arrays; prints one JSON line.

    python benchmarks/calibration.py [--items 10000000]

Ratios are medians over rounds in which every library runs once, in turn: the time of torchmetrics and of netcal divided by
ours, for ECE in 15 equal-width bins; our peak extra memory divided by the input's size; and the time of a bootstrap of 1,000
resamples divided by that of one plain call, at 100,000 items. Peers that are not installed are left out.
"""

import argparse
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

# When this file runs as a script, its folder comes first on the path, and `calibration` would be this file itself.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from calibration import expected_calibration_error  # noqa: E402


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def libraries(confidence: np.ndarray, correct: np.ndarray) -> dict[str, Callable[[], float]]:
    """A call that computes the ECE, for each library that is installed."""
    calls: dict[str, Callable[[], float]] = {
        "calibration": lambda: float(expected_calibration_error(confidence, correct, n_bins=15))
    }
    try:
        import torch
        from torchmetrics.functional.classification import binary_calibration_error
    except ImportError:
        pass
    else:
        # Neither the conversion nor torchmetrics' check of its arguments is timed.
        tensors = torch.from_numpy(confidence), torch.from_numpy(correct).int()
        calls["torchmetrics"] = lambda: float(binary_calibration_error(*tensors, n_bins=15, validate_args=False))
    try:
        from netcal.metrics import ECE
    except ImportError:
        pass
    else:
        labels = correct.astype(int)
        calls["netcal"] = lambda: float(ECE(15).measure(confidence, labels))
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description="ECE against torchmetrics and netcal; bootstrap against plain calls.")
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    confidence = rng.random(options.items)
    correct = rng.random(options.items) < confidence

    runs = libraries(confidence, correct)
    values = {name: call() for name, call in runs.items()}  # also warms up
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, call in runs.items():
            times[name].append(seconds(call))
    result: dict[str, object] = {"items": options.items, "seconds": statistics.median(times["calibration"])}
    for name in runs:
        if name != "calibration":
            pairs = zip(times[name], times["calibration"], strict=True)
            result[f"{name}_over_ours"] = round(statistics.median(peer / ours for peer, ours in pairs), 2)
            result[f"{name}_difference"] = abs(values[name] - values["calibration"])

    tracemalloc.start()
    runs["calibration"]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result["extra_memory_over_input"] = round(peak / (confidence.nbytes + correct.nbytes), 4)

    subset, subset_correct = confidence[:100_000], correct[:100_000]
    ratios = []
    for _ in range(9):
        plain = seconds(lambda: [expected_calibration_error(subset, subset_correct) for _ in range(20)]) / 20
        ratios.append(seconds(lambda: expected_calibration_error(subset, subset_correct, interval=0.95)) / plain)
    result["bootstrap_1000_over_plain"] = round(statistics.median(ratios), 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
