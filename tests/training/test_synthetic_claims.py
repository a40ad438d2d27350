"""Made claims: their labels follow from how they are made."""

import json
import random

import pytest

from training.verifier.business_records import _claim, _drawn
from training.verifier.made_facts import facts, table_rows
from training.verifier.synthetic import _about_sentences, _joined, unrelated_claims
from training.verifier.wrong_answers import wrong_answers

TEXT = (
    "The Tamarind Bridge was opened by Queen Anna in 1987. It carries two lanes of traffic over the Olm. The engineer Paula "
    "Ostrov praised the workers of Calder Group. Repairs in 2015 cost 3.2 million dollars. Cyclists may use the northern "
    "pavement only."
)
OTHER = "Penguins live in the far south of the world. The Emperor Penguin weighs 30 kilograms and eats fish and krill."


def rows(make, seeds=60):
    return [row for seed in range(seeds) for row in make(random.Random(seed))]


def test_copied_and_restated_sentences_are_supported_and_changed_ones_are_not():
    made = rows(lambda generator: _about_sentences(TEXT, OTHER, generator))
    labels = {row.label for row in made}
    assert labels == {"supported", "refuted", "not_supported", "not_enough_info"}
    for row in made:
        if row.label == "supported":
            assert row.spans == ()
        for span in row.spans or ():
            assert 0 <= span.start < span.end <= len(row.claim)
    sentences = {row.claim for row in made if row.label != "supported"}
    assert not sentences & {row.claim for row in made if row.label == "supported" and row.claim in TEXT} - {
        row.claim for row in made if row.label == "not_enough_info"
    }


def test_claims_about_another_subject_are_never_refuted(tmp_path, monkeypatch):
    monkeypatch.setattr("training.verifier.synthetic._passages", lambda _: [TEXT, OTHER] * 20)
    monkeypatch.setattr("training.verifier.synthetic._short_statements", lambda _: ["Cats sleep.", "Gold is a metal."])
    made = list(unrelated_claims(tmp_path, random.Random(0)))
    assert {row.label for row in made} == {"not_enough_info"}
    assert all(row.spans[0][:2] == (0, len(row.claim)) for row in made)
    assert {"Cats sleep.", "Gold is a metal."} < {row.claim for row in made}
    assert all(row.document in (TEXT, OTHER) for row in made)


def test_of_a_joined_claim_only_the_changed_part_is_marked():
    first, second = "The bridge was opened in 1987.", "Repairs cost 3 million dollars."
    made = rows(lambda generator: _joined(TEXT, first, second, [], generator))
    assert {row.label for row in made} == {"supported", "refuted"}
    for row in made:
        marked = " ".join(row.claim[span.start : span.end] for span in row.spans)
        assert bool(marked) == (row.label == "refuted")
        assert "bridge" not in marked


def test_small_facts_are_in_the_passage_and_their_variations_are_not():
    made = rows(lambda generator: facts(TEXT, generator))
    assert {row.label for row in made} == {"supported", "refuted", "not_enough_info"}
    right = [row for row in made if row.label == "supported"]
    wrong = [row for row in made if row.label != "supported"]
    assert all(row.claim not in row.evidence for row in wrong)
    assert sum(row.claim in row.evidence for row in right) > len(right) / 4
    for row in wrong:
        if row.spans:
            assert all(row.claim[span.start : span.end] for span in row.spans)


def test_cells_of_tables_are_right_in_their_own_row_only():
    made = rows(lambda generator: table_rows(TEXT, generator))
    assert {row.label for row in made} == {"supported", "refuted"}
    for row in made:
        if row.label == "refuted":
            (span,) = row.spans
            assert row.claim[span.start : span.end] in row.evidence.replace(",", "") + row.evidence


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("When was the bridge opened?", "1987", str.isdigit),
        ("Who was the engineer?", "Paula Ostrov", lambda text: text[:1].isupper() or text[:1].isdigit()),
        ("How many lanes are there?", "two lanes", str.islower),
    ],
)
def test_most_wrong_answers_are_of_the_kind_of_the_right_one(question, answer, kind):
    made = rows(lambda generator: wrong_answers(question, [answer], TEXT, "Penguins", generator))
    wrong = [row.claim.removeprefix(f"{question} ") for row in made if not row.claim.endswith("Penguins")]
    assert answer not in wrong
    assert sum(map(kind, wrong)) > 0.7 * len(wrong)
    assert all(row.label != "supported" for row in made)


RECORD = {"name": "Olm Grill", "city": "Linz", "state": "CA", "review_info": [{"review_stars": 4.0, "review_text": "Good."}]}


def claims_about_records(seeds):
    made = []
    for seed in range(seeds):
        generator = random.Random(seed)
        record = _drawn(RECORD, generator)
        made.append((record, _claim(record, json.dumps(record), "document", generator)))
    return made


def test_statements_about_a_record_are_wrong_where_a_span_says_so():
    made = claims_about_records(400)
    assert {row.label for _, row in made} == {"supported", "refuted", "not_enough_info", "not_supported"}
    for record, row in made:
        attributes, marked = record["attributes"], {row.claim[span.start : span.end]: span.kind for span in row.spans}
        assert bool(marked) == (row.label != "supported")
        for text, holds in (("offers outdoor seating", True), ("does not offer outdoor seating", False)):
            if f" {text}" in row.claim:
                value = attributes["OutdoorSeating"]
                expected = None if value is holds else "baseless" if value is None else "conflict"
                assert marked.get(text) == expected
        if f"has {record['business_stars']:g} stars overall" in row.claim:
            assert "stars overall" not in " ".join(marked)


def test_hours_that_hold_on_some_days_only_are_wrong_for_all():
    said_of_all = [
        (record["hours"], row)
        for record, row in claims_about_records(1500)
        if record["hours"] and " every day from " in row.claim
    ]
    assert len(said_of_all) > 20
    for hours, row in said_of_all:
        marked = [row.claim[span.start : span.end] for span in row.spans]
        if len(hours) < 7 or len(set(hours.values())) > 1:
            assert any("every day" in text for text in marked)
