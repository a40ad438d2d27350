"""Speed of calibration and of its peers, in one process on the same arrays; prints one JSON line per figure.

    python benchmarks/calibration.py [--items 10000000] [--table-items 100000] [--rounds 5]

`speed` is ECE in 15 equal-width bins on many items: the time of torchmetrics and of netcal divided by ours, our peak extra
memory divided by the input's size, and the time of an interval at 100,000 items divided by that of a plain call. `ratio` is
a table: for every metric, interval and fit that a peer has too, the CPU time of the peer divided by ours (above 1: ours is
faster), and how far the results differ. `seconds` lines have no peer. Ratios are medians over rounds in which every library
runs once, in turn. Peers: scikit-learn, netcal, torchmetrics, venn-abers and betacal; those not installed are left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from figures import show

# When this file runs as a script, its folder comes first on the path, and `calibration` would be this file itself.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import calibration as c  # noqa: E402

# A metric or a fit: what ours returns, and what each peer returns, by its name.
Entry = tuple[str, Callable[[], object], dict[str, Callable[[], object]]]


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def available(name: str):
    """The module, or None if it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ece_calls(confidence: np.ndarray, correct: np.ndarray) -> dict[str, Callable[[], float]]:
    """A call that computes the ECE, for each library that is installed."""
    calls: dict[str, Callable[[], float]] = {
        "calibration": lambda: float(c.expected_calibration_error(confidence, correct, n_bins=15))
    }
    if (metrics := available("torchmetrics.functional.classification")) is not None:
        import torch

        # Neither the conversion nor torchmetrics' check of its arguments is timed.
        tensors = torch.from_numpy(confidence), torch.from_numpy(correct).int()
        calls["torchmetrics"] = lambda: float(metrics.binary_calibration_error(*tensors, n_bins=15, validate_args=False))
    if (metrics_of_netcal := available("netcal.metrics")) is not None:
        labels = correct.astype(int)
        calls["netcal"] = lambda: float(metrics_of_netcal.ECE(15).measure(confidence, labels))
    return calls


def show_speed(items: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(items)
    correct = rng.random(items) < confidence
    runs = ece_calls(confidence, correct)
    values = {name: call() for name, call in runs.items()}  # also warms up
    times = timed(runs, rounds)
    result: dict[str, object] = {"items": items, "seconds": statistics.median(times["calibration"])}
    for name in runs:
        if name != "calibration":
            result[f"{name}_over_ours"] = ratio(times[name], times["calibration"])
            result[f"{name}_difference"] = abs(values[name] - values["calibration"])
    tracemalloc.start()
    runs["calibration"]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result["extra_memory_over_input"] = peak / (confidence.nbytes + correct.nbytes)
    subset, outcomes = confidence[:100_000], correct[:100_000]
    plain = [seconds(lambda: [c.expected_calibration_error(subset, outcomes) for _ in range(20)]) / 20 for _ in range(9)]
    wide = [seconds(lambda: c.expected_calibration_error(subset, outcomes, interval=0.95)) for _ in range(9)]
    show("speed", **result, interval_over_plain=ratio(wide, plain))


def show_table(items: int, rounds: int) -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(0.5, 1, items)
    confidence = 1 / (1 + np.exp(-2.5 * score))
    correct = rng.random(items) < 1 / (1 + np.exp(-score))
    new = rng.random(items)
    for name, ours, peers in [*metrics(confidence, correct), *fits(confidence, correct, new)]:
        runs = {"ours": ours, **peers}
        results = {library: np.asarray(call(), dtype=float) for library, call in runs.items()}
        times = timed(runs, rounds)
        own = {"items": items, "seconds": statistics.median(times["ours"])}
        for library in peers:
            difference = float(np.abs(results[library] - results["ours"]).mean())
            show("ratio", of=name, peer=library, **own, ratio=ratio(times[library], times["ours"]), difference=difference)
        if not peers:
            show("seconds", of=name, **own)


def timed(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, call in runs.items():
            times[name].append(seconds(call))
    return times


def ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(peer / max(own, 1e-9) for peer, own in zip(theirs, ours, strict=True))


def metrics(confidence: np.ndarray, correct: np.ndarray) -> Iterator[Entry]:
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    for name in ("ECE", "MCE", "ACE"):
        ours = {"ECE": c.expected_calibration_error, "MCE": c.maximum_calibration_error, "ACE": c.adaptive_calibration_error}
        peers: dict[str, Callable[[], object]] = {}
        if (library := available("netcal.metrics")) is not None and name != "ACE":
            labels, kind = correct.astype(int), getattr(library, name)
            peers["netcal"] = lambda kind=kind, labels=labels: kind(15).measure(confidence, labels)
        if (library := available("torchmetrics.functional.classification")) is not None and name != "ACE":
            import torch

            tensors = torch.from_numpy(confidence), torch.from_numpy(correct).int()
            norm = {"ECE": "l1", "MCE": "max"}[name]
            peers["torchmetrics"] = lambda library=library, tensors=tensors, norm=norm: library.binary_calibration_error(
                *tensors, n_bins=15, norm=norm, validate_args=False
            )
        yield name, lambda metric=ours[name]: metric(confidence, correct), peers
    for name, metric, theirs in (
        ("Brier score", c.brier_score, brier_score_loss),
        ("log loss", c.negative_log_likelihood, log_loss),
        ("AUROC", c.auroc, roc_auc_score),
        ("AUPRC", c.auprc, average_precision_score),
    ):
        yield name, lambda m=metric: m(confidence, correct), {"scikit-learn": lambda t=theirs: t(correct, confidence)}
    more = {"AURC": c.aurc, "smooth ECE": c.smooth_calibration_error, "sweep ECE": c.sweep_calibration_error}
    for name, metric in more.items():
        yield name, lambda m=metric: m(confidence, correct), {}
    for name, metric in {"ECE": c.expected_calibration_error, "AUROC": c.auroc, "AUPRC": c.auprc, **more}.items():
        yield f"95 % interval of {name}", lambda m=metric: m(confidence, correct, interval=0.95), {}


def fits(confidence: np.ndarray, correct: np.ndarray, new: np.ndarray) -> Iterator[Entry]:
    """Fit and application to as many new confidences."""
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    labels = correct.astype(int)

    def ours(kind: type, **options) -> Callable[[], object]:
        return lambda: kind(**options).fit(confidence, correct).transform(new)

    def netcal(folder: str, name: str, **options) -> dict[str, Callable[[], object]]:
        library = available(f"netcal.{folder}")
        return {} if library is None else {
            "netcal": lambda: getattr(library, name)(**options).fit(confidence, labels).transform(new)
        }  # fmt: skip

    def logit(p: np.ndarray) -> np.ndarray:
        return np.log(p / (1 - p))[:, None]

    yield "temperature", ours(c.TemperatureScaling), netcal("scaling", "TemperatureScaling")
    logistic = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    platt = {"scikit-learn": lambda: logistic.fit(logit(confidence), labels).predict_proba(logit(new))[:, 1]}
    yield "Platt", ours(c.PlattScaling), {**platt, **netcal("scaling", "LogisticCalibration")}
    beta = netcal("scaling", "BetaCalibration")
    if (library := available("betacal")) is not None:
        beta["betacal"] = lambda b=library: b.BetaCalibration("abm").fit(confidence[:, None], labels).predict(new[:, None])
    yield "beta", ours(c.BetaCalibration), beta
    isotonic = {"scikit-learn": lambda: IsotonicRegression(out_of_bounds="clip").fit(confidence, labels).predict(new)}
    yield "isotonic", ours(c.IsotonicCalibration), {**isotonic, **netcal("binning", "IsotonicRegression")}
    yield "histogram", ours(c.HistogramBinning, strategy="equal-width"), netcal("binning", "HistogramBinning", bins=15)
    yield "Bayesian binning", ours(c.BayesianBinning), netcal("binning", "BBQ")
    abers = {}
    if (library := available("venn_abers")) is not None:

        def fit_and_predict():
            fitted = library.VennAbers()
            fitted.fit(np.stack([1 - confidence, confidence], axis=1), labels)
            return fitted.predict_proba(np.stack([1 - new, new], axis=1))[0][:, 1]

        abers["venn-abers"] = fit_and_predict
    yield "Venn-Abers", ours(c.VennAbers), abers
    weights = np.random.default_rng(2).gamma(2, 1, confidence.size)
    weighted = lambda: c.VennAbers().fit(confidence, correct, weights).transform(new)  # noqa: E731
    yield "Venn-Abers with weights (peer: without)", weighted, abers
    for name, kind in (("spline", c.SplineCalibration), ("scaling-binning", c.ScalingBinning)):
        yield name, ours(kind), {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000, help="of the speed of ECE; 0 leaves it out")
    parser.add_argument("--table-items", type=int, default=100_000, help="of the table of ratios; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    if options.items:
        show_speed(options.items, options.rounds)
    if options.table_items:
        show_table(options.table_items, options.rounds)


if __name__ == "__main__":
    main()
