"""`halluc calibration`: report on confidences in a file, fit a calibrator to them, apply it, and check it on new rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from halluc.cli.confidence_rows import read_confidence_rows
from halluc.cli.output import Json, console, print_json, print_json_lines, print_notice, to_json, wants_json, working

if TYPE_CHECKING:
    from calibration import CalibrationReport, Calibrator, MonitorResult

__all__ = ["app"]

app = typer.Typer(help="Measure, fit, apply and check the calibration of confidences in a file.", no_args_is_help=True)

Results = Annotated[
    Path,
    typer.Argument(
        help="JSON lines or CSV with confidence (0 to 1), correct (true or false), optionally group; - for standard input."
    ),
]
Column = Annotated[
    str,
    typer.Option(
        help="Field of the confidence; a dot leads into an object, as in confidence.p_true; fields with commas are combined."
    ),
]
Risk = Annotated[float, typer.Option(help="Guarantee at most this error rate among the answers, above 0 and below 1.")]
Delta = Annotated[float, typer.Option(help="Probability that the guarantee fails, above 0 and below 1.")]
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
    bins: Annotated[int, typer.Option(min=1, help="Number of equal-width bins of the calibration error.")] = 15,
    column: Column = "confidence",
    seed: Seed = 0,
    json_: Json = None,
) -> None:
    """Measure calibration before and after every recalibrator, on held-out rows."""
    from calibration import Calibrator
    from calibration.report.report import N_STEPS, calibration_report
    from halluc.files import check_output_path
    from halluc.page_template import PAGE_MARKER
    from retrieval.progress import progress_bar

    Calibrator(risk, delta, seed=seed).check_parameters()
    if html is not None:
        check_output_path(html, replaces=PAGE_MARKER)
    rows = read_confidence_rows(results, ("confidence", "correct"), column=column)
    with _notices(), progress_bar("measuring", N_STEPS + (rows.groups is not None)) as advance:
        measured = calibration_report(
            rows.confidence,
            rows.correct,
            groups=rows.groups,
            risk=risk,
            delta=delta,
            n_bins=bins,
            source="+".join(name.strip().rpartition(".")[2] for name in column.split(",")),
            seed=seed,
            progress=advance,
        )
    if html is not None:
        from calibration.report.page import write_report

        with working("drawing"):
            write_report(measured, html, title=f"Calibration of {results.name}")
    if wants_json(json_):
        print_json({**measured.to_dict(), **({"html": str(html)} if html is not None else {})})
        return
    _show_report(measured)
    if html is not None:
        console().print(f"page written to {html}")


@app.command("fit")
def fit(
    results: Results,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the calibrator, as JSON.")],
    recalibrator: Annotated[
        RecalibratorName, typer.Option(help="Recalibrator to fit; auto chooses by nested cross-validation.")
    ] = "auto",
    risk: Risk = 0.1,
    delta: Delta = 0.05,
    source: Annotated[
        str,
        typer.Option(
            help="What the confidence is, e.g. length_normalized_likelihood; 'halluc ask --calibrator' computes the same."
        ),
    ] = "",
    column: Column = "confidence",
    seed: Seed = 0,
    json_: Json = None,
) -> None:
    """Fit a recalibrator and an abstention threshold, and save both.

    Both use all rows, unless the recalibrator may reverse the order of rows (histogram, bayesian-binning): then each uses
    half.
    """
    from calibration import Calibrator

    calibrator = Calibrator(risk, delta, recalibrator=recalibrator, source=source, seed=seed)
    calibrator.check_parameters()
    _check_out(out, _is_calibrator, "calibrator", results)
    rows = read_confidence_rows(results, ("confidence", "correct"), column=column)
    with _notices(), working("fitting"):
        calibrator.fit(rows.confidence, rows.correct)
    calibrator.save(out)
    if wants_json(json_):
        rule = calibrator.rule_
        facts = {
            "out": str(out),
            "rows": len(rows.rows),
            "fit_rows": calibrator.fit_count_,
            "threshold_rows": rule.count_,
            "recalibrator": calibrator.chosen_,
            "cross_validation": {"scores": calibrator.scores_, "held_out": calibrator.held_out_},
            "raw_threshold": rule.threshold if rule.feasible and calibrator.on_raw_ else None,
            "threshold": calibrator.threshold if rule.feasible else None,
            "coverage": rule.coverage,
            "reason": rule.reason_,
        }
        print_json(facts)
        return
    _show_calibrator(calibrator, out)


@app.command("apply")
def apply(
    rows_file: Annotated[
        Path, typer.Argument(metavar="ROWS", help="JSON lines or CSV with confidence; - for standard input.")
    ],
    calibrator: Annotated[
        Path, typer.Option("--calibrator", "-c", help="The calibrator that 'halluc calibration fit' wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write the rows as JSON lines; standard output by default.")
    ] = None,
    column: Column = "confidence",
) -> None:
    """Add calibrated_confidence and answer (is it above the threshold?) to every row; all other fields are kept.

    A file with a recalibrator alone has no threshold, so no answer is added.
    """
    import calibration
    from halluc.errors import InvalidInput
    from halluc.files import write_text

    if out is not None and rows_file.suffix.lower() == ".csv" and out.suffix.lower() == ".csv":
        raise InvalidInput(f"{out} would hold JSON lines; name a file that ends in .jsonl")
    in_place = out is not None and out.exists() and rows_file.exists() and out.samefile(rows_file)
    if out is not None and not in_place:
        _check_out(out, _is_applied, "file of 'halluc calibration apply'", calibrator)
    saved = calibration.load(calibrator)
    if not isinstance(saved, (calibration.Calibrator, calibration.Recalibrator)):
        raise InvalidInput(f"{calibrator} holds a {type(saved).__name__}; pass a file of 'halluc calibration fit'")
    read = read_confidence_rows(rows_file, ("confidence",), column=column)
    rows, raw = read.rows, read.confidence
    for row, value in zip(rows, saved.transform(raw).tolist(), strict=True):
        row["calibrated_confidence"] = value
    if isinstance(saved, calibration.Calibrator):
        for row, above in zip(rows, saved.answer(raw).tolist(), strict=True):
            row["answer"] = above
    if out is None:
        print_json_lines(rows)
    else:
        write_text(out, "".join(to_json(row) + "\n" for row in rows))


@app.command("check")
def check(
    calibrator: Annotated[Path, typer.Argument(help="The calibrator that 'halluc calibration fit' wrote.")],
    results: Results,
    significance: Annotated[
        float, typer.Option(help="Probability of a false alarm, above 0 and below 1; the tests may be repeated at any time.")
    ] = 0.05,
    column: Column = "confidence",
    json_: Json = None,
) -> None:
    """Test on new rows, in order of arrival, whether a calibrator still keeps its guarantee; end with code 1 if it does not.

    Also tests whether its confidence is still calibrated, and whether the raw confidence has drifted.
    """
    import calibration
    from halluc.errors import InvalidInput

    saved = calibration.load(calibrator)
    if not isinstance(saved, calibration.Calibrator):
        raise InvalidInput(f"{calibrator} holds a {type(saved).__name__}; pass a file of 'halluc calibration fit'")
    monitor = calibration.GuaranteeMonitor(saved, significance=significance)
    rows = read_confidence_rows(results, ("confidence", "correct"), column=column)
    result = monitor.update(rows.confidence, rows.correct).compute()
    if wants_json(json_):
        print_json(result.to_dict())
    else:
        _show_check(result)
    if not result.held:
        raise typer.Exit(1)


def _check_out(path: Path, is_ours: Callable[[Path], bool], kind: str, source: Path) -> None:
    """Check before the work that a file can be written, and that it replaces nothing but an older result of this command."""
    from halluc.errors import InvalidInput
    from halluc.files import check_output_path

    check_output_path(path)
    if not path.exists():
        return
    if source.exists() and path.samefile(source):
        raise InvalidInput(f"{path} is also the input; name another file to write")
    if path.stat().st_size and not is_ours(path):
        raise InvalidInput(f"{path} exists and is not a {kind}; name another file, or remove it first")


def _is_calibrator(path: Path) -> bool:
    import calibration

    try:
        calibration.load(path)
    except calibration.UnreadableFile:
        return False
    return True


def _is_applied(path: Path) -> bool:
    from halluc.errors import InvalidInput
    from halluc.files import read_rows

    try:
        return all("calibrated_confidence" in row for _, row in read_rows(path))
    except InvalidInput:
        return False


@contextmanager
def _notices() -> Iterator[None]:
    """Print warnings of calibration as one line each on standard error."""
    from calibration import NoThresholdWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoThresholdWarning)
        yield
    for warning in caught:
        print_notice(warning.message)


def _show_report(measured: CalibrationReport) -> None:
    from rich.table import Table

    from calibration.estimate import percent

    out = console()
    title = (
        f"{measured.report_count} held-out rows of {measured.count}, {measured.before.accuracy:.1%} right; "
        "errors with 95% intervals"
    )
    table = Table("recalibrator", "ECE", "smooth ECE", "Brier", "log loss", "AUROC", title=title)
    for row in (*measured.sources, measured.before, *measured.after):
        raw = "combined" if measured.sources else "none (raw)"
        name = raw if row is measured.before else f"{row.name} alone" if row in measured.sources else row.name
        chosen = row.name == measured.chosen or (row is measured.before and measured.chosen == "identity")
        ece = f"{row.ece:.3f} [{row.ece.low:.3f}, {row.ece.high:.3f}]"
        auroc = "–" if row.auroc is None else f"{row.auroc:.3f}"
        smooth = f"{row.smooth_ece:.3f} [{row.smooth_ece.low:.3f}, {row.smooth_ece.high:.3f}]"
        numbers = (smooth, f"{row.brier:.3f}", f"{row.nll:.3f}", auroc)
        table.add_row(f"{name} *" if chosen else name, ece, *numbers, style="bold" if chosen else None)
    out.print(table)
    out.print("* chosen by nested cross-validation on the other rows", style="dim")
    if measured.groups:
        by_group = Table("group", "n", "accuracy", "confidence", "ECE before", "ECE after", "answered", "errors")
        for group in measured.groups:
            values = (group.before.accuracy, group.before.mean_confidence, group.before.ece, group.after.ece)
            above = group.threshold_result
            errors = "–" if above.risk is None else f"{above.risk:.1%}{'' if above.held else ' (too many)'}"
            shares = (f"{above.coverage:.1%}", errors)
            by_group.add_row(group.group, str(group.before.count), *(f"{value:.3f}" for value in values), *shares)
        out.print(by_group)
    alone = [f"{row.name} alone" for row in measured.sources]
    columns = ("guaranteed risk", "answer at and above", "coverage", "errors", *alone)
    frontier = Table(*columns, title="which risks can be guaranteed" + (" (at which coverage)" if alone else ""))
    for number, point in enumerate(measured.frontier):
        errors = "–" if point.errors is None else f"{point.errors:.1%}"
        threshold = "no threshold" if point.errors is None else f"{point.threshold:.4g}"
        others = (f"{points[number].coverage:.1%}" for points in measured.source_frontiers)
        frontier.add_row(percent(point.guaranteed_risk), threshold, f"{point.coverage:.1%}", errors, *others)
    out.print(frontier)
    result = measured.threshold_result
    out.print(result.reason)
    if result.risk is not None:
        out.print(
            f"of {measured.report_count} held-out rows, {result.answered} are answered and {result.wrong} of these are "
            f"wrong ({result.risk:.1%}): {'compatible with' if result.held else 'too many for'} the guaranteed risk of "
            f"{percent(result.guaranteed_risk)} (p = {result.p_value:.2g})"
        )


def _show_check(result: MonitorResult) -> None:
    from calibration.estimate import percent

    out = console()
    guaranteed = percent(result.guaranteed_risk)
    if result.risk is None:
        out.print(f"none of {result.count} rows is answered, so the guaranteed risk of {guaranteed} is kept")
    else:
        out.print(
            f"{result.answered} of {result.count} rows are answered and {result.wrong} of these are wrong: "
            f"{result.risk:.1%} [{result.risk.low:.1%}, {result.risk.high:.1%}]"
        )
        verdict = "compatible with" if result.held else "too many for"
        out.print(f"guarantee: {verdict} the guaranteed risk of {guaranteed} (p = {result.guarantee_p_value:.2g})")
    calibrated = "compatible with calibrated confidence" if result.calibrated else "no longer calibrated"
    out.print(f"calibration: {calibrated} (p = {result.calibration_p_value:.2g})")
    drift = "distributed otherwise than in the fit" if result.drifted else "distributed as in the fit"
    out.print(f"raw confidence: {drift} (p = {result.drift_p_value:.2g})")


def _show_calibrator(calibrator: Calibrator, out: Path) -> None:
    terminal = console()
    terminal.print(f"{calibrator.chosen_} fitted on {calibrator.fit_count_} rows, saved in {out}")
    if calibrator.held_out_:
        before, after = calibrator.held_out_["ece_before"], calibrator.held_out_["ece_after"]
        terminal.print(f"ECE in nested cross-validation: {before:.3f} before, {after:.3f} after")
    rule = calibrator.rule_
    if rule.feasible:
        terminal.print(
            f"answer at and above {calibrator.threshold:.4g} ({rule.coverage:.0%} of {rule.count_} rows): {rule.reason_}"
        )
