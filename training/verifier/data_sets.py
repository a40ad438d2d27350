"""The data sets that a verifier is trained and evaluated on, each with its own format, by name in `SOURCES`.

Each reader takes the data folder and yields the rows of one data set. Sets of the common form are read by common_form.py,
answers with marked spans by annotated_answers.py; made claims are in synthetic.py. Not covered: the split (pairs.py) and the
training (train.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import read_rows
from retrieval.split import sentence_spans
from training.verifier.annotated_answers import ragtruth, ragtruth_edits, wice_tokens
from training.verifier.business_records import business_records
from training.verifier.common_form import COMMON_FORM, edits, labeled_rows
from training.verifier.corruption import corrupt, names, simplify
from training.verifier.pairs import Pair, PairLabel, Reader, Row, changed_spans, part_of, single_spaced
from training.verifier.synthetic import made_facts, synthetic, unrelated_claims
from training.verifier.wrong_answers import wrong_answers

__all__ = ["SOURCES", "read_pairs"]

_NLI: dict[str, PairLabel] = {
    "entailment": "supported",
    "contradiction": "refuted",
    "neutral": "not_enough_info",
    "not_entailment": "not_supported",
}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def _nli(name: str) -> Reader:
    def read(folder: Path, _generator: random.Random) -> Iterator[Row]:
        for row in _rows(folder / "nli" / f"{name}.jsonl"):
            yield Row(row["premise"], row["hypothesis"], _NLI[row["label"]])

    return read


def _covidfact(folder: Path, _generator: random.Random) -> Iterator[Row]:
    for row in _rows(folder / "covidfact" / "train.jsonl"):
        yield Row(row["sentence1"].replace(" > ", " "), row["Sentence2"], _NLI[row["label"]])


def _healthver(folder: Path, _generator: random.Random) -> Iterator[Row]:
    labels: dict[str, PairLabel] = {"Supports": "supported", "Refutes": "refuted", "Neutral": "not_enough_info"}
    for row in _rows(folder / "healthver" / "dev.jsonl"):
        yield Row(row["evidence"], row["claim"], labels[row["label"]])


def _climate_fever(folder: Path, _generator: random.Random) -> Iterator[Row]:
    labels: dict[str, PairLabel] = {
        "SUPPORTS": "supported",
        "REFUTES": "refuted",
        "NOT_ENOUGH_INFO": "not_enough_info",
    }
    for row in _rows(folder / "climate_fever" / "rows.jsonl"):
        for evidence in row["evidences"]:
            # The title of the article says what the pronouns refer to.
            text = f"{evidence['article']}: {evidence['evidence']}"
            yield Row(text, row["claim"], labels[evidence["evidence_label"]], document=row["claim"])


def _factcheck_gpt(folder: Path, _generator: random.Random) -> Iterator[Row]:
    labels: dict[str, PairLabel] = {
        "completely-support": "supported",
        "partially-support": "not_supported",
        "refute": "refuted",
        "irrelevant": "not_enough_info",
    }
    for row in _rows(folder / "factcheck_gpt" / "claim_evidence_stance.jsonl"):
        yield Row(row["evidence"], row["claim"], labels[row["stance"]], document=row["claim"])


def _begin(folder: Path, _generator: random.Random) -> Iterator[Row]:
    for name in ("wow_dev", "cmu_dev"):
        for row in _rows(folder / "begin" / f"{name}.jsonl"):
            attributable = row["begin_label"] == "Fully attributable"
            yield Row(row["knowledge"], row["response"], "supported" if attributable else "not_supported")


def _q2(folder: Path, _generator: random.Random) -> Iterator[Row]:
    for row in _rows(folder / "q2" / "rows.jsonl"):
        for system in ("dodeca", "memnet"):
            # 1 marks a response that is inconsistent with the knowledge.
            label: PairLabel = "not_supported" if row[f"{system}_label"] == "1" else "supported"
            yield Row(row["knowledge"], row[f"{system}_response"], label)


def _qags(folder: Path, _generator: random.Random) -> Iterator[Row]:
    for name in ("cnndm", "xsum"):
        for row in _rows(folder / "qags" / f"{name}.jsonl"):
            for sentence in row["summary_sentences"]:
                votes = [response["response"] == "yes" for response in sentence["responses"]]
                yield Row(
                    row["article"], sentence["sentence"], "supported" if sum(votes) * 2 > len(votes) else "not_supported"
                )


def _halueval(folder: Path, generator: random.Random) -> Iterator[Row]:
    for name in ("qa_one_turn", "qa_multi_turn", "qa_data_train"):
        rows = _rows(folder / "halueval" / f"{name}.jsonl")
        for i, row in enumerate(rows):
            question, knowledge = row["question"], row["knowledge"]
            yield Row(knowledge, f"{question} {row['right_answer']}", "supported")
            yield Row(knowledge, f"{question} {row['hallucinated_answer']}", "not_supported")
            if len(row["hallucinated_answer"].split()) > 4 and generator.random() < 0.5:
                yield Row(knowledge, row["hallucinated_answer"], "not_supported")
            # Right answers are short, hallucinated ones long: without short wrong answers, length would predict the label.
            yield from wrong_answers(question, [row["right_answer"]], knowledge, rows[i - 1]["right_answer"], generator)


def _hotpotqa(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Questions that need both of two paragraphs."""
    rows = _rows(folder / "hotpotqa" / "gold_paragraphs.jsonl")
    for i, row in enumerate(rows):
        # Each paragraph is repeated for each of its supporting sentences.
        knowledge = " ".join(dict.fromkeys(re.split(r"(?<=[.!?])\s+", row["knowledge"])))
        question, answer = row["question"], row["answer"]
        if answer.lower() in ("yes", "no"):
            other = "no" if answer.lower() == "yes" else "yes"
            yield Row(knowledge, f"{question} {answer}", "supported")
            yield Row(knowledge, f"{question} {other}", "refuted")
        else:
            yield Row(knowledge, f"{question} {answer}", "supported")
            yield from wrong_answers(question, [answer], knowledge, rows[i - 1]["answer"], generator)


def _multispanqa(folder: Path, generator: random.Random) -> Iterator[Row]:
    previous = "the president"
    for row in _rows(folder / "multispanqa" / "rows.jsonl"):
        question, context = " ".join(row["question"]) + "?", _detokenize(row["context"])
        spans = _spans(row["context"], row["label"])
        if not spans:
            continue
        answers = spans if generator.random() < 0.5 else [generator.choice(spans)]
        yield Row(context, f"{question} {', '.join(answers)}", "supported")
        yield from wrong_answers(question, spans, context, previous, generator)
        previous = spans[0]


def _xquad(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Short answers to questions about a passage: right ones, and wrong ones from the same passage or another."""
    passages = {row["id"]: row["text"] for row in _rows(folder / "xquad" / "passages.jsonl")}
    of_passage: dict[str, list[dict[str, Any]]] = {}
    questions = _rows(folder / "xquad" / "questions.jsonl")
    for row in questions:
        of_passage.setdefault(row["passage_id"], []).append(row)
    for passage_id, rows in of_passage.items():
        for row in rows:
            answers = list(dict.fromkeys(row["answers"]))
            for answer in answers:
                yield Row(passages[passage_id], f"{row['question']} {answer}", "supported")
            for other in rows:
                answer = other["answers"][0]
                if not any(answer in right or right in answer for right in answers):
                    yield Row(passages[passage_id], f"{row['question']} {answer}", "not_supported")
            answer = generator.choice(questions)["answers"][0]
            yield from wrong_answers(row["question"], answers, passages[passage_id], answer, generator)


def _bbq(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Questions whose context contains the answer (disambiguated) or not (ambiguous)."""
    for path in sorted((folder / "bbq").glob("*.jsonl")):
        for row in generator.sample(_rows(path), 300):
            answer = generator.choice([i for i in range(3) if row["answer_info"][f"ans{i}"][1] != "unknown"])
            label: PairLabel = "supported" if answer == row["label"] else "refuted"
            if row["context_condition"] != "disambig":
                label = "not_enough_info"
            claim = f"{row['question']} {row[f'ans{answer}']}"
            yield Row(row["context"], claim, label, f"{row['category']} {row['question_index']}")


def _factor(folder: Path, generator: random.Random) -> Iterator[Row]:
    for name in ("expert_factor", "news_factor"):
        for row in _rows(folder / "factor" / f"{name}.jsonl"):
            prefix = row["full_prefix"]
            before = [prefix[start:end] for start, end in sentence_spans(prefix)[-2:]]
            evidence = " ".join([*before, row["completion"]]) if generator.random() < 0.7 else row["completion"]
            yield Row(evidence, simplify(row["completion"], generator), "supported", prefix)
            for i in range(3):
                yield Row(evidence, row[f"contradiction_{i}"], "not_supported", prefix)


def _factscore(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Atomic facts that annotators extracted from a biography, with that biography as evidence (not with the truth)."""
    rows = [row for row in _rows(folder / "factscore" / "rows.jsonl") if row["annotations"]]
    for i, row in enumerate(rows):
        sentences = [a["text"].strip() for a in row["annotations"]]
        own_names = names(" ".join(sentences))
        other_names = names(rows[i - 1]["output"])
        for number, annotation in enumerate(row["annotations"]):
            facts = [fact["text"].strip() for fact in annotation.get("human-atomic-facts") or []]
            # The sentence with some neighbors, and the first one, which says what the pronouns refer to.
            first = max(0, number - generator.randint(0, 3))
            around = [sentences[0]] * (first > 0) + sentences[first : number + generator.randint(1, 3)]
            without = [s for j, s in enumerate(sentences) if j != number]
            for fact in facts:
                if generator.random() < 0.6:
                    yield Row(" ".join(around), fact, "supported", row["topic"], ())
                if generator.random() < 0.5 and (
                    changed := corrupt(fact, own_names if generator.random() < 0.5 else other_names, generator)
                ):
                    yield Row(
                        " ".join(around),
                        changed.text,
                        changed.label or "not_supported",
                        row["topic"],
                        changed_spans(fact, changed.text),
                    )
                if generator.random() < 0.2 and without:
                    yield Row(" ".join(without), fact, "not_enough_info", row["topic"])
            if len(facts) > 1 and generator.random() < 0.5:
                one, two = generator.sample(facts, 2)
                two = two[:1].lower() + two[1:] if two.startswith(("He ", "She ", "His ", "Her ", "The ", "It ")) else two
                both = f"{one.rstrip('.')} and {two}"
                yield Row(" ".join(around), both, "supported", row["topic"], ())


SOURCES: Mapping[str, Reader] = {
    "mnli": _nli("mnli"),
    "snli": _nli("snli"),
    "rte": _nli("rte"),
    "cb": _nli("cb"),
    "conjnli": _nli("conjnli"),
    "covidfact": _covidfact,
    "healthver": _healthver,
    "climate_fever": _climate_fever,
    "factcheck_gpt": _factcheck_gpt,
    "begin": _begin,
    "q2": _q2,
    "qags": _qags,
    "halueval_qa": _halueval,
    "hotpotqa": _hotpotqa,
    "multispanqa": _multispanqa,
    "xquad": _xquad,
    "bbq": _bbq,
    "factor": _factor,
    "factscore": _factscore,
    "ragtruth": ragtruth,
    "ragtruth_edits": ragtruth_edits,
    "wice_tokens": wice_tokens,
    **{name: labeled_rows(name, files) for name, files in COMMON_FORM.items()},
    "bump": edits("bump", ("pairs",)),
    "summedits": edits("summedits", ("scitldr", "podcast", "ectsum", "qmsumm", "sales_call")),
    "synthetic": synthetic,
    "made_facts": made_facts,
    "business_records": business_records,
    "unrelated_claims": unrelated_claims,
}
"""Readers by the name of the data set."""


def read_pairs(folder: Path, sources: Sequence[str], *, seed: int) -> list[Pair]:
    """Read the pairs of data sets, without duplicates, in the order of the files.

    Args:
        folder: the data folder, with one folder per data set.
        sources: names of data sets, of `SOURCES`.
        seed: of the made claims.

    Raises:
        InvalidInput: a source has no reader, or its files are missing or damaged.
    """
    unknown = [source for source in sources if source not in SOURCES]
    if unknown:
        raise InvalidInput(f"there is no data set {unknown[0]!r}; choose from {', '.join(SOURCES)}")
    pairs: dict[tuple[str, str], Pair] = {}
    for source in sources:
        try:
            for row in SOURCES[source](folder, random.Random(f"{seed}:{source}")):
                evidence = row.evidence.strip()
                claim, spans = single_spaced(row.claim, row.spans)
                if evidence and claim:
                    part = part_of(row.document or evidence)
                    pairs.setdefault((evidence, claim), Pair(evidence, claim, row.label, source, part, spans))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"a row has no field or an unknown label {error}" if isinstance(error, KeyError) else error
            raise InvalidInput(
                f"the data set {source!r} cannot be read: {reason}; see the README of the data folder"
            ) from error
    return list(pairs.values())


# -- private -------------------------------------------------------------------------------------------------------------


def _detokenize(words: Sequence[str]) -> str:
    text = " ".join(words)
    text = re.sub(r" ([.,;:!?%)\]]|'s\b|n't\b)", r"\1", text)
    return re.sub(r"([(\[$#]) ", r"\1", text)


def _spans(words: Sequence[str], tags: Sequence[str]) -> list[str]:
    spans: list[list[str]] = []
    for word, tag in zip(words, tags, strict=True):
        if tag == "B":
            spans.append([word])
        elif tag == "I" and spans:
            spans[-1].append(word)
    return [_detokenize(span) for span in spans]
