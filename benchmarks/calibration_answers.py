"""Calibration of real answers: SmolLM2 alone on NQ-open and grounded on XQuAD.

For each of the two, and each confidence source asked for, prints one JSON line a figure, all on rows that nothing was
fitted on: how many answers are right; ECE before and after every recalibrator with n and interval; and of the promise the
risk promised, risk found and coverage. Where right answers are rare no threshold may be promised, and the line says so.

`correct` means that an accepted answer stands in the text as whole words. The threshold is also tried on many random splits
("promise over splits"): a promise with probability 1 - delta may fail on one split. First come the 579 answers that
examples/xquad/answers.jsonl keeps, enough of them for a threshold to be found; --questions 0 asks nothing more.

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

# A script beside this one has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

_SHORT = "Answer with a few words, no sentence: {}"


def main() -> None:
    from halluc.confidence import SOURCES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with nq_open/rows.jsonl and xquad/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--questions", type=int, default=300, help="questions of each set, drawn with the seed")
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--risk", type=float, nargs=2, default=[0.9, 0.4], help="promised on NQ-open and on XQuAD")
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--splits", type=int, default=100, help="random splits on which the promise is tried again")
    parser.add_argument("--skip", type=int, default=0, help="questions of the draw to leave out first")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    from calibration import NoThresholdWarning
    from halluc import GroundedModel, calibrate, load_model, load_verifier
    from retrieval import PassageIndex, load_documents, split_documents

    warnings.simplefilter("ignore", NoThresholdWarning)
    for source, confidence, correct in _recorded():
        _show_splits("xquad recorded", source, confidence, correct, 0.5, arguments.delta, arguments.splits)
    if not arguments.questions:
        return
    lm = load_model(arguments.model)
    _ask_once(lm)
    nq = [
        {"question": row["question"], "answers": row["answer"]}
        for row in read_rows(arguments.data / "nq_open" / "rows.jsonl")
    ]
    xquad = read_rows(arguments.data / "xquad" / "questions.jsonl")
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
                    continue  # nothing to hold an answer against
                made = calibrate(
                    model, rows, source=source, risk=risk, delta=arguments.delta, seed=arguments.seed, **options
                )
                _show_report(name, source, len(rows), made)
                _show_splits(name, source, made.confidence, made.correct, risk, arguments.delta, arguments.splits)


def _recorded():
    """(source, confidence, correct) of the answers kept in examples/."""
    import numpy as np

    rows = read_rows(Path(__file__).parent.parent / "examples" / "xquad" / "answers.jsonl")
    for source in rows[0]["confidence"]:
        yield source, np.array([row["confidence"][source] for row in rows]), np.array([row["correct"] for row in rows])


def _ask_once(lm) -> None:
    """Let the model remember its answers, which all sources of confidence share."""
    generate, known = lm.generate, {}

    def remembered(prompts, **options):
        asked = repr((prompts, options))
        if asked not in known:
            known[asked] = generate(prompts, **options)
        return known[asked]

    lm.generate = remembered


def _show_report(name, source, asked, made) -> None:
    report = made.report
    _show("answers", set=name, asked=asked, answered=len(made.correct), right=int(made.correct.sum()))
    for when, row in (("before", report.before), *((row.name, row) for row in report.after)):
        chosen = {"chosen": True} if row.name == report.chosen or (when == "before" and report.chosen == "identity") else {}
        ece = {"ece": row.ece, "interval": [row.ece.low, row.ece.high], "smooth_ece": row.smooth_ece, "brier": row.brier}
        _show("calibration", set=name, source=source, recalibrator=when, n=row.count, **ece,
              auroc=row.auroc, **chosen)  # fmt: skip
    at = report.operation
    _show("promise", set=name, source=source, risk_promised=at.promised_risk, delta=at.delta, n=report.report_count,
          answered=at.answered, wrong=at.wrong, risk=at.risk, held=at.held, reason=at.reason)  # fmt: skip


def _show_splits(name, source, confidence, correct, risk, delta, splits) -> None:
    """How often the promise fails when the same answers are split anew: a risk above the one promised on the rows apart."""
    from calibration import Calibrator, split_rows

    broken, answered, promised = 0, 0.0, 0
    for seed in range(splits):
        used, apart = split_rows(len(correct), (0.7, 0.3), seed=seed)
        # One recalibrator, so that a hundred splits do not cost a hundred choices.
        calibrator = Calibrator(risk, delta, recalibrator="platt", seed=seed)
        calibrator.fit(confidence[used], correct[used])
        given = calibrator.answer(confidence[apart])
        promised += calibrator.rule_.feasible
        answered += float(given.mean())
        # What is left of the rows is a sample too: its error rate is above the true risk half of the time where the risk
        # is used up, so a broken split is one whose rows speak against the promise at the level of 5 %.
        broken += _speaks_against(int((given & ~correct[apart]).sum()), int(given.sum()), risk)
    _show("promise over splits", set=name, source=source, n=len(correct), splits=splits, risk_promised=risk, delta=delta,
          threshold_found=promised / splits, coverage=answered / splits, broken=broken / splits)  # fmt: skip


def _speaks_against(wrong: int, answered: int, risk: float) -> bool:
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
