"""`halluc calibration`: report on confidences in a file, fit a calibrator to them, apply it to others."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from halluc.cli.output import Json, console, print_json, print_notice, to_json, wants_json, working

if TYPE_CHECKING:
    from calibration import CalibrationReport

__all__ = ["app"]

app = typer.Typer(help="Measure, fit and apply the calibration of confidences in a file.", no_args_is_help=True)

Results = Annotated[Path, typer.Argument(help="JSON lines with confidence (0 to 1), correct (true or false), maybe group.")]
Risk = Annotated[float, typer.Option(help="Error rate among answers that the threshold promises, above 0 and below 1.")]
Delta = Annotated[float, typer.Option(help="Chance that the promise may fail, above 0 and below 1.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the split of rows and of the folds.")]
# "auto" and the keys of `calibration.RECALIBRATORS`, written out because importing that table takes a second.
RecalibratorName = Literal[
    "auto", "identity", "temperature", "platt", "beta", "spline",
    "scaling-binning", "histogram", "bayesian-binning", "venn-abers", "isotonic",
]  # fmt: skip


@app.command("report")
def report(
    results: Results,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with figures, all in one file.")] = None,
    risk: Risk = 0.1,
    delta: Delta = 0.05,
    bins: Annotated[int, typer.Option(min=1, help="Equal-width bins of the calibration error.")] = 15,
    seed: Seed = 0,
    json_: Json = None,
) -> None:
    """Measure calibration before and after every recalibrator, on rows that they were not fitted on."""
    from calibration.report.report import N_STEPS, calibration_report
    from retrieval.progress import progress_bar

    rows = _read(results, ("confidence", "correct"))
    groups = [row["group"] for row in rows] if "group" in rows[0] else None
    with _notes(), progress_bar("measuring", N_STEPS + (groups is not None)) as advance:
        made = calibration_report(
            [row["confidence"] for row in rows],
            [bool(row["correct"]) for row in rows],
            groups=groups,
            risk=risk,
            delta=delta,
            n_bins=bins,
            seed=seed,
            progress=advance,
        )
    if html is not None:
        from calibration.report.page import write_report

        _check_folder(html)
        with working("drawing"):
            write_report(made, html, title=f"Calibration of {results.name}")
    if wants_json(json_):
        print_json({**made.to_dict(), **({"html": str(html)} if html is not None else {})})
        return
    _show(made, html)


@app.command("fit")
def fit(
    results: Results,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the calibrator, as JSON.")],
    recalibrator: Annotated[
        RecalibratorName, typer.Option(help="Which one to fit; auto chooses by nested cross-validation.")
    ] = "auto",
    risk: Risk = 0.1,
    delta: Delta = 0.05,
    source: Annotated[
        str,
        typer.Option(
            help="What the confidence is, e.g. length_normalised_likelihood; 'halluc ask --calibrator' asks for it again."
        ),
    ] = "",
    seed: Seed = 0,
    json_: Json = None,
) -> None:
    """Fit a recalibrator on half of the rows and an abstention threshold on the other half, and save both."""
    from calibration import Calibrator

    rows = _read(results, ("confidence", "correct"))
    _check_folder(out)
    calibrator = Calibrator(risk, delta, recalibrator=recalibrator, source=source, seed=seed)
    with _notes(), working("fitting"):
        calibrator.fit([row["confidence"] for row in rows], [bool(row["correct"]) for row in rows])
    calibrator.save(out)
    rule = calibrator.rule_
    facts = {
        "out": str(out),
        "rows": len(rows),
        "fit_rows": calibrator.fit_count_,
        "threshold_rows": rule.count_,
        "recalibrator": calibrator.chosen_,
        "cross_validation": {"scores": calibrator.scores_, "held_out": calibrator.held_out_},
        "threshold": rule.threshold if rule.feasible else None,
        "coverage": rule.coverage,
        "reason": rule.reason_,
    }
    if wants_json(json_):
        print_json(facts)
        return
    out_console = console()
    out_console.print(f"{calibrator.chosen_} fitted on {calibrator.fit_count_} rows, saved in {out}")
    if calibrator.held_out_:
        before, after = calibrator.held_out_["ece_before"], calibrator.held_out_["ece_after"]
        out_console.print(f"ECE in nested cross-validation {before:.3f} before, {after:.3f} after")
    if rule.feasible:
        out_console.print(
            f"answer at and above {rule.threshold:.4g} ({rule.coverage:.0%} of {rule.count_} rows): {rule.reason_}"
        )


@app.command("apply")
def apply(
    rows_file: Annotated[Path, typer.Argument(metavar="ROWS", help="JSON lines with confidence (0 to 1).")],
    calibrator: Annotated[Path, typer.Option("--calibrator", "-c", help="What 'halluc calibration fit' wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write the rows; standard output by default.")
    ] = None,
) -> None:
    """Add calibrated_confidence and answer (is it above the threshold?) to every row, and keep the rest as it is.

    A file with a recalibrator alone has no threshold, and adds no answer.
    """
    import calibration
    from calibration.persistence import write_aside
    from halluc.errors import InvalidInput

    saved = calibration.load(calibrator)
    if not isinstance(saved, (calibration.Calibrator, calibration.Recalibrator)):
        raise InvalidInput(f"{calibrator} holds a {type(saved).__name__}; pass a file of 'halluc calibration fit'")
    rows = _read(rows_file, ("confidence",))
    raw = [row["confidence"] for row in rows]
    for row, value in zip(rows, saved.transform(raw).tolist(), strict=True):
        row["calibrated_confidence"] = value
        if isinstance(saved, calibration.Calibrator):
            row["answer"] = value >= saved.threshold
    text = "".join(to_json(row) + "\n" for row in rows)
    if out is None:
        sys.stdout.write(text)
        return
    _check_folder(out)
    write_aside(out, text)


def _read(path: Path, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; InvalidInput names the first line that cannot be used, and why."""
    from halluc.errors import InvalidInput
    from halluc.files import read_rows

    rows: list[dict[str, Any]] = []
    first = ""
    for where, row in read_rows(path):
        if missing := [name for name in needed if name not in row]:
            columns = ", ".join(row) or "nothing"
            raise InvalidInput(f"{where} has no {' and no '.join(missing)}, only {columns}; name the columns as these")
        _check(row, where, needed)
        if rows and "correct" in needed and ("group" in row) != ("group" in rows[0]):
            raise InvalidInput(f"{where} and {first} must both have a group or neither")
        first = first or where
        rows.append(row)
    if not rows:
        raise InvalidInput(f"{path} holds no rows; write one object with {' and '.join(needed)} a line")
    return rows


def _check(row: dict[str, Any], where: str, needed: tuple[str, ...]) -> None:
    from halluc.errors import InvalidInput

    value = row["confidence"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidInput(f"{where} has the confidence {value!r}; pass a number from 0 to 1")
    if "correct" in needed and (not isinstance(row["correct"], (bool, int, float)) or row["correct"] not in (0, 1)):
        raise InvalidInput(f"{where} has correct {row['correct']!r}; pass true or false, or 1 or 0")
    if "correct" in needed and not isinstance(row.get("group", ""), (str, int)):
        raise InvalidInput(f"{where} has the group {row['group']!r}; pass a name")


def _check_folder(path: Path) -> None:
    from halluc.errors import InvalidInput

    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; pass the name of a file to write")
    if not path.parent.is_dir():
        raise InvalidInput(f"the folder {path.parent} does not exist; make it first")


@contextmanager
def _notes() -> Iterator[None]:
    """Warnings of calibration as one line each on standard error."""
    from calibration import NoThresholdWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoThresholdWarning)
        yield
    for warning in caught:
        print_notice(warning.message)


def _show(made: CalibrationReport, html: Path | None) -> None:
    from rich.table import Table

    out = console()
    title = f"{made.report_count} of {made.count} rows, {made.before.accuracy:.1%} right; ECE with 95 % interval"
    table = Table("recalibrator", "ECE", "smooth ECE", "Brier", "log loss", "AUROC", title=title)
    for row in (made.before, *made.after):
        name = "none (raw)" if row is made.before else row.name
        chosen = row.name == made.chosen or (row is made.before and made.chosen == "identity")
        ece = f"{row.ece:.3f} [{row.ece.low:.3f}, {row.ece.high:.3f}]"
        ranked = "–" if row.auroc is None else f"{row.auroc:.3f}"
        numbers = (f"{row.smooth_ece:.3f}", f"{row.brier:.3f}", f"{row.nll:.3f}", ranked)
        table.add_row(f"{name} *" if chosen else name, ece, *numbers, style="bold" if chosen else None)
    out.print(table)
    out.print("* chosen by nested cross-validation on other rows", style="dim")
    if made.groups:
        by_group = Table("group", "n", "accuracy", "confidence", "ECE before", "ECE after")
        for own in made.groups:
            values = (own.before.accuracy, own.before.mean_confidence, own.before.ece, own.after.ece)
            by_group.add_row(own.group, str(own.before.count), *(f"{value:.3f}" for value in values))
        out.print(by_group)
    at = made.operation
    out.print(at.reason)
    if at.risk is not None:
        held = "held" if at.held else "did not hold"
        rest = f"{at.wrong} wrong ({at.risk:.1%}): the promise {held}"
        out.print(f"here {at.answered} of {made.report_count} are answered and {rest}")
    if html is not None:
        out.print(f"page in {html}")
