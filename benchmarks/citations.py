"""Measure the citations that a verifier chooses by ALCE's recall and precision (arXiv 2305.14627, section 4).

Prints one JSON line per figure:

- XQuAD, the accepted answers in place of a model's, so that the citations alone are measured: a citation is right if it is
  the passage from which the question was written. The default verifier is trained on questions about most of the passages;
  `--part unseen` takes the questions about the others. `benchmarks/grounding.py` prints the same for the answers of a model.
- The same with the answer to another question about the passage in place of the accepted one: the share of these wrong
  answers that get a citation, and that the verifier supports.
- LFQA, sentences of long answers by language models, with the documents that they were written from: judged by the verifier
  that chose the citations, by another one (`--judge`), and by the labels of people.

    python benchmarks/citations.py --questions questions.jsonl --part unseen --limit 200 --lfqa sentences.jsonl
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from figures import read_rows, show, wilson
from gold_passages import gold_scores, is_known, known_passages

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

EXAMPLES = Path(__file__).parent.parent / "examples" / "xquad"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, default=EXAMPLES / "passages.jsonl")
    parser.add_argument("--questions", type=Path, default=EXAMPLES / "questions.jsonl")
    parser.add_argument("--lfqa", type=Path, default=None, help="rows with evidence, claim, label")
    parser.add_argument("--verifier", default="default", help="chooses the citations")
    parser.add_argument("--judge", default=None, help="another verifier, which judges them")
    parser.add_argument(
        "--part",
        choices=("all", "known", "unseen"),
        default="all",
        help="documents in the verifiers' training part, or others",
    )
    parser.add_argument("--limit", type=int, default=60, help="questions of XQuAD, drawn with seed 0; 0 for none")
    parser.add_argument("--answers", type=int, default=40, help="answers of LFQA, drawn with seed 0")
    arguments = parser.parse_args()

    from halluc import load_verifier

    verifier = load_verifier(arguments.verifier)
    questions = read_rows(arguments.questions)
    random.Random(0).shuffle(questions)
    if arguments.part != "all":
        known = known_passages(arguments.passages)
        questions = [row for row in questions if (row["passage_id"] in known) == (arguments.part == "known")]
    if arguments.limit:
        _references(arguments.passages, questions, arguments.limit, arguments.part, verifier)
    if arguments.lfqa is not None:
        judges = [verifier] if arguments.judge is None else [verifier, load_verifier(arguments.judge)]
        rows = read_rows(arguments.lfqa)
        if arguments.part != "all":
            rows = [row for row in rows if is_known(row["evidence"]) == (arguments.part == "known")]
        _lfqa(rows, arguments.answers, verifier, judges)


def _references(passages: Path, rows: list[dict], limit: int, part: str, verifier) -> None:
    from halluc import GroundedModel
    from halluc.grounding.conversation import Conversation
    from halluc.models.language_model import Generation
    from retrieval import PassageIndex, load_documents, split_documents

    questions = rows[:limit]

    class NoModel:
        name, context_window, special_tokens = "none", None, ()

        def count_tokens(self, prompt):
            return len(str(prompt).split())

    with tempfile.TemporaryDirectory() as folder:
        index, _ = PassageIndex.build(Path(folder) / "xquad.index", split_documents(load_documents(passages)))
        grounded = GroundedModel(NoModel(), index, verifier=verifier)
        prepared = grounded.prepare([Conversation(row["question"]) for row in questions])
        references = [_accepted(row)[0] for row in questions]
        answers = grounded.finish(prepared, [Generation(text) for text in references])
        gold = [row["passage_id"] for row in questions]
        found = [
            any((h.passage.document_id or h.passage.id) == g for h in a.hits) for a, g in zip(answers, gold, strict=True)
        ]
        scores = gold_scores(answers, gold)
        show("citations of accepted answers", of="XQuAD", part=part, verifier=verifier.name, judge="gold passage",
             n=len(questions), gold_among_hits=sum(found) / len(found), **_intervals(scores),
             supported=_share_supported(answers), **scores.to_dict())  # fmt: skip
        wrong = [_other_answer(row, rows) for row in questions]
        pairs = [(p, Generation(text)) for p, text in zip(prepared, wrong, strict=True) if text is not None]
        answers = grounded.finish([p for p, _ in pairs], [generation for _, generation in pairs])
        judged = [answer for answer in answers if answer.verdicts]
        cited = sum(bool(answer.citations) for answer in judged)
        show("wrong answers", of="XQuAD", part=part, verifier=verifier.name, n=len(judged), cited=cited / len(judged),
             cited_interval=wilson(cited, len(judged)), supported=_share_supported(judged))  # fmt: skip


def _intervals(scores) -> dict[str, tuple[float, float]]:
    """95 % Wilson intervals; most accepted answers are one statement with one citation, so that both scores are shares."""
    return {
        f"{name}_interval": wilson(round(getattr(scores, name) * scores.answers), scores.answers)
        for name in ("recall", "precision")
    }


def _share_supported(answers) -> float:
    judged = [answer for answer in answers if answer.verdicts]
    return sum(all(v.label == "supported" for v in answer.verdicts) for answer in judged) / len(judged)


def _other_answer(row: dict, rows: list[dict]) -> str | None:
    """The answer to another question about the same passage, which is neither part of an accepted one nor contains it."""
    accepted = [text.lower() for text in _accepted(row)]
    others = [_accepted(other)[0] for other in rows if other["passage_id"] == row["passage_id"]]
    return next((o for o in others if not any(o.lower() in a or a in o.lower() for a in accepted)), None)


def _accepted(row: dict) -> list[str]:
    return row.get("references") or row["answers"]  # XQuAD's own name is answers


def _lfqa(rows: list[dict], limit: int, verifier, judges: list) -> None:
    from halluc import CitationScores, CitedStatement, citation_scores
    from halluc.answers import Claim
    from halluc.grounding.citing import MAX_PER_SENTENCE
    from halluc.verification.judge import Judge
    from retrieval import Passage

    # The rows of one question with the same documents are the sentences of its answers, by several models.
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["evidence"]].append(row)
    groups = list(grouped.values())
    random.Random(0).shuffle(groups)
    answers, labels = [], []
    for group in groups[:limit]:
        texts = [text.strip() for text in group[0]["evidence"].split("\n\n") if text.strip()]
        passages = {str(i): Passage(str(i), text) for i, text in enumerate(texts)}
        claims = [Claim(row["claim"].strip(), 0, len(row["claim"].strip())) for row in group]
        verdicts = Judge(verifier).verdicts(claims, [list(passages.values())] * len(claims))
        answers.append(
            [CitedStatement(v.claim.text, tuple(passages[name] for name in v.sources[:MAX_PER_SENTENCE])) for v in verdicts]
        )
        labels.append([row["label"] == "supported" for row in group])
    for judge in judges:
        scores = citation_scores(answers, judge)
        show(
            "citations of answers by language models",
            of="LFQA",
            verifier=verifier.name,
            judge=judge.name,
            **scores.to_dict(),
        )
    cited = [bool(statement.passages) for answer in answers for statement in answer]
    supported = [label for answer in labels for label in answer]
    both = sum(c and s for c, s in zip(cited, supported, strict=True))
    show("sentences with citations", of="LFQA", judge="people", n=len(cited), supported=sum(supported) / len(supported),
         of_supported_cited=both / sum(supported), of_cited_supported=both / max(1, sum(cited)))  # fmt: skip
    # Only sentences that people call supported: what a citation could hold.
    kept = [
        [statement for statement, label in zip(answer, label_row, strict=True) if label]
        for answer, label_row in zip(answers, labels, strict=True)
    ]
    for judge in judges:
        scores: CitationScores = citation_scores(kept, judge)
        show("citations of sentences that people call supported", of="LFQA", judge=judge.name, **scores.to_dict())


if __name__ == "__main__":
    main()
