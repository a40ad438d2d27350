"""Verifiers on small cases that people try first, and their speed.

Prints one JSON line per figure: sentences of XQuAD's passages checked against their passage, as they are and with citation
marks and emphasis; verdicts that special tokens and marks after a claim move; minimal pairs; right and wrong short answers
to XQuAD's questions; claims that have nothing to do with the evidence; pairs per second compared with
`CrossEncoder.predict` in batches of 32 with the same weights; processor time of a warm `halluc.check` and of one against a
context of 825 KB.

    python benchmarks/verifier_cases.py --data DATA --cases CASES --verifier large
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from figures import read_rows, show

# A script in this folder has the name of a package, and Python searches the folder of a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

MARKS = {
    "plain": "{}",
    "[1]": "{} [1].",
    "[2][3]": "{} [2][3].",
    "【4†source】": "{}【4†source】.",
    "(Source: …)": "{} (Source: the report).",
    "[^1]": "{}[^1].",
    "<sup>": "{}<sup>1</sup>.",
    "bold": "**{}.**",
    "link": "[{}](https://example.org/page).",
}
SUFFIXES = [
    " [PAD]",
    " [SEP]",
    " </s>",
    " <s>",
    " [CLS]",
    " [MASK]",
    " <pad>",
    " [1]",
    " [^2]",
    " **",
    " _x_",
    "【3】",
    " <|im_end|>",
]
# Contexts, and claims on other subjects.
UNRELATED = [
    (
        "The meeting is at noon in room 4.",
        ["Paris is in Germany.", "Water boils at 100 degrees.", "The bank was founded in 1862."],
    ),
    (
        "The bakery sells rye bread and rolls every morning except Monday.",
        ["The moon is made of rock.", "Ada Lovelace wrote programs.", "The bridge is 412 meters long."],
    ),
    (
        "Revenue rose from 4.1 million dollars in 2022 to 5.3 million dollars in 2023.",
        ["Cats sleep most of the day.", "The treaty was signed in Vienna.", "Mount Fuji is a volcano."],
    ),
    (
        "Patients should not take the tablets with grapefruit juice.",
        ["The team won the final.", "Lisbon is the capital of Portugal.", "The engine has six cylinders."],
    ),
    (
        "The museum opened its new wing in May. Entry is free on Sundays.",
        ["Insulin lowers blood sugar.", "The password must have ten characters.", "Wheat prices fell last year."],
    ),
    (
        "Our cat Minka likes to sleep on the windowsill.",
        ["The euro was introduced in 1999.", "The satellite weighs 3,420 kilograms.", "Shakespeare wrote Hamlet."],
    ),
    (
        "The library closes at 8 pm on weekdays and at 4 pm on Saturdays.",
        ["Penguins live in Antarctica.", "The company hired 42 people.", "Gold is heavier than iron."],
    ),
    (
        "Heavy rain delayed the train from Graz to Vienna by two hours.",
        ["The novel has twelve chapters.", "Bananas are rich in potassium.", "The senator voted against the bill."],
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public data sets")
    parser.add_argument("--cases", type=Path, required=True, help="folder with minimal_pairs.jsonl")
    parser.add_argument("--verifier", default="default", help="a name that halluc.load_verifier takes")
    parser.add_argument("--speed-pairs", type=int, default=1000, help="pairs of the speed measurement; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the speed measurement")
    arguments = parser.parse_args()

    import halluc

    verifier = halluc.load_verifier(arguments.verifier)
    passages = {row["id"]: row["text"] for row in read_rows(arguments.data / "xquad" / "passages.jsonl")}
    questions = read_rows(arguments.data / "xquad" / "questions.jsonl")
    _copies(verifier, list(passages.values()))
    _suffixes(verifier, arguments.cases)
    _minimal_pairs(verifier, arguments.cases)
    _short_answers(verifier, passages, questions)
    _unrelated(verifier)
    if arguments.speed_pairs:
        _throughput(verifier, arguments.data, arguments.speed_pairs, arguments.rounds)
        _warm_check(verifier, arguments.data)


def _copies(verifier, passages: Sequence[str]) -> None:
    import halluc
    from retrieval.split import sentence_spans

    generator = random.Random(0)
    chosen = generator.sample(passages, 100)
    sentences = []
    for passage in chosen:
        spans = [span for span in sentence_spans(passage) if 6 <= len(passage[span[0] : span[1]].split()) <= 40]
        start, end = generator.choice(spans or sentence_spans(passage))
        sentences.append(passage[start:end].rstrip(". "))
    for name, form in MARKS.items():
        answers = [form.format(sentence) if name != "plain" else sentence + "." for sentence in sentences]
        reports = halluc.check_many(answers, contexts=chosen, verifier=verifier)
        supported = [
            all(verdict.label == "supported" for verdict in report.verdicts) for report in reports if report.verdicts
        ]
        show(f"copied sentence, {name}", verifier=verifier.name, n=len(supported), supported=float(np.mean(supported)))


def _suffixes(verifier, cases: Path, tries: int = 500) -> None:
    """Verdicts that change sides when marks or special tokens are appended to the claim."""
    import halluc

    generator = random.Random(1)
    rows = read_rows(cases / "minimal_pairs.jsonl")
    answers = [row[side] for row in rows for side in ("right", "wrong")]
    contexts = [row["context"] for row in rows for _ in range(2)]
    plain = [report.score for report in halluc.check_many(answers, contexts=contexts, verifier=verifier)]
    drawn = [generator.randrange(len(answers)) for _ in range(tries)]
    changed = [answers[i] + "".join(generator.choice(SUFFIXES) for _ in range(generator.randint(1, 12))) for i in drawn]
    reports = halluc.check_many(changed, contexts=[contexts[i] for i in drawn], verifier=verifier)
    moved = sum(
        (report.verdicts[0].support >= 0.5) != (plain[i] >= 0.5)
        for i, report in zip(drawn, reports, strict=True)
        if report.verdicts
    )
    show("verdicts moved by suffixes", verifier=verifier.name, tries=tries, moved=moved)


def _minimal_pairs(verifier, cases: Path) -> None:
    rows = read_rows(cases / "minimal_pairs.jsonl")
    right = verifier.support([(row["context"], row["right"]) for row in rows])
    wrong = verifier.support([(row["context"], row["wrong"]) for row in rows])
    show("minimal pairs", verifier=verifier.name, n=len(rows), ordered=int((right > wrong).sum()),
         right_supported=int((right >= 0.5).sum()), wrong_supported=int((wrong >= 0.5).sum()),
         missed=[row["wrong"] for row, is_missed in zip(rows, right <= wrong, strict=True) if is_missed])  # fmt: skip


def _short_answers(verifier, passages, questions, n: int = 60) -> None:
    """Questions about passages that are in no training part, and an answer to another question about them."""
    import halluc
    from training.verifier.pairs import part_of

    by_passage: dict[str, list[dict]] = {}
    for question in questions:
        by_passage.setdefault(question["passage_id"], []).append(question)
    held_out = [
        (rows[i], rows[i - 1])
        for passage_id, rows in by_passage.items()
        if len(rows) > 1 and part_of(passages[passage_id]) != "train"
        for i in range(len(rows))
    ]
    chosen = random.Random(0).sample(held_out, min(n, len(held_out)))
    contexts = [passages[row["passage_id"]] for row, _ in chosen]
    for name, answers in (
        ("right short answer", [row["answers"][0] for row, _ in chosen]),
        ("another answer of the passage", [other["answers"][0] for _, other in chosen]),
    ):
        reports = halluc.check_many(
            answers, contexts=contexts, questions=[row["question"] for row, _ in chosen], verifier=verifier
        )
        supported = [bool(report.verdicts) and report.verdicts[0].label == "supported" for report in reports]
        show(name, verifier=verifier.name, n=len(supported), supported=int(sum(supported)))


def _unrelated(verifier) -> None:
    import halluc

    pairs = [(context, claim) for context, claims in UNRELATED for claim in claims]
    reports = halluc.check_many([claim for _, claim in pairs], contexts=[context for context, _ in pairs], verifier=verifier)
    labels = [report.verdicts[0].label for report in reports if report.verdicts]
    show("unrelated claims", verifier=verifier.name, n=len(labels), refuted=labels.count("refuted"),
         supported=labels.count("supported"))  # fmt: skip


def _throughput(verifier, data: Path, n_pairs: int, rounds: int) -> None:
    """`support` compared with `CrossEncoder.predict` on batches of 32 with the same weights in float32, alternating."""
    from training.verifier.data_sets import read_pairs

    sources = ["mnli", "fever_nli", "feverous", "halueval_qa", "expertqa", "summedits", "ragtruth"]
    held_out = [pair for pair in read_pairs(data, sources, seed=0) if pair.part != "train"]
    random.Random(0).shuffle(held_out)
    pairs = [(pair.evidence, pair.claim) for pair in held_out[:n_pairs]]
    with tempfile.TemporaryDirectory() as folder:
        peer = _peer(verifier, folder)
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        for i in range(0, len(pairs), 32):
            peer.predict(pairs[i : i + 32], batch_size=32)
        raw_seconds = time.perf_counter() - start
        verifier._readings.clear()
        verifier._texts.clear()
        start = time.perf_counter()
        verifier.support(pairs)
        seconds = time.perf_counter() - start
        ratios.append(raw_seconds / seconds)
    show("throughput", verifier=verifier.name, pairs=len(pairs), pairs_per_second=len(pairs) / seconds,
         ratio_to_plain_loop=median(ratios), rounds=rounds)  # fmt: skip


def _peer(verifier, folder: str):
    """The same weights as a sequence classifier that sentence-transformers reads."""
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig, AutoModelForSequenceClassification

    model = verifier.model
    config = AutoConfig.for_model(**(model.config.to_dict() | {"num_labels": 3}))
    classifier = AutoModelForSequenceClassification.from_config(config)
    prefix = classifier.base_model_prefix
    state = {f"{prefix}.{name.removeprefix('encoder.')}": tensor for name, tensor in model.state_dict().items()
             if name.startswith("encoder.")}  # fmt: skip
    dense = "classifier.dense" if prefix == "mpnet" else f"{prefix}.pooler.dense"
    label = "classifier.out_proj" if prefix == "mpnet" else "classifier"
    for kind in ("weight", "bias"):
        state[f"{dense}.{kind}"] = model.state_dict()[f"pair_head.0.{kind}"]
        state[f"{label}.{kind}"] = model.state_dict()[f"pair_head.2.{kind}"]
    classifier.load_state_dict(state)
    classifier.save_pretrained(folder)
    verifier.tokenizer.save_pretrained(folder)
    return CrossEncoder(folder, num_labels=3, device="cpu", max_length=512)


def _warm_check(verifier, data: Path) -> None:
    import halluc

    context = (
        "The Tamarind Bridge opened on 14 March 1987. It is 412 metres long and carries two lanes of traffic. The engineer "
        "was Paula Ostrov. The bridge replaced a ferry that had run since 1902. Repairs in 2015 cost 3.2 million euros, of "
        "which the state paid half. Cyclists may use the northern pavement only. About 11,000 vehicles cross it each day."
    )
    answers = [
        f"The bridge opened in {1980 + i}. It is 412 metres long. Paula Ostrov was the engineer. It cost {i} million euros."
        for i in range(6)
    ]
    halluc.check(answers[0], context=context, verifier=verifier)
    seconds = []
    for answer in answers[1:]:
        start = time.process_time()
        halluc.check(answer, context=context, verifier=verifier)
        seconds.append(time.process_time() - start)
    show("warm check, 4 claims on 60 words", verifier=verifier.name, processor_seconds=median(seconds))
    rows = read_rows(data / "ragtruth" / "responses.jsonl")
    long = "\n".join(dict.fromkeys(row["context"] for row in rows if row["task"] != "data2txt"))
    long = (long * (1 + 825_000 // len(long)))[:825_000]
    start = time.process_time()
    halluc.check(answers[0], context=long + "\n" + context, verifier=verifier)
    show("4 claims on 825 KB", verifier=verifier.name, processor_seconds=time.process_time() - start)


if __name__ == "__main__":
    main()
