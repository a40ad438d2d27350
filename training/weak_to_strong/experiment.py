"""The weak-to-strong experiment on frozen features: a supervisor, two students, a ceiling, and the gap that is recovered.

Source: arXiv 2312.09390, section 3. Not covered: the losses (confidence_loss.py) and the features (features.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.errors import InvalidInput
from retrieval.progress import progress_bar
from retrieval.records import Record
from training.weak_to_strong.confidence_loss import train_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import Estimate

__all__ = ["Student", "WeakToStrongReport", "check_rows", "recovered_gap", "weak_to_strong"]

_RESAMPLES = 2000
# Shares of the rows that the supervisor learns from and that it labels for the students; the rest is for the test.
_SUPERVISOR, _TRANSFER = 0.4, 0.4


@dataclass(frozen=True)
class Student(Record):
    """A strong model that learned from weak labels.

    Attributes:
        accuracy: on the test rows, with its interval.
        recovered: share of the gap between the supervisor and the ceiling that it recovers, with its interval: 0 is as good
            as the supervisor, 1 as the ceiling. None if the interval of the gap contains 0, so that there is nothing to
            recover.
        agreement: share of the test rows on which it agrees with the supervisor.
    """

    accuracy: Estimate
    recovered: Estimate | None
    agreement: float


@dataclass(frozen=True)
class WeakToStrongReport(Record):
    """Accuracies on held-out rows, means over the seeds; 95 % intervals resample rows and seeds.

    Attributes:
        n_supervisor, n_transfer, n_test: rows that the supervisor learned from, that it labeled, and of the test.
        seeds: number of splits of the training rows and of initial weights.
        weak: accuracy of the supervisor.
        weak_labels: share of its labels that are right, on the rows that the students learn from.
        ceiling: accuracy of the strong model trained on the true labels of the same rows.
        gap: ceiling − weak.
        imitating: the student that learns the weak labels.
        confident: the student with the auxiliary confidence loss.
        difference: accuracy of `confident` − accuracy of `imitating`.
    """

    n_supervisor: int
    n_transfer: int
    n_test: int
    seeds: int
    weak: Estimate
    weak_labels: float
    ceiling: Estimate
    gap: Estimate
    imitating: Student
    confident: Student
    difference: Estimate


def weak_to_strong(
    weak_features: NDArray[np.float32],
    strong_features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    *,
    seeds: int = 5,
    confidence_weight: float = 0.5,
    seed: int = 0,
    **training: Any,
) -> WeakToStrongReport:
    """Train a weak supervisor, students of its labels, and the strong model on true labels; test all on the same rows.

    The test rows are the same for all seeds; each seed splits the others anew.

    Args:
        weak_features, strong_features: (N, D_w) and (N, D_s), of the same rows.
        labels: (N,) the truth.
        seeds: number of splits and initial weights.
        confidence_weight: α of the auxiliary loss, in [0, 1].
        seed: of the splits.
        training: options of `train_head`.

    Raises:
        InvalidInput: there are fewer than 50 rows, or a class has fewer than 10.
    """
    check_rows(labels)
    count = len(labels)
    generator = np.random.default_rng(seed)
    order = generator.permutation(count)
    n_supervisor, n_transfer = round(_SUPERVISOR * count), round(_TRANSFER * count)
    test, others = order[n_supervisor + n_transfer :], order[: n_supervisor + n_transfer]
    predictions: dict[str, list[NDArray[np.bool_]]] = {}
    right_labels = []
    with progress_bar("training heads", seeds) as advance:
        for number in range(seeds):
            shuffled = generator.permutation(others)
            made, share = _one_seed(
                weak_features, strong_features, labels, shuffled[:n_supervisor], shuffled[n_supervisor:], test,
                confidence_weight, training | {"seed": number},
            )  # fmt: skip
            right_labels.append(share)
            for name, values in made.items():
                predictions.setdefault(name, []).append(values)
            advance(1)
    stacked = {name: np.stack(values) for name, values in predictions.items()}
    return _report(stacked, labels[test], n_supervisor, n_transfer, float(np.mean(right_labels)))


def check_rows(labels: NDArray[np.bool_]) -> None:
    """Check that there are rows enough of both classes.

    Raises:
        InvalidInput: there are fewer than 50 rows, or a class has fewer than 10.
    """
    if len(labels) < 50 or min(labels.sum(), (~labels).sum()) < 10:
        raise InvalidInput(
            f"there are {labels.sum()} true and {(~labels).sum()} false rows; pass at least 50 rows, and 10 of each class"
        )


def _one_seed(
    weak_features: NDArray[np.float32],
    strong_features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    supervisor: NDArray[np.int64],
    transfer: NDArray[np.int64],
    test: NDArray[np.int64],
    confidence_weight: float,
    training: Mapping[str, Any],
) -> tuple[dict[str, NDArray[np.bool_]], float]:
    """Predictions on the test rows by name, and the share of weak labels that are right."""
    # Each model is standardized on the rows that it learns from.
    weak = _standardized(weak_features, supervisor)
    strong = _standardized(strong_features, transfer)
    truth = labels.astype(np.float64)
    head = train_head(weak[supervisor], truth[supervisor], **training)
    weak_labels = _probabilities(head, weak[transfer])
    students = {
        "imitating": train_head(strong[transfer], weak_labels, **training),
        "confident": train_head(strong[transfer], weak_labels, confidence_weight=confidence_weight, **training),
        "ceiling": train_head(strong[transfer], truth[transfer], **training),
    }
    predictions = {name: _probabilities(student, strong[test]) > 0.5 for name, student in students.items()}
    share = float(((weak_labels > 0.5) == labels[transfer]).mean())
    return predictions | {"weak": _probabilities(head, weak[test]) > 0.5}, share


def recovered_gap(weak: float, student: float, ceiling: float) -> float:
    """Compute (student − weak) / (ceiling − weak), the performance gap recovered; NaN without a gap."""
    return (student - weak) / (ceiling - weak) if ceiling != weak else float("nan")


def _report(
    predictions: Mapping[str, NDArray[np.bool_]], truth: NDArray[np.bool_], n_supervisor: int, n_transfer: int, labels: float
) -> WeakToStrongReport:
    from calibration.estimate import Bootstrap, with_interval

    right = {name: values == truth for name, values in predictions.items()}
    seeds, count = right["weak"].shape
    plan = Bootstrap(n_resamples=_RESAMPLES)
    generator = np.random.default_rng(plan.seed)
    means = {name: float(values.mean()) for name, values in right.items()}
    # (seeds, rows) counts of each resample; rows and seeds are drawn independently.
    rows = generator.multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count
    runs = generator.multinomial(seeds, np.full(seeds, 1 / seeds), _RESAMPLES) / seeds
    drawn = {
        name: np.einsum("rs,sn,rn->r", runs, values.astype(float), rows, optimize=True) for name, values in right.items()
    }
    estimates = {name: with_interval(means[name], drawn[name], plan) for name in right}
    gap = with_interval(means["ceiling"] - means["weak"], drawn["ceiling"] - drawn["weak"], plan)
    has_gap = gap.low is not None and gap.low > 0

    def student(name: str) -> Student:
        recovered = None
        if has_gap:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = (drawn[name] - drawn["weak"]) / (drawn["ceiling"] - drawn["weak"])
            ratios = ratios[np.isfinite(ratios)]
            recovered = with_interval(recovered_gap(means["weak"], means[name], means["ceiling"]), ratios, plan)
        agreement = float((predictions[name] == predictions["weak"]).mean())
        return Student(estimates[name], recovered, agreement)

    return WeakToStrongReport(
        n_supervisor=n_supervisor,
        n_transfer=n_transfer,
        n_test=count,
        seeds=seeds,
        weak=estimates["weak"],
        weak_labels=labels,
        ceiling=estimates["ceiling"],
        gap=gap,
        imitating=student("imitating"),
        confident=student("confident"),
        difference=with_interval(means["confident"] - means["imitating"], drawn["confident"] - drawn["imitating"], plan),
    )


def _standardized(features: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    mean, deviation = features[rows].mean(axis=0), features[rows].std(axis=0)
    scaled: NDArray[np.float32] = ((features - mean) / np.maximum(deviation, 1e-6)).astype(np.float32)
    return scaled


def _probabilities(head: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        probabilities: NDArray[np.float64] = torch.sigmoid(head(torch.from_numpy(features)).squeeze(-1)).double().numpy()
    return probabilities
