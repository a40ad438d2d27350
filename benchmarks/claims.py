"""Compare claims extracted from answers with the atomic facts that people wrote for the same answers.

Prints one JSON line per figure, for the default extractor (and a language model with --model) and for the baseline of one
claim per sentence: precision, recall and F1 of matched claims, the number of claims per human one, and how often claims are
marked check-worthy as people marked them, with n and 95 % bootstrap intervals over documents.

A claim matches a human one if the F1 of their words is at least 0.6; each matches at most one, best pairs first. Words are
lower-cased, without punctuation and articles. In factscore every fact is about the subject of the biography, referred to
either by name or by pronoun, so the name and personal pronouns are ignored there. The rules were developed on the documents
of even number, and on the first half of the claims marked check-worthy or not; the figures are of the others.

    python benchmarks/claims.py --data FOLDER    # holds factscore/rows.jsonl and factcheck_gpt/*.jsonl
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path

from figures import read_rows, show

# A script beside this one has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

MATCH = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with factscore and factcheck_gpt")
    parser.add_argument("--part", choices=("reported", "development"), default="reported")
    parser.add_argument("--model", default=None, help="also measure LMClaimExtractor with this language model")
    parser.add_argument("--limit", type=int, default=None, help="documents of each set to use")
    arguments = parser.parse_args()

    from halluc.claims import LMClaimExtractor, RuleClaimExtractor

    extractors = {"sentences": OnePerSentence(), "rules": RuleClaimExtractor()}
    if arguments.model:
        from halluc import load_model

        extractors["lm"] = LMClaimExtractor(load_model(arguments.model))
    parity = 1 if arguments.part == "reported" else 0
    for name, documents in (("factscore", factscore(arguments.data)), ("factcheck_gpt", factcheck(arguments.data))):
        used = documents[parity::2][: arguments.limit]
        for label, extractor in extractors.items():
            start = time.perf_counter()
            extracted = extractor.extract([text for text, _, _ in used])
            seconds = time.perf_counter() - start
            counts = [
                matched([claim.text for claim in claims if claim.check_worthy], gold, ignored)
                for claims, (_, gold, ignored) in zip(extracted, used, strict=True)
            ]
            show("claims", set=name, extractor=label, part=arguments.part, documents=len(used), **scores(counts),
                  seconds=seconds)  # fmt: skip
    check_worthiness(arguments.data, parity)


class OnePerSentence:
    """The baseline: every sentence is a claim."""

    def extract(self, texts):
        from halluc.answers import Claim
        from retrieval.split import sentence_spans

        return [[Claim(text[a:b], a, b) for a, b in sentence_spans(text)] for text in texts]


def factscore(data: Path) -> list[tuple[str, list[str], frozenset[str]]]:
    documents = []
    for row in read_rows(data / "factscore" / "rows.jsonl"):
        annotated = [sentence for sentence in row["annotations"] or [] if sentence["human-atomic-facts"]]
        if annotated:
            text = " ".join(sentence["text"] for sentence in annotated)
            gold = [fact["text"] for sentence in annotated for fact in sentence["human-atomic-facts"]]
            documents.append((text, gold, frozenset(_words(row["topic"])) | _PRONOUNS))
    return documents


def factcheck(data: Path) -> list[tuple[str, list[str], frozenset[str]]]:
    """The claims of revision.jsonl are corrected; those of claim_factuality.jsonl are as in the answer."""
    originals = {
        row["revised_claim"].strip(): row["claim"] for row in read_rows(data / "factcheck_gpt" / "claim_factuality.jsonl")
    }
    documents = []
    for row in read_rows(data / "factcheck_gpt" / "revision.jsonl"):
        gold = [originals.get(claim.strip(), claim) for claim in row["claim list"]]
        documents.append((row["response"], gold, frozenset()))
    return documents


def matched(claims: list[str], gold: list[str], ignored: frozenset[str]) -> tuple[int, int, int]:
    """(pairs matched, claims, human claims) of one document."""
    ours, theirs = ([Counter(w for w in _words(text) if w not in ignored) for text in texts] for texts in (claims, gold))
    pairs = [(f1(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs)]
    used_i, used_j = set(), set()
    for value, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if value >= MATCH and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
    return len(used_i), len(claims), len(gold)


def f1(a: Counter, b: Counter) -> float:
    both = (a & b).total()
    return 2 * both / (a.total() + b.total()) if both else 0.0


def scores(counts: list[tuple[int, int, int]]) -> dict:
    import numpy as np

    table = np.array(counts, dtype=float)
    rng = np.random.default_rng(0)
    drawn = table[rng.integers(len(table), size=(1000, len(table)))].sum(axis=1)
    values = {}
    for name, of in (("precision", _precision), ("recall", _recall), ("f1", _f1), ("ratio", _ratio)):
        values[name] = float(of(table.sum(axis=0)[None])[0])
        values[f"{name}_interval"] = [round(float(q), 3) for q in np.quantile(of(drawn), [0.025, 0.975])]
    return {"claims": int(table[:, 1].sum()), "human_claims": int(table[:, 2].sum()), **values}


def _precision(t):
    return t[:, 0] / t[:, 1]


def _recall(t):
    return t[:, 0] / t[:, 2]


def _f1(t):
    return 2 * t[:, 0] / (t[:, 1] + t[:, 2])


def _ratio(t):
    return t[:, 1] / t[:, 2]


def check_worthiness(data: Path, parity: int) -> None:
    from halluc.claims import RuleClaimExtractor

    rows = read_rows(data / "factcheck_gpt" / "checkworthiness_claims.jsonl")
    rows = rows[len(rows) // 2 :] if parity else rows[: len(rows) // 2]
    extracted = RuleClaimExtractor().extract([row["claim"] for row in rows])
    marked = [any(claim.check_worthy for claim in claims) for claims in extracted]
    for kind in ("factual", "opinion"):
        marks = [mark for mark, row in zip(marked, rows, strict=True) if row["checkworthy"] == kind]
        show("check-worthy", of=kind, n=len(marks), marked_check_worthy=sum(marks) / len(marks))
    right = [mark == (row["checkworthy"] == "factual") for mark, row in zip(marked, rows, strict=True)]
    always = sum(row["checkworthy"] == "factual" for row in rows) / len(rows)
    show("check-worthy", of="all", n=len(rows), accuracy=sum(right) / len(right), accuracy_of_always=always)


_PRONOUNS = frozenset({"he", "she", "they", "it", "his", "her", "hers", "their", "its", "him", "them"})


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the", "s")]


if __name__ == "__main__":
    main()
