"""Measure the detection of arithmetic mistakes in worked solutions: precision of flagged steps, and the first mistaken step.

Prints one JSON line per figure, on the rows with an odd number (the rules were developed on the even ones, --half even):

- gsm8k: solutions by four models. Flagged steps; the share of flagged solutions whose final answer is wrong, and that of
  the others; and `agreeing`: flagged steps in which an equality is also false by a second reading, Python's arithmetic on
  the characters around "=" and inside <<...>>, to the digits written (it reads neither units in a sum nor unknowns, so this
  is a lower bound of precision). --show prints every flagged step for inspection.
- gsm8k, human solutions: steps flagged among those that people wrote, nearly all of which are right.
- gsm8k, made slips: in half of the annotated steps of human solutions, one digit of the result is changed, so that precision
  and recall of flagged steps are known.
- BIG-Bench-Mistake: accuracy of the first mistaken step (None where there is none), with its 95 % Wilson interval, for
  every task; only multistep arithmetic is arithmetic, and `always_none` is the score of never flagging a step.

    python benchmarks/reasoning.py --data FOLDER
"""

from __future__ import annotations

import argparse
import ast
import operator
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import read_rows, show, wilson

# A script beside this one has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
TASKS = ("multistep_arithmetic", "logical_deduction", "tracking_shuffled_objects", "word_sorting", "dyck_languages")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with gsm8k/ and big_bench_mistake/")
    parser.add_argument("--half", choices=("odd", "even"), default="odd")
    parser.add_argument("--show", action="store_true", help="print the flagged steps")
    arguments = parser.parse_args()
    first = 1 if arguments.half == "odd" else 0
    rows = read_rows(arguments.data / "gsm8k" / "model_solutions.jsonl")[first::2]
    _model_solutions(rows, arguments.show)
    _human_solutions(rows, arguments.show)
    _made_slips(rows)
    for task in TASKS:
        _first_mistakes(task, read_rows(arguments.data / "big_bench_mistake" / f"{task}.jsonl")[first::2])


def _model_solutions(rows: list[dict[str, Any]], listed: bool) -> None:
    from halluc.reasoning.steps import check_steps, split_steps

    steps = equations = agreeing = 0
    flagged = []
    solutions = {True: [0, 0], False: [0, 0]}
    start = time.perf_counter()
    for row in rows:
        for model in MODELS:
            checks = check_steps(split_steps(row[model]["solution"]))
            wrong = [check for check in checks if check.mistaken]
            steps += len(checks)
            equations += sum(len(check.equations) for check in checks)
            flagged += wrong
            agreeing += sum(any(not same for same in _second_reading(check.step)) for check in wrong)
            tally = solutions[bool(wrong)]
            tally[0] += not row[model]["is_correct"]
            tally[1] += 1
    show(
        "gsm8k, model solutions",
        solutions=len(rows) * len(MODELS),
        steps=steps,
        equations=equations,
        flagged_steps=len(flagged),
        agreeing=agreeing,
        agreeing_interval=_wilson(agreeing, len(flagged)),
        flagged_solutions=solutions[True][1],
        wrong_among_flagged=solutions[True][0] / max(1, solutions[True][1]),
        wrong_among_others=solutions[False][0] / max(1, solutions[False][1]),
        seconds=time.perf_counter() - start,
    )
    if listed:
        for check in flagged:
            false = [f"{e.text}  [the value is {e.value}]" for e in check.equations if not e.holds]
            print("   ", "x" if all(_second_reading(check.step)) else " ", check.step, "|", "; ".join(false))


def _human_solutions(rows: list[dict[str, Any]], listed: bool) -> None:
    from halluc.reasoning.steps import check_steps, split_steps

    checks = [check for row in rows for check in check_steps(split_steps(row["ground_truth"]))]
    wrong = [check for check in checks if check.mistaken]
    checkable = sum(bool(check.equations) for check in checks)
    show("gsm8k, human solutions", steps=len(checks), checkable=checkable, flagged_steps=len(wrong))
    if listed:
        for check in wrong:
            print("   ", check.step)


def _made_slips(rows: list[dict[str, Any]]) -> None:
    """Change one digit of the result in half of the annotated steps, wherever the result is written in the step."""
    from halluc.reasoning.steps import check_steps

    rng = random.Random(0)
    counts = {(made, flagged): 0 for made in (True, False) for flagged in (True, False)}
    for row in rows:
        for step in row["ground_truth"].splitlines():
            annotation = re.search(r"=\s*\$?<<([^<>=]*)=([\d.]+)>>\$?([\d,.]*\d)", step)
            if annotation is None or annotation[2].replace(",", "") != annotation[3].replace(",", ""):
                continue
            made = rng.random() < 0.5
            if made:
                digits = [i for i, c in enumerate(annotation[2]) if c.isdigit()]
                at = rng.choice(digits)
                other = rng.choice([d for d in "123456789" if d != annotation[2][at]])
                changed = annotation[2][:at] + other + annotation[2][at + 1 :]
                step = step[: annotation.start(2)] + changed + ">>" + changed + step[annotation.end(3) :]
            counts[made, check_steps([step])[0].mistaken] += 1
    flagged = counts[True, True] + counts[False, True]
    made_count = counts[True, True] + counts[True, False]
    show(
        "gsm8k, made slips",
        steps=sum(counts.values()),
        slips=made_count,
        precision=counts[True, True] / max(1, flagged),
        precision_interval=_wilson(counts[True, True], flagged),
        recall=counts[True, True] / max(1, made_count),
        recall_interval=_wilson(counts[True, True], made_count),
    )


def _first_mistakes(task: str, rows: list[dict[str, Any]]) -> None:
    from halluc.reasoning.steps import first_mistake

    pairs = [(row["mistake_index"], first_mistake(row["steps"])) for row in rows]
    right = sum(gold == flagged for gold, flagged in pairs)
    mistaken = [(gold, flagged) for gold, flagged in pairs if gold is not None]
    named = sum(flagged is not None for _, flagged in pairs)
    show(
        f"BIG-Bench-Mistake, {task}",
        n=len(pairs),
        accuracy=right / len(pairs),
        interval=_wilson(right, len(pairs)),
        located=sum(gold == flagged for gold, flagged in mistaken) / max(1, len(mistaken)),
        mistaken_rows=len(mistaken),
        steps_named=named,
        right_among_named=sum(gold == flagged for gold, flagged in pairs if flagged is not None) / named if named else None,
        always_none=sum(gold is None for gold, _ in pairs) / len(pairs),
    )


_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_SUM = r"[-+*/().\d,$% x]*\d[-+*/().\d,$% x]*"


def _second_reading(step: str) -> Iterator[bool]:
    """Whether each plain equality in a step is true, by floating-point arithmetic on its characters."""
    texts = [re.sub(r"<<[^<>]*>>", "", step), *re.findall(r"<<([^<>]*)>>", step)]
    for text in texts:
        bare = re.sub(r"(?<=[\d)])\s*(?:[A-Za-z]{2,}\s*){1,4}(?=[-+*/=])", " ", text)  # units
        for left, right in re.findall(rf"(?=({_SUM})=\s*([-$]*\d[\d,]*(?:\.\d+)?))", bare):
            value, written = _value(left), _value(right)
            if value is not None and written is not None:
                digits = len(right.partition(".")[2])
                yield abs(value - written) < 10.0**-digits + 1e-9 * abs(value) and (
                    digits > 0 or not value.is_integer() or value == written
                )


def _value(text: str) -> float | None:
    plain = re.sub(r"[$,]", "", text).replace("x", "*").replace("%", "/100").strip()
    try:
        return float(_compute(ast.parse(plain, mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError, KeyError, TypeError):
        return None


def _compute(node: ast.AST) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_compute(node.operand)
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_compute(node.left), _compute(node.right))
    raise ValueError(ast.dump(node))


def _wilson(successes: int, n: int) -> list[float] | None:
    return wilson(successes, n) if n else None


if __name__ == "__main__":
    main()
