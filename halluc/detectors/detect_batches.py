"""Detection in batches of rows, in this process or in several, with one result.

Batches are made by number of rows alone, and each has its own seed: the samples of a row are the same with any number of
workers. Not covered: the detection of one batch (detect.py), and the processes (halluc.workers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.detectors.collect import Cost
from halluc.detectors.detect import Detection, detect
from halluc.detectors.detector import Detector
from halluc.detectors.statistics import Statistics
from halluc.detectors.table import detectors_named
from halluc.workers import batch_mapper
from retrieval.progress import progress_bar

if TYPE_CHECKING:
    from halluc.models.language_model import Prompt

__all__ = ["detect_batches", "joined"]

_BATCH_ROWS = 32


def detect_batches(
    prompts: Sequence[Prompt],
    models: Mapping[str, Any],
    *,
    detectors: Sequence[str | Detector],
    answers: Sequence[str | None] | None = None,
    contexts: Sequence[str | None] | None = None,
    seed: int = 0,
    workers: int = 1,
    load: Callable[[], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Detection:
    """Score how likely answers are hallucinated, some rows at a time; see `halluc.detect`.

    Args:
        prompts, detectors, answers, contexts, options: as for `halluc.detect`.
        models: its arguments `lm`, `verifier`, `index` and `embedder`, as far as they are wanted.
        seed: a batch is sampled with this number plus that of its first row.
        workers: number of processes that share the batches; the result is that of one process.
        load: with several workers, loads the models in each of them; it is pickled.

    Raises:
        HallucError: as `halluc.detect`.
        MissingExtra, WorkersFailed: the workers cannot be started, or keep dying.
    """
    batches = []
    for start in range(0, len(prompts), _BATCH_ROWS):
        rows = slice(start, start + _BATCH_ROWS)
        batches.append(_Batch(start, prompts[rows], answers and answers[rows], contexts and contexts[rows]))
    parts = []
    run = partial(_detect, {"detectors": detectors, **options}, seed)
    mapper = batch_mapper(partial(run, models), workers, None if load is None else partial(_load, run, load))
    with mapper as compute, progress_bar("detecting", len(prompts)) as advance:
        for batch, part in zip(batches, compute(batches), strict=True):
            parts.append(part)
            advance(len(batch.prompts))
    return joined(parts, detectors)


def joined(parts: Sequence[Detection], detectors: Sequence[str | Detector]) -> Detection:
    """Join the detections of consecutive rows by the same detectors.

    The scores of a detector that could not run on some of the parts are NaN there.
    """
    ran = [detector for detector in detectors_named(detectors) if any(detector.name in part.scores for part in parts)]
    sizes = [len(part.statistics) for part in parts]
    return Detection(
        scores={
            detector.name: np.concatenate(
                [part.scores.get(detector.name, np.full(size, np.nan)) for part, size in zip(parts, sizes, strict=True)]
            )
            for detector in ran
        },
        skipped={
            name: reason
            for part in parts
            for name, reason in part.skipped.items()
            if not any(name in other.scores for other in parts)
        },
        generations=tuple(generation for part in parts for generation in part.generations),
        costs={d.name: sum((part.costs.get(d.name, Cost()) for part in parts), Cost()) for d in ran},
        answer_cost=sum((part.answer_cost for part in parts), Cost()),
        total=sum((part.total for part in parts), Cost()),
        statistics=_joined_statistics([part.statistics for part in parts]),
        detectors=tuple(ran),
    )


@dataclass(frozen=True)
class _Batch:
    start: int
    prompts: Any
    answers: Any
    contexts: Any


def _detect(options: Mapping[str, Any], seed: int, models: Mapping[str, Any], batch: _Batch) -> Detection:
    detection = detect(
        prompts=batch.prompts,
        answers=batch.answers,
        contexts=batch.contexts,
        # Within the range of seeds.
        seed=(seed + batch.start + 2**63) % 2**64 - 2**63,
        **models,
        **options,
    )
    # The detectors are functions of this process, and the same in all parts.
    return replace(detection, detectors=())


def _load(run: Callable[..., Detection], load: Callable[[], Mapping[str, Any]]) -> Callable[[_Batch], Detection]:
    return partial(run, load())


def _joined_statistics(parts: Sequence[Statistics]) -> Statistics:
    columns: dict[str, Any] = {}
    for column in fields(Statistics):
        values = [getattr(part, column.name) for part in parts]
        if isinstance(values[0], tuple):
            columns[column.name] = tuple(value for part in values for value in part)
        else:
            present = [part for part in values if part.size]
            columns[column.name] = np.concatenate(present) if present else values[0]
    return Statistics(**columns)
