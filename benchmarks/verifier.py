"""The verifier compared with baselines on validation rows, and its speed compared with a plain loop over the raw library.

Prints one JSON line per data set and verifier: n, balanced accuracy at 0.5, AUROC, expected calibration error (10 bins) and,
if the data has three labels, accuracy over them; then the means over data sets; then the ratio of wall times. Validation
rows are from held-out documents, in neither the training nor the calibration part. Baselines: cosine similarity of
embeddings and ROUGE-L precision (each calibrated by Platt scaling on the same calibration rows as the verifier), and
`LMVerifier` with the default model, on `--lm-rows` rows per data set because it is slow.

    python benchmarks/verifier.py --data DATA
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from figures import show

# A script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

LABELS = ("supported", "refuted", "not_enough_info")
Pairs = Sequence[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--verifier", default="default", help="a name that halluc.load_verifier takes")
    parser.add_argument("--sources", nargs="*", default=None, help="data sets; all by default")
    parser.add_argument("--rows", type=int, default=600, help="most validation rows per data set")
    parser.add_argument("--lm-rows", type=int, default=40, help="rows per data set for LMVerifier; 0 for none")
    parser.add_argument("--speed-pairs", type=int, default=5000, help="pairs of the speed measurement; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the speed measurement")
    arguments = parser.parse_args()

    import halluc
    from training.verifier.data import SOURCES, read_pairs

    sources = arguments.sources or list(SOURCES)
    pairs = read_pairs(arguments.data, sources, seed=0)
    random.Random(0).shuffle(pairs)
    validation = [pair for source in sources for pair in _of(pairs, source, "validation")[: arguments.rows]]
    calibration = [pair for source in sources for pair in _of(pairs, source, "calibration")[:150]]
    verifier = halluc.load_verifier(arguments.verifier)
    table = verifier.probabilities(_texts(validation))
    _show_quality(verifier.name, validation, table[:, 0], sources, table)
    for name, score in (("embedding cosine", _cosine), ("ROUGE-L precision", _rouge_l_precision)):
        _show_quality(name, validation, _calibrated(score, calibration, validation), sources)
    if arguments.lm_rows:
        few = [pair for source in sources for pair in _of(validation, source, "validation")[: arguments.lm_rows]]
        _show_quality("LMVerifier", few, halluc.load_verifier("lm").support(_texts(few)), sources)
    if arguments.speed_pairs:
        mixed = _texts([pair for pair in pairs if pair.part != "train"])[: arguments.speed_pairs]
        _speed(verifier, mixed, arguments.rounds)


def _speed(verifier, pairs: Pairs, rounds: int) -> None:
    """`support` compared with `CrossEncoder.predict` on batches of 32 with the same weights in float32, alternating."""
    import tempfile

    from sentence_transformers import CrossEncoder

    from halluc.verification import _PACKAGED
    from halluc.verification.weights import read_weights

    with tempfile.TemporaryDirectory() as folder:
        # Save the packaged verifier as a folder that sentence-transformers reads.
        trained = read_weights(_PACKAGED)
        trained.model.save_pretrained(folder)
        trained.tokenizer.save_pretrained(folder)
        peer = CrossEncoder(folder, num_labels=3, device="cpu", max_length=512)
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        raw = np.concatenate([peer.predict(pairs[i : i + 32], batch_size=32) for i in range(0, len(pairs), 32)])
        raw_seconds = time.perf_counter() - start
        start = time.perf_counter()
        ours = verifier.support(pairs)
        seconds = time.perf_counter() - start
        ratios.append(raw_seconds / seconds)
    exponents = np.exp(raw - raw.max(1, keepdims=True))
    theirs = trained.calibrator.transform(exponents[:, 0] / exponents.sum(1))
    agreement = float(((ours >= 0.5) == (theirs >= 0.5)).mean())
    # Evidence longer than a unit is read in windows by halluc, and as a whole, up to 512 tokens, by the library.
    short = [length <= verifier.max_tokens for length in verifier._lengths([evidence for evidence, _ in pairs])]
    agreement_short = float(((ours >= 0.5) == (theirs >= 0.5))[short].mean())
    show("speed", pairs=len(pairs), distinct=len(set(pairs)), seconds=seconds, pairs_per_second=len(pairs) / seconds,
          ratio=median(ratios), bar=2.0, agreement=agreement, single_units=sum(short),
          agreement_on_single_units=agreement_short, rounds=rounds)  # fmt: skip


def _show_quality(name: str, rows, support: np.ndarray, sources: Sequence[str], table: np.ndarray | None = None) -> None:
    from calibration import auroc, expected_calibration_error

    means = []
    for source in sources:
        selected = np.array([row.source == source for row in rows])
        if not selected.any():
            continue
        truth = np.array([row.label == "supported" for row in rows])[selected]
        value = support[selected]
        if truth.all() or not truth.any():
            continue
        figures = {
            "balanced_accuracy": float(((value[truth] >= 0.5).mean() + (value[~truth] < 0.5).mean()) / 2),
            "auroc": float(auroc(value, truth)),
            "ece": float(expected_calibration_error(value, truth, n_bins=10)),
        }
        means.append(list(figures.values()))
        if table is not None:
            chosen = [row for row, is_selected in zip(rows, selected, strict=True) if is_selected]
            labeled = [row.label in LABELS for row in chosen]
            labels = np.array([LABELS.index(row.label) for row in chosen if row.label in LABELS])
            if len(set(labels.tolist())) == 3:
                figures["accuracy_of_three"] = float((table[selected][labeled].argmax(1) == labels).mean())
        show(source, verifier=name, n=int(selected.sum()), supported=float(truth.mean()), **figures)
    mean = np.mean(means, axis=0)
    show("mean", verifier=name, data_sets=len(means), balanced_accuracy=mean[0], auroc=mean[1], ece=mean[2])


def _calibrated(score: Callable[[Pairs], np.ndarray], calibration, validation) -> np.ndarray:
    from calibration import PlattScaling
    from training.verifier.train import even_weights

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
