"""Run a benchmark: rows -> items -> outcomes, cached -> scores -> figures with intervals.

A row that lacks what the benchmark needs is refused before anything is computed. A row that is longer than the context
window, which only the model can tell, is skipped: no figure counts it, and the run names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.evaluation.answer_cache import AnswerCache
from halluc.evaluation.answering import System, check_system, generate_replies, score_likelihoods
from halluc.evaluation.benchmark import Benchmark, Item, Outcome, Reply, Row, Scores, Tools
from halluc.evaluation.context_limits import TooLong, compute_those_that_fit
from halluc.evaluation.figures import measure
from halluc.evaluation.run_record import EvaluationRun, ItemResult, SkippedItem
from halluc.models.prefix_scoring import ContinuationScore
from halluc.models.weights_digest import weights_digest
from halluc.verification.verifier import verifier_settings
from halluc.workers import batch_mapper
from retrieval.progress import progress_bar

__all__ = ["check_tools", "run_benchmark"]

# Items between two writes to the cache: what a kill loses at most, for each worker.
_CHUNK = 32
_Answer = Callable[[Iterable[Sequence[Item]]], Iterator[Sequence[Outcome | TooLong]]]


def run_benchmark(
    benchmark: Benchmark,
    rows: Sequence[Row],
    system: System,
    *,
    tools: Tools | None = None,
    data: Sequence[str] = (),
    cache: Path | None = None,
    max_new_tokens: int | None = None,
    workers: int = 1,
    load: Callable[[], System] | None = None,
) -> EvaluationRun:
    """Run a benchmark on rows.

    Args:
        benchmark: from `halluc.evaluation.table.load_benchmark`.
        rows: from `halluc.evaluation.rows.read_benchmark_rows`.
        system: the model and its mitigation.
        tools: what scoring may use.
        data: where the rows came from, for the record.
        cache: folder of outcomes; None keeps none, and a killed run starts again.
        max_new_tokens: longest reply; the benchmark's own by default.
        workers: number of processes that answer (`halluc.workers`); the outcomes are those of one process.
        load: with several workers, loads the system in each of them; it is pickled.

    Returns:
        The run.

    Raises:
        InvalidInput: a row cannot be used, a tool is missing, the system cannot run this kind of benchmark, or every row is
            longer than the context window.
        HallucError: the model, the index or the judge failed.
    """
    tools = tools or Tools()
    if not rows:
        raise InvalidInput(f"there are no rows for {benchmark.name}; pass at least one")
    check_system(system, benchmark.kind)
    check_tools(benchmark, tools)
    items = benchmark.items(rows)
    tokens = max_new_tokens or benchmark.max_new_tokens
    settings = _settings(benchmark, system, tokens)
    judge = tools.judge if benchmark.judged else None
    start = time.perf_counter()
    load_outcomes = None if load is None else partial(_load_outcomes, benchmark.kind, tokens, load)
    answering = partial(batch_mapper, partial(_outcomes, benchmark.kind, tokens, system), workers, load_outcomes)
    if cache is None:
        outcomes, cached = _compute(benchmark.name, items, answering, None), 0
    else:
        with AnswerCache(cache, settings, _plain, _outcome) as answers:
            cached = sum(item.key in answers for item in items)
            outcomes = _compute(benchmark.name, items, answering, answers)
    answered = [(item, outcome) for item, outcome in zip(items, outcomes, strict=True) if not isinstance(outcome, TooLong)]
    graded = compute_those_that_fit(partial(_score, benchmark, tools), answered)
    scored = [(*pair, score) for pair, score in zip(answered, graded, strict=True) if not isinstance(score, TooLong)]
    unread = [
        *zip(items, outcomes, strict=True),
        *((item, score) for (item, _), score in zip(answered, graded, strict=True)),
    ]
    skipped = _skipped(benchmark, rows, [(item, result) for item, result in unread if isinstance(result, TooLong)])
    if not scored:
        raise InvalidInput(
            f"no row of {benchmark.name} fits the context window; of {skipped[0].where}, {skipped[0].reason}. "
            "Pass shorter rows, or a model with a longer window"
        )
    scores = [score for _, _, score in scored]
    figures = tuple(measure(figure, len(scores)) for figure in benchmark.figures(scores))
    return EvaluationRun(
        benchmark=benchmark.name,
        model=system.lm.name,
        mitigation=system.mitigation,
        judge=judge.name if judge is not None else "",
        data=tuple(data),
        settings=settings,
        figures=figures,
        rows=tuple(
            ItemResult(item.key, item.question, _shown(item, outcome), dict(score)) for item, outcome, score in scored
        ),
        skipped=skipped,
        curve=benchmark.curve(scores) if benchmark.curve else None,
        note=" ".join(filter(None, [benchmark.note, judge.note if judge is not None else ""])),
        seconds=time.perf_counter() - start,
        cached=cached,
    )


def check_tools(benchmark: Benchmark, tools: Tools) -> None:
    """Check that everything is there that the scoring of a benchmark needs.

    Raises:
        InvalidInput: something is missing.
    """
    from halluc.evaluation.harm_judges import RefusalJudge

    missing = {
        "judge": (tools.judge is None, "a judge of harm"),
        "statement_judge": (
            tools.judge is None or isinstance(tools.judge, RefusalJudge),
            "a judge that reads statements; pass --judge lm, or a folder or hub id of a text classifier",
        ),
        "verifier": (tools.verifier is None, "a verifier"),
        "index": (tools.index is None, "--index, the corpus to judge claims by"),
    }
    for name in sorted(benchmark.needs):
        is_missing, advice = missing[name]
        if is_missing:
            raise InvalidInput(f"{benchmark.name} needs {advice}")


def _compute(
    name: str,
    items: Sequence[Item],
    answering: Callable[[], AbstractContextManager[_Answer]],
    cache: AnswerCache[Outcome] | None,
) -> list[Outcome | TooLong]:
    outcomes: dict[str, Outcome | TooLong] = {}
    if cache is not None:
        outcomes = {item.key: cache[item.key] for item in items if item.key in cache}
    pending = list({item.key: item for item in items if item.key not in outcomes}.items())
    if not pending:
        return [outcomes[item.key] for item in items]
    # Items of similar length share batches.
    pending.sort(key=lambda entry: (sum(len(query.context) for query in entry[1].choices), len(str(entry[1].prompt))))
    chunks = [pending[start : start + _CHUNK] for start in range(0, len(pending), _CHUNK)]
    with progress_bar(name, len(pending)) as advance, answering() as answer:
        for chunk, computed in zip(chunks, answer([item for _, item in chunk] for chunk in chunks), strict=True):
            for (key, _), outcome in zip(chunk, computed, strict=True):
                outcomes[key] = outcome
                if cache is not None and not isinstance(outcome, TooLong):
                    cache.add(key, outcome)
            advance(len(chunk))
    return [outcomes[item.key] for item in items]


def _load_outcomes(
    kind: str, tokens: int, load: Callable[[], System]
) -> Callable[[Sequence[Item]], Sequence[Outcome | TooLong]]:
    return partial(_outcomes, kind, tokens, load())


def _outcomes(kind: str, tokens: int, system: System, items: Sequence[Item]) -> Sequence[Outcome | TooLong]:
    if kind == "likelihood":
        return compute_those_that_fit(partial(score_likelihoods, system), items)
    return compute_those_that_fit(partial(generate_replies, system, max_new_tokens=tokens), items)


def _score(benchmark: Benchmark, tools: Tools, pairs: Sequence[tuple[Item, Outcome]]) -> list[Scores]:
    return benchmark.score([item for item, _ in pairs], [outcome for _, outcome in pairs], tools)


def _skipped(benchmark: Benchmark, rows: Sequence[Row], too_long: Sequence[tuple[Item, TooLong]]) -> tuple[SkippedItem, ...]:
    """Name the rows of items that were too long; of several equal rows the first."""
    if not too_long:
        return ()
    places = {item.key: row[0] for row in reversed(rows) for item in benchmark.items([row])}
    return tuple(SkippedItem(places.get(item.key, "a row"), item.question, result.reason) for item, result in too_long)


def _settings(benchmark: Benchmark, system: System, tokens: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "benchmark": benchmark.name,
        "model": system.lm.name,
        "weights": weights_digest(system.lm),
        "mitigation": system.mitigation,
    }
    if benchmark.kind == "generation":
        settings["max_new_tokens"] = tokens
    if system.mitigation != "none" and system.index is not None:
        settings.update(index=system.index.content_hash, k=system.k)
    if system.mitigation in ("abstain", "revise") and system.verifier is not None:
        settings.update(verifier_settings(system.verifier), min_support=system.min_support)
    return settings


def _plain(outcome: Outcome) -> Any:
    if isinstance(outcome, Reply):
        return outcome.to_dict()
    return [[[score.logprob, score.n_tokens] for score in scores] for scores in outcome]


def _outcome(value: Any) -> Outcome:
    if isinstance(value, dict):
        return Reply(**value)
    return [[ContinuationScore(logprob, n_tokens) for logprob, n_tokens in scores] for scores in value]


def _shown(item: Item, outcome: Outcome) -> str:
    if isinstance(outcome, Reply):
        return outcome.text
    scores, choices = outcome[0], item.choices[0].continuations
    return choices[max(range(len(choices)), key=lambda i: scores[i].logprob)].strip()
