"""What a benchmark is: how its rows become items, how outcomes are scored, and which figures result.

An item is one row as a model sees it. A likelihood benchmark scores given continuations of it; a generation benchmark
scores a reply. Not covered: the benchmarks (halluc/evaluation/benchmarks), the run (runner.py), the intervals (figures.py).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from halluc.errors import InvalidInput
from halluc.models.language_model import Prompt
from halluc.models.prefix_scoring import Choices, ContinuationScore
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.evaluation.figures import Curve, Figure
    from halluc.evaluation.harm_judges import HarmJudge
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = [
    "Benchmark",
    "HubRows",
    "Item",
    "Likelihoods",
    "Outcome",
    "Reply",
    "Row",
    "Scores",
    "Tools",
    "column",
    "text_column",
]

Row: TypeAlias = tuple[str, dict[str, Any]]
"""A row with its place ("line 3 of rows.jsonl") for messages."""

Scores: TypeAlias = Mapping[str, Any]
"""What figures are computed from, per item: numbers and booleans, and strings that name a group."""


@dataclass(frozen=True)
class Item(Record):
    """One row as a model sees it.

    Attributes:
        question: what a person would ask; grounding and chain-of-verification get this.
        prompt: what a generation benchmark asks the model.
        choices: what a likelihood benchmark scores.
        reference: what scoring needs, as plain JSON values.
    """

    question: str
    prompt: Prompt = ()
    choices: tuple[Choices, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A digest of what the model sees: two items with the same key have the same outcome."""
        seen = {"question": self.question, "prompt": self.prompt, "choices": [query.to_dict() for query in self.choices]}
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Reply(Record):
    """A model's reply to an item.

    Attributes:
        text: the reply; empty if the system abstained.
        abstained: whether the system (not the model's own words) gave no answer.
        confidence: in [0, 1]; None if unknown.
    """

    text: str
    abstained: bool = False
    confidence: float | None = None


Likelihoods: TypeAlias = Sequence[Sequence[ContinuationScore]]
"""Scores of the continuations of each `Choices` of an item."""

Outcome: TypeAlias = Reply | Likelihoods


@dataclass(frozen=True)
class HubRows:
    """Where a benchmark's rows are on the Hugging Face hub; None as configuration is the only one."""

    id: str
    configuration: str | None
    split: str


@dataclass(frozen=True)
class Tools:
    """What scoring may use besides the rows.

    Attributes:
        judge: decides whether a reply does what a harmful prompt asks, and whether a statement is hateful.
        verifier, index: judge claims by passages.
    """

    judge: HarmJudge | None = None
    verifier: Verifier | None = None
    index: PassageStore | None = None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: as the command line names it.
        summary: one line for people, with the paper's arXiv id.
        kind: what the model does.
        hub: where rows come from if none are passed; empty if they must be passed.
        items: turns rows into items; raises InvalidInput with the place of a row that cannot be used.
        score: turns (N,) items and their outcomes into (N,) scores.
        figures: turns scores into figures.
        curve: turns scores into a curve, if the benchmark has one.
        max_new_tokens: longest reply, in tokens.
        needs: which of the `Tools` scoring needs; a statement judge is a judge that reads statements, not only refusals.
        note: what a reader of the figures must know.
    """

    name: str
    summary: str
    kind: Literal["likelihood", "generation"]
    hub: Sequence[HubRows]
    items: Callable[[Sequence[Row]], list[Item]]
    score: Callable[[Sequence[Item], Sequence[Any], Tools], list[Scores]]
    figures: Callable[[Sequence[Scores]], list[Figure]]
    curve: Callable[[Sequence[Scores]], Curve | None] | None = None
    max_new_tokens: int = 32
    needs: frozenset[Literal["judge", "statement_judge", "verifier", "index"]] = frozenset()
    note: str = ""

    @property
    def judged(self) -> bool:
        """Whether scoring needs a judge of any kind."""
        return bool(self.needs & {"judge", "statement_judge"})


def column(row: dict[str, Any], names: Sequence[str], where: str) -> Any:
    """Get the first of the columns that a row has; files and hub rows name the same thing differently.

    Raises:
        InvalidInput: the row has none of them.
    """
    for name in names:
        if row.get(name) is not None:
            return row[name]
    for name in names:
        if name in row:
            raise InvalidInput(f"{where} has nothing as {name}; write a value")
    fields = ", ".join(name or "''" for name in row) or "nothing"
    raise InvalidInput(f"{where} has no column {' or '.join(names)}; it has {fields}")


def text_column(row: dict[str, Any], names: Sequence[str], where: str) -> str:
    """Get a column that must be text that is not blank; see `column`.

    Raises:
        InvalidInput: the row has none of the columns, or it is no text.
    """
    value = column(row, names, where)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{where} has the {names[0]} {value!r}; write a text")
    return value


def number_column(row: dict[str, Any], names: Sequence[str], where: str) -> float:
    """Get a column that must be a finite number, or text that is one, as in a CSV file; see `column`.

    Raises:
        InvalidInput: the row has none of the columns, or it is no number.
    """
    value = column(row, names, where)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{where} has the {names[0]} {value!r}; write a number")
    return number
