"""Find mistakes in worked solutions: equalities that do not hold, the first such step, and results no other sample reaches.

`check_steps` reads every equality of every step (arithmetic.py), computes both sides exactly and compares them to the digits
that are written. `step_consistency` measures how many other solutions reach the same intermediate results. Not covered:
mistakes of logic, or in understanding the question, which arithmetic does not show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc.errors import InvalidInput, check_texts
from halluc.reasoning.arithmetic import Equality, equalities
from halluc.reasoning.expressions import Expression, evaluate, literals, symbols
from halluc.reasoning.units import has_units, is_conversion, mixes_units, names_a_part
from retrieval.records import Record

__all__ = [
    "EquationCheck",
    "StepCheck",
    "check_steps",
    "first_mistake",
    "split_steps",
    "step_consistency",
]


@dataclass(frozen=True)
class EquationCheck(Record):
    """One equality of a step.

    Attributes:
        text: the equality as it is written, without calculator annotations.
        holds: whether both sides agree to the digits written.
        value: the value of the left side or, for an unknown, the value that earlier equations give it; as a decimal.
        annotation: whether it is in a calculator annotation, `<<a+b=c>>`, rather than in the text.
    """

    text: str
    holds: bool
    value: str
    annotation: bool = False


@dataclass(frozen=True)
class StepCheck:
    """A step and those of its equalities that can be judged."""

    step: str
    equations: tuple[EquationCheck, ...]

    @property
    def mistaken(self) -> bool:
        """Whether an equality does not hold."""
        return any(not equation.holds for equation in self.equations)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "step": self.step,
            "mistaken": self.mistaken,
            "equations": [equation.to_dict() for equation in self.equations],
        }


def split_steps(solution: str) -> list[str]:
    """Split a written solution into steps: its lines that are not blank, without their numbers and bullets."""
    lines = [re.sub(r"^\s*(?:(?:step\s*)?\d+\s*[.):]\s+|[-*•]\s+)", "", line, flags=re.I) for line in solution.splitlines()]
    return [line.strip() for line in lines if line.strip()]


def check_steps(steps: Sequence[str]) -> list[StepCheck]:
    """Check the equalities of a solution's steps.

    An equality holds if its sides agree exactly, or to the digits written on its right side (rounded or truncated), or if it
    is part of a running calculation ("5 + 3 = 8 * 2 = 16"). A percent sign may be a factor or a unit. Left out, since they
    cannot be judged, are conversions ("1 foot = 12 inches"), sums of unlike units, and sides with words that cannot be a
    unit. An equation in one unknown must give it the value that earlier steps gave it; a value that a step states is used
    from then on, so that one mistake is not counted again in the steps that build on it. The same expression set equal to
    another number ("3x = 27" red ones, "3x = 12" blue ones) is a new equation, not a mistake.

    Args:
        steps: the steps in order; see `split_steps`.

    Returns:
        One `StepCheck` per step.

    Raises:
        InvalidInput: `steps` is one string, or holds something that is not a text.
    """
    check_texts("steps", steps, allow_blank=True)
    known: dict[str, _Known] = {}
    return [_check_step(step, known) for step in steps]


def first_mistake(steps: Sequence[str]) -> int | None:
    """Find the index of the first step with an equality that does not hold; None if all that can be judged hold."""
    return next((i for i, check in enumerate(check_steps(steps)) if check.mistaken), None)


def step_consistency(steps: Sequence[str], samples: Sequence[Sequence[str]]) -> list[float | None]:
    """Measure how many other solutions reach the results of each step (self-consistency, arXiv 2203.11171, per step).

    Args:
        steps: the solution to judge.
        samples: k other solutions of the same question, as lists of steps.

    Returns:
        Per step the mean, over the results it states (the right sides of its equalities), of the share in [0, 1] of samples
        in which a step states the same number; None for a step that states no result.

    Raises:
        InvalidInput: there are no samples, or a solution is one string.
    """
    check_texts("steps", steps, allow_blank=True)
    for i, sample in enumerate(samples):
        check_texts(f"samples[{i}]", sample, allow_blank=True)
    if not samples:
        raise InvalidInput("there are no samples to compare the steps with; pass at least one other solution")
    reached = [{value for step in sample for value in _results(step)} for sample in samples]
    shares: list[float | None] = []
    for step in steps:
        results = _results(step)
        matches = sum(value in other for value in results for other in reached)
        shares.append(matches / (len(results) * len(reached)) if results else None)
    return shares


_ANNOTATION = re.compile(r"<<([^<>]*)>>")


@dataclass(frozen=True)
class _Known:
    """The value that an equation gives its unknown, and its sides, the one with the unknown first."""

    value: Any
    side: Expression
    other: Expression


def _results(step: str) -> list[Any]:
    """The numbers on the right sides of a step's equalities, each once."""
    results: list[Any] = []
    for equality in equalities(_ANNOTATION.sub("", step)):
        value = evaluate(equality.right) if _is_number(equality.right) else None
        if value is not None and value not in results:
            results.append(value)
    return results


def _check_step(step: str, known: dict[str, _Known]) -> StepCheck:
    bare = _ANNOTATION.sub("", step)
    annotations = [(text, equality) for text in _ANNOTATION.findall(step) for equality in equalities(text)]
    # "2L * 4 = <<2*4=8>>8" calculates without the unknown, and so is no equation for it.
    calculated = {evaluate(e.right) for _, e in annotations if not _is_number(e.left) and not symbols(e.left)}
    checks = [
        _check(equality, bare, known)
        for equality in equalities(bare)
        if not (_is_compound(equality.left) and _is_number(equality.right) and evaluate(equality.right) in calculated)
    ]
    checks += [_check(equality, text, {}, annotation=True) for text, equality in annotations]
    return StepCheck(step, tuple(check for check in checks if check is not None))


def _is_compound(expression: Expression) -> bool:
    """Whether an expression contains an unknown and is not one by itself."""
    return bool(symbols(expression)) and expression.kind != "symbol"


def _check(equality: Equality, text: str, known: dict[str, _Known], *, annotation: bool = False) -> EquationCheck | None:
    left, right = equality.left, equality.right
    written = text[equality.start : equality.end].strip()
    if mixes_units(left) or mixes_units(right):
        return None
    if symbols(left) or symbols(right):
        return _check_unknown(left, right, written, known)
    if names_a_part(left) or (_is_number(left) and not left.percent and all(n.percent for n in literals(right))):
        return None
    if _is_number(left) and (_is_number(right) or literals(left)[0].units) and (has_units(left) or has_units(right)):
        return None
    value = evaluate(left)
    if value is None or evaluate(right) is None:
        return None
    holds = _agree(left, right) or _runs_on(left, right, written) or _is_less(value, right, text, equality.end)
    if not holds and is_conversion(left, right):
        return None
    return EquationCheck(written, holds, _decimal(value), annotation)


def _check_unknown(left: Expression, right: Expression, written: str, known: dict[str, _Known]) -> EquationCheck | None:
    """Solve a linear equation in one unknown and compare; with several unknowns, compare if all are known."""
    import sympy

    names = symbols(left) | symbols(right)
    sides = evaluate(left), evaluate(right)
    if any(side is None for side in sides):
        return None
    if len(names) > 1:
        if not names <= set(known):
            return None
        values = {sympy.Symbol(name): equation.value for name, equation in known.items()}
        a, b = (sympy.sympify(side).subs(values) for side in sides)
        if not (a.is_Rational and b.is_Rational):
            return None
        return EquationCheck(written, bool(abs(a - b) <= _tolerance(right, a)), _decimal(a))
    name = names.pop()
    unknown = sympy.Symbol(name)
    difference = sympy.expand(sides[0] - sides[1])
    if difference != 0 and difference.subs(unknown, 0) == 0 and symbols(left) and symbols(right):
        # "x + x + 2x = 3x": both sides are multiples of the unknown, so the equality is a claim about any x.
        return EquationCheck(written, False, str(sympy.expand(sides[0])))
    if not difference.is_polynomial(unknown) or sympy.degree(difference, unknown) != 1:
        return None
    slope, constant = sympy.Poly(difference, unknown).all_coeffs()
    value = -constant / slope
    earlier = known.get(name)
    side, numbers = (left, right) if not symbols(right) else (right, left)
    if earlier is None and symbols(numbers):
        # "4 + x = 4x / 2" may be an equation to solve, or an expression rewritten: it is not relied on.
        return None
    known[name] = _Known(value, side, numbers)
    if earlier is None or (side == earlier.side and _is_compound(side) and _is_number(earlier.other)):
        return None
    holds = abs(earlier.value - value) <= _tolerance(numbers, earlier.value)
    return EquationCheck(written, bool(holds), _decimal(earlier.value))


def _agree(left: Expression, right: Expression) -> bool:
    """Whether two sides without unknowns are equal, to the digits written."""
    for left_percent in (True, False):
        for right_percent in (True, False):
            a, b = evaluate(left, percent=left_percent), evaluate(right, percent=right_percent)
            if abs(a - b) <= _tolerance(right, a) + _slack(left, left_percent) + _slack(right, right_percent):
                return True
    return False


def _runs_on(left: Expression, right: Expression, written: str) -> bool:
    """Whether the right side begins with the result and continues from it, as in "5 + 3 = 8 * 2 = 16"."""
    first = right
    while first.kind in "+-*/^" and first.parts:
        first = first.parts[0]
    bracketed = written.partition("=")[2].lstrip().startswith(("(", "["))
    return first is not right and first.kind == "number" and not bracketed and _agree(left, first)


_LESS = re.compile(
    r"\W*(?:\w+\W+){0,3}?(?:fewer|less|lower|smaller|shorter|lighter|younger|slower|cheaper|earlier|short|below|under|behind)\b"
)


def _is_less(value: Any, right: Expression, text: str, end: int) -> bool:
    """Whether a negative result is written as its size and a word, as in "87 - 100 = 13 fewer apples"."""
    return bool(value < 0 and _is_number(right) and evaluate(right) == -value and _LESS.match(text, end))


def _tolerance(written: Expression, exact: Any) -> Any:
    """How far a written number may be from the exact value: a unit of its last digit, if the exact value has more digits."""
    import sympy

    if not _is_number(written):
        return 0
    number = literals(written)[0]
    places = len(number.text.partition(".")[2])
    unit = sympy.Rational(1, 10**places)
    if number.percent:
        unit /= 100
    # Calculators leave noise in the sixteenth digit, but not in whole numbers.
    noise = abs(exact) * sympy.Rational(1, 10**9) if places else 0
    return noise if (exact / unit).is_Integer else unit * (1 - sympy.Rational(1, 10**9)) + noise


# Decimals that stand for thirds, sixths and the like: 33.33, 0.67, 1.83.
_REPEATING = re.compile(r"\.\d*(?:33|66|67|83|16|17|142|714|285|857|428|571|11|22|44|55|77|88|99|89|78|56|45)\d?$")


def _slack(expression: Expression, percent: bool) -> Any:
    """How much rounding in the numbers of an expression can have changed its value, to first order."""
    import sympy

    numbers = literals(expression)
    if len(numbers) < 2:
        return 0
    value = evaluate(expression, percent=percent)
    total = sympy.Integer(0)
    for i, number in enumerate(numbers):
        if _REPEATING.search(number.text):
            unit = sympy.Rational(1, 10 ** len(number.text.partition(".")[2]))
            shifted = evaluate(expression, percent=percent, offsets={i: unit})
            total += abs(shifted - value) if shifted is not None else 0
    return total


def _is_number(expression: Expression) -> bool:
    return expression.kind == "number" or (expression.kind == "neg" and _is_number(expression.parts[0]))


def _decimal(value: Any) -> str:
    return str(int(value)) if value.is_Integer else f"{float(value):.10g}"
