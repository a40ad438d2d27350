"""Calibration of real answers: recorded ones, and a model's own alone on NQ-open and grounded on XQuAD.

For each set and each requested confidence source, prints one JSON line per figure, all measured on held-out rows: how many
answers are right; ECE before and after every recalibrator, with n and interval; which risks can be guaranteed at which
coverage (the frontier); and the guaranteed risk, the measured risk and the coverage of the threshold. Where right answers
are rare there may be no threshold with the guarantee; the line says so.

`correct` means that the text contains a reference as whole words. The threshold is also tested on many random splits
("guarantee over splits"), since a guarantee with probability 1 - delta may fail on one split. Recorded answers come first
(examples/record_answers.py writes such files), with each source and with all of them combined. --questions 0 asks the model
nothing.

    python benchmarks/calibration_answers.py --data FOLDER        # the folder that holds nq_open/ and xquad/
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import warnings
from pathlib import Path

from figures import read_rows

# Another script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

_RECORDED = Path(__file__).parent.parent / "examples" / "xquad" / "answers.jsonl"
_SHORT = "Answer with a few words, no sentence: {}"


def main() -> None:
    from halluc.confidence import SOURCES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with nq_open/rows.jsonl and xquad/")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=300, help="questions of each set, drawn with the seed")
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--risk", type=float, nargs=2, default=[0.9, 0.4], help="guaranteed on NQ-open and on XQuAD")
    parser.add_argument("--recorded", type=Path, default=_RECORDED, help="recorded answers with several sources")
    parser.add_argument("--recorded-risk", type=float, nargs="+", default=[0.2, 0.5], help="guaranteed on recorded answers")
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--splits", type=int, default=100, help="random splits on which the guarantee is tested")
    parser.add_argument("--skip", type=int, default=0, help="questions of the draw to skip first")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    from calibration import NoThresholdWarning, calibration_report
    from halluc import GroundedModel, calibrate, load_model, load_verifier
    from retrieval import PassageIndex, load_documents, split_documents

    warnings.simplefilter("ignore", NoThresholdWarning)
    for source, confidence, correct in _recorded(arguments.recorded):
        name, delta = arguments.recorded.stem, arguments.delta
        report = calibration_report(
            confidence, correct, risk=arguments.recorded_risk[0], delta=delta, source=source, seed=arguments.seed
        )
        _show_report(name, source, len(correct), correct, report)
        for risk in arguments.recorded_risk:
            _show_ranking(name, source, confidence, correct, risk)
            _show_splits(name, source, confidence, correct, risk, delta, arguments.splits)
    if not arguments.questions:
        return
    lm = load_model(arguments.model)
    _ask_once(lm)
    nq = [
        {"question": row["question"], "references": row["answer"]}
        for row in read_rows(arguments.data / "nq_open" / "rows.jsonl")
    ]
    xquad = [
        {"question": row["question"], "references": row["answers"]}
        for row in read_rows(arguments.data / "xquad" / "questions.jsonl")
    ]
    with tempfile.TemporaryDirectory() as folder:
        index = PassageIndex.create(Path(folder) / "xquad.index")
        index.add(split_documents(load_documents(arguments.data / "xquad" / "passages.jsonl")))
        sets = (
            ("nq_open alone", lm, nq, {"prompt": _SHORT.format, "max_new_tokens": 16}),
            ("xquad grounded", GroundedModel(lm, index, verifier=load_verifier(), max_new_tokens=24), xquad, {}),
        )
        for (name, model, rows, options), risk in zip(sets, arguments.risk, strict=True):
            random.Random(arguments.seed).shuffle(rows)
            rows = rows[arguments.skip :][: arguments.questions]
            for source in arguments.sources:
                if source == "verifier_support" and model is lm:
                    continue  # There is no evidence.
                calibration = calibrate(
                    model, rows, source=source, risk=risk, delta=arguments.delta, seed=arguments.seed, **options
                )
                _show_report(name, source, len(rows), calibration.correct, calibration.report)
                _show_splits(
                    name, source, calibration.confidence, calibration.correct, risk, arguments.delta, arguments.splits
                )


def _recorded(path):
    """(source, confidence, correct) of recorded answers, the last time with all sources, (N, S)."""
    import numpy as np

    rows = read_rows(path)
    for source in rows[0]["confidence"]:
        yield source, np.array([row["confidence"][source] for row in rows]), np.array([row["correct"] for row in rows])
    matrix = np.array([list(row["confidence"].values()) for row in rows])
    yield "+".join(rows[0]["confidence"]), matrix, np.array([row["correct"] for row in rows])


def _ask_once(lm) -> None:
    """Cache the model's answers, which all sources of confidence share."""
    generate, cache = lm.generate, {}

    def cached(prompts, **options):
        key = repr((prompts, options))
        if key not in cache:
            cache[key] = generate(prompts, **options)
        return cache[key]

    lm.generate = cached


def _show_report(name, source, questions, correct, report) -> None:
    _show("answers", set=name, asked=questions, answered=len(correct), right=int(correct.sum()))
    for when, row in (("before", report.before), *((row.name, row) for row in report.after)):
        chosen = {"chosen": True} if row.name == report.chosen or (when == "before" and report.chosen == "identity") else {}
        ece = {"ece": row.ece, "interval": [row.ece.low, row.ece.high], "smooth_ece": row.smooth_ece, "brier": row.brier}
        _show("calibration", set=name, source=source, recalibrator=when, n=row.count, **ece,
              auroc=row.auroc, **chosen)  # fmt: skip
    for point in report.frontier:
        _show("frontier", set=name, source=source, guaranteed_risk=point.guaranteed_risk, delta=report.calibrator.delta,
              coverage=point.coverage, errors=point.errors)  # fmt: skip
    result = report.threshold_result
    _show("guarantee", set=name, source=source, guaranteed_risk=result.guaranteed_risk, delta=result.delta,
          n=report.report_count, answered=result.answered, wrong=result.wrong, risk=result.risk, held=result.held,
          reason=result.reason)  # fmt: skip


def _show_ranking(name, source, confidence, correct, risk) -> None:
    """How well a source, or several that are combined by cross-fitting, rank answers."""
    import numpy as np

    from calibration import SourceCombination, auroc, coverage_at_risk, negative_log_likelihood
    from calibration.combination import cross_combined

    draws = [confidence]
    if confidence.ndim == 2:
        draws = [cross_combined(SourceCombination(), confidence, correct, seed=seed) for seed in range(5)]
    area, coverage, loss = np.mean(
        [(auroc(p, correct), coverage_at_risk(p, correct, risk), negative_log_likelihood(p, correct)) for p in draws], axis=0
    )
    interval = auroc(draws[0], correct, interval=0.95)
    _show("ranking", set=name, source=source, n=len(correct), auroc=area, interval=[interval.low, interval.high],
          risk=risk, coverage_at_risk=coverage, log_loss=loss)  # fmt: skip


def _show_splits(name, source, confidence, correct, risk, delta, splits) -> None:
    """How often the guarantee fails over random splits of the same answers, measured on the held-out part of each."""
    from calibration import Calibrator, split_rows

    failed, answered, found = 0, 0.0, 0
    for seed in range(splits):
        used, held_out = split_rows(len(correct), (0.7, 0.3), seed=seed)
        # A fixed recalibrator, because cross-validation on a hundred splits would take too long.
        calibrator = Calibrator(risk, delta, recalibrator="platt", seed=seed)
        calibrator.fit(confidence[used], correct[used])
        above = calibrator.answer(confidence[held_out])
        found += calibrator.rule_.feasible
        answered += float(above.mean())
        # The held-out rows are a sample too: if the true risk equals the guaranteed one, their error rate is above it half
        # of the time. So a split counts as failed if its rows reject the guarantee at the 5 % level.
        failed += _rejects(int((above & ~correct[held_out]).sum()), int(above.sum()), risk)
    _show("guarantee over splits", set=name, source=source, n=len(correct), splits=splits, guaranteed_risk=risk, delta=delta,
          threshold_found=found / splits, coverage=answered / splits, failed=failed / splits)  # fmt: skip


def _rejects(wrong: int, answered: int, risk: float) -> bool:
    from scipy.stats import binomtest

    return answered > 0 and binomtest(wrong, answered, risk, alternative="greater").pvalue < 0.05


def _show(figure: str, **values) -> None:
    def rounded(value):
        if isinstance(value, list):
            return [rounded(part) for part in value]
        return round(float(value), 4) if isinstance(value, float) else value

    print(json.dumps({"figure": figure, **{name: rounded(value) for name, value in values.items()}}), flush=True)


if __name__ == "__main__":
    main()
