"""Verifiers on validation rows: by data set, on whole answers of RAGTruth, and beside baselines.

Prints one JSON line per data set and verifier: n, balanced accuracy at 0.5, what it loses against the best threshold for the
set, AUROC, expected calibration error (10 bins) and, if the data has three labels, accuracy over them; then the means over
data sets, in which those at the level of documents count twice; then, for RAGTruth's answers as `halluc.check` judges them,
F1 of finding answers with hallucinations (with its 95 % bootstrap interval), AUROC of the least support of a claim, and F1
of the characters of spans, by task. Validation rows are from documents held out from training and calibration. Baselines:
cosine similarity of embeddings and ROUGE-L precision (each calibrated by Platt scaling on the same calibration rows), and
`LMVerifier` with the default model, on `--lm-rows` rows per data set because it is slow.

Small cases and speed are in benchmarks/verifier_cases.py.

    python benchmarks/verifier.py --data DATA --verifier large
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from figures import read_rows, show

# A script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

LABELS = ("supported", "refuted", "not_enough_info")
DOCUMENT_LEVEL = ("ragtruth", "wice", "lfqa", "expertqa", "summedits", "bump")
# Not measured: sets whose claims are all of one label, made for this project, or measured in verifier_cases.py.
LEFT_OUT = (
    "wice_tokens",
    "ragtruth_edits",
    "synthetic",
    "made_facts",
    "business_records",
    "unrelated_claims",
    "xquad",
)
Pairs = Sequence[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--verifier", default="default", help="a name that halluc.load_verifier takes")
    parser.add_argument("--sources", nargs="*", default=None, help="data sets; all by default")
    parser.add_argument("--rows", type=int, default=400, help="most validation rows per data set")
    parser.add_argument("--baselines", action="store_true", help="measure the baselines too")
    parser.add_argument("--lm-rows", type=int, default=0, help="rows per data set for LMVerifier; 0 for none")
    parser.add_argument("--no-answers", action="store_true", help="leave out the answers of RAGTruth")
    arguments = parser.parse_args()

    import halluc
    from training.verifier.data_sets import SOURCES, read_pairs

    sources = arguments.sources or [source for source in SOURCES if source not in LEFT_OUT]
    pairs = read_pairs(arguments.data, sources, seed=0)
    random.Random(0).shuffle(pairs)
    validation = [pair for source in sources for pair in _of(pairs, source, "validation")[: arguments.rows]]
    verifier = halluc.load_verifier(arguments.verifier)
    table = verifier.probabilities(_texts(validation))
    _show_quality(verifier.name, validation, table[:, 0], sources, table)
    if arguments.baselines:
        calibration = [pair for source in sources for pair in _of(pairs, source, "calibration")[:150]]
        for name, score in (("embedding cosine", _cosine), ("ROUGE-L precision", _rouge_l_precision)):
            _show_quality(name, validation, _calibrated(score, calibration, validation), sources)
    if arguments.lm_rows:
        few = [pair for source in sources for pair in _of(validation, source, "validation")[: arguments.lm_rows]]
        _show_quality("LMVerifier", few, halluc.load_verifier("lm").support(_texts(few)), sources)
    if not arguments.no_answers:
        _show_answers(verifier, arguments.data)


def _show_answers(verifier, data: Path) -> None:
    """RAGTruth's answers to held-out contexts, judged claim by claim."""
    import halluc
    from calibration import auroc
    from training.verifier.pairs import ClaimSpan, part_of
    from training.verifier.thresholds import span_f1

    rows = [row for row in read_rows(data / "ragtruth" / "responses.jsonl") if part_of(row["context"]) != "train"]
    # Calibration documents decided the threshold of spans, so they are shown apart.
    for part in ("calibration", "validation"):
        chosen = [row for row in rows if part_of(row["context"]) == part]
        reports = halluc.check_many(
            [row["response"] for row in chosen], contexts=[row["context"] for row in chosen], verifier=verifier
        )
        for task in ("all", "qa", "summary", "data2txt"):
            numbers = [i for i, row in enumerate(chosen) if task in ("all", row["task"])]
            truth = np.array([bool(chosen[i]["spans"]) for i in numbers])
            flagged = np.array([bool(reports[i].unsupported) for i in numbers])
            least = np.array([min((v.support for v in reports[i].verdicts), default=1.0) for i in numbers])
            worst = np.array([max((s.probability for s in reports[i].unsupported), default=0.0) for i in numbers])
            marked = [[ClaimSpan(span["start"], span["end"]) for span in chosen[i]["spans"]] for i in numbers]
            found = [reports[i].unsupported for i in numbers]
            show(
                f"ragtruth answers, {part}, {task}",
                verifier=verifier.name,
                n=len(numbers),
                hallucinated=float(truth.mean()),
                flagged=float(flagged.mean()),
                example_f1=_f1(truth, flagged),
                interval=_bootstrap(truth, flagged),
                f1_if_all_were_flagged=_f1(truth, np.ones_like(truth)),
                auroc_of_least_support=float(auroc(1 - least, truth)),
                auroc_of_spans=float(auroc(worst, truth)),
                span_f1=span_f1(marked, found),
                # Spans on answers in which annotators marked nothing.
                false_alarms=float(flagged[~truth].mean()),
            )


def _f1(truth: np.ndarray, flagged: np.ndarray) -> float:
    return float(2 * (truth & flagged).sum() / max(1, truth.sum() + flagged.sum()))


def _bootstrap(truth: np.ndarray, flagged: np.ndarray, draws: int = 1000) -> list[float]:
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(draws):
        rows = generator.integers(len(truth), size=len(truth))
        scores.append(_f1(truth[rows], flagged[rows]))
    return [float(value) for value in np.quantile(scores, [0.025, 0.975])]


def _show_quality(name: str, rows, support: np.ndarray, sources: Sequence[str], table: np.ndarray | None = None) -> None:
    from calibration import auroc, expected_calibration_error

    means, weights = [], []
    for source in sources:
        selected = np.array([row.source == source for row in rows])
        if not selected.any():
            continue
        truth = np.array([row.label == "supported" for row in rows])[selected]
        value = support[selected]
        if truth.all() or not truth.any():
            continue
        accuracy = _balanced_accuracy(value, truth, 0.5)
        best = max(_balanced_accuracy(value, truth, threshold) for threshold in np.unique(value))
        figures = {
            "balanced_accuracy": accuracy,
            "loss_to_best_threshold": best - accuracy,
            "auroc": float(auroc(value, truth)),
            "ece": float(expected_calibration_error(value, truth, n_bins=10)),
        }
        means.append(list(figures.values()))
        weights.append(2 if source in DOCUMENT_LEVEL else 1)
        if table is not None:
            chosen = [row for row, is_selected in zip(rows, selected, strict=True) if is_selected]
            labeled = [row.label in LABELS for row in chosen]
            labels = np.array([LABELS.index(row.label) for row in chosen if row.label in LABELS])
            if len(set(labels.tolist())) == 3:
                figures["accuracy_of_three"] = float((table[selected][labeled].argmax(1) == labels).mean())
        show(source, verifier=name, n=int(selected.sum()), supported=float(truth.mean()), **figures)
    names = ("balanced_accuracy", "loss_to_best_threshold", "auroc", "ece")
    for title, chosen in (("mean", weights), ("mean of documents", [weight - 1 for weight in weights])):
        if any(chosen):
            mean = np.average(means, axis=0, weights=chosen)
            show(title, verifier=name, data_sets=int(np.count_nonzero(chosen)), **dict(zip(names, mean, strict=True)))


def _balanced_accuracy(support: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    return float(((support[truth] >= threshold).mean() + (support[~truth] < threshold).mean()) / 2)


def _calibrated(score: Callable[[Pairs], np.ndarray], calibration, validation) -> np.ndarray:
    from calibration import PlattScaling
    from training.verifier.thresholds import even_weights

    fitted = PlattScaling().fit(
        score(_texts(calibration)), [row.label == "supported" for row in calibration], even_weights(calibration)
    )
    return fitted.transform(score(_texts(validation)))


def _cosine(pairs: Pairs) -> np.ndarray:
    from retrieval import load_embedder

    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, load_embedder().encode(texts), strict=True))
    return np.clip([vectors[evidence] @ vectors[claim] for evidence, claim in pairs], 0, 1)


def _rouge_l_precision(pairs: Pairs) -> np.ndarray:
    """Length of the longest common subsequence of words, divided by the number of words in the claim."""
    scores = []
    for evidence, claim in pairs:
        evidence_words, claim_words = evidence.lower().split(), claim.lower().split()
        row = np.zeros(len(evidence_words) + 1, int)
        for word in claim_words:
            match = np.array([other == word for other in evidence_words], int)
            row[1:] = np.maximum.accumulate(np.maximum(row[1:], row[:-1] + match))
        scores.append(row[-1] / len(claim_words))
    return np.array(scores)


def _of(pairs, source: str, part: str) -> list:
    return [pair for pair in pairs if pair.source == source and pair.part == part]


def _texts(pairs) -> list[tuple[str, str]]:
    return [(pair.evidence, pair.claim) for pair in pairs]


if __name__ == "__main__":
    main()
