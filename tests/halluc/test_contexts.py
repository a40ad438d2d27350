"""Contexts of one text or several, in the API, in files and on the server's side of a check."""

import json
import time

import pytest
from stand_in_verifiers import SharedWords

import halluc
from halluc.errors import InvalidInput
from halluc.verification.check_file import check_rows, read_results
from halluc.verification.contexts import context_passages
from retrieval import Passage


def test_a_list_of_texts_is_read_as_passages_with_names():
    passages = context_passages(["One.", Passage("b.txt", "Two."), "Three."])
    assert [(p.id, p.text, p.title) for p in passages] == [
        ("context 1", "One.", "context 1"),
        ("b.txt", "Two.", None),
        ("context 3", "Three.", "context 3"),
    ]
    assert context_passages("One.") == [Passage("context", "One.")]


def test_each_claim_quotes_the_text_that_decides_it():
    texts = ["The museum is old.", Passage("opening.html", "It opens at nine.")]
    report = halluc.check("The museum is old. It opens at nine.", context=texts, verifier=SharedWords())
    quotes = [verdict.evidence[0] for verdict in report.verdicts]
    assert [(q.passage.id, q.text) for q in quotes] == [
        ("context 1", "The museum is old."),
        ("opening.html", "It opens at nine."),
    ]
    assert report.mode == "faithfulness"
    answers = ["The museum is old.", "It is new."]
    reports = halluc.check_many(answers, contexts=[texts, "It is new."], verifier=SharedWords())
    assert [r.verdicts[0].evidence[0].passage.id for r in reports] == ["context 1", "context"]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ([], "context is an empty list; pass at least one text"),
        (["A.", " "], "text 2 of context is empty"),
        (["A.", 5], "text 2 of context is 5, not a text"),
        (["A.", "b \ud83d"], "text 2 of context has a lone surrogate"),
        (5, "context is 5, not a text; pass a text or a list of texts"),
        ({"a": "b"}, "context is {'a': 'b'}, not a text"),
        (b"A.", "context is b'A.', not a text"),
        ([Passage("a", "A."), Passage("a", "B.")], "context has two passages with the id 'a'"),
    ],
)
def test_a_context_that_cannot_be_used_is_named(context, message):
    with pytest.raises(InvalidInput, match=message):
        halluc.check("It is so.", context=context, verifier=SharedWords())


def test_a_row_of_a_batch_has_a_text_or_a_list_of_texts_as_its_context(tmp_path):
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    contexts = [["Town 1 is old.", "Town 2 is new."], [], ["A.", ""], ["A.", 3], {"a": "b"}]
    rows.write_text("".join(json.dumps({"answer": "Town 2 is new.", "context": c}) + "\n" for c in contexts))
    done = check_rows(rows, out, verifier=SharedWords())
    assert done.checked == 1
    assert [sentence.split(f"{rows} ")[1] for sentence in done.broken] == [
        *["has a list without texts, or with something else, as its 'context'"] * 3,
        "has no text as its 'context'",
    ]
    (result,) = read_results(out)
    assert result.report.verdicts[0].evidence[0].passage.id == "context 2"
    assert check_rows(rows, out, verifier=SharedWords()).resumed == 1


@pytest.mark.parametrize("text", ["x" * 1_000_000, "nul \0 is here. " * 2, "\u200b\ufeff is no text to see. " * 2])
def test_hostile_texts_are_checked_within_seconds(text):
    start = time.process_time()
    assert halluc.check(text, context="Rain fell on the hills.").answer == text
    report = halluc.check("The bank was founded in 1903.", context=[text, "Ants build nests of leaves."])
    assert report.verdicts[0].label != "supported"
    assert time.process_time() - start < 10
