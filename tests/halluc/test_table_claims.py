"""The cells of tables and objects in an answer are claims of their own, with their place in the answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import halluc
from halluc.claims import LMClaimExtractor, RuleClaimExtractor
from halluc.claims.abstention import abstains
from halluc.claims.markup import plain_text

EXPECTED = {
    "The capital of France is Paris.": "Paris",
    "The population of France is 68 million.": "68 million",
    "The capital of Italy is Rome.": "Rome",
    "The population of Italy is 59 million.": "59 million",
}
TABLES = {
    "markdown": "| Country | Capital | Population |\n|---|---|---|\n"
    "| France | Paris | 68 million |\n| Italy | Rome | 59 million |",
    "csv": "#,Country,Capital,Population\n1,France,Paris,68 million\n2,Italy,Rome,59 million",
    "html": "<table><tr><th>Country</th><th>Capital</th><th>Population</th></tr><tr><td>France</td><td>Paris</td>"
    "<td>68 million</td></tr><tr><td>Italy</td><td>Rome</td><td>59 million</td></tr></table>",
    "json": '[{"name": "France", "capital": "Paris", "population": "68 million"},\n'
    ' {"name": "Italy", "capital": "Rome", "population": "59 million"}]',
    "fenced": "```csv\nCountry,Capital,Population\nFrance,Paris,68 million\nItaly,Rome,59 million\n```",
}


def claims_of(text):
    return [claim for claim in RuleClaimExtractor().extract([text])[0] if claim.check_worthy]


@pytest.mark.parametrize("kind", TABLES)
def test_every_cell_is_a_claim_with_its_row_and_header_and_points_at_the_cell(kind):
    text = f"The bridge opened in 1987.\n\n{TABLES[kind]}\n\nThe road has two lanes."
    claims = claims_of(text)
    assert [claim.text for claim in claims] == ["The bridge opened in 1987.", *EXPECTED, "The road has two lanes."]
    assert {claim.text: text[claim.start : claim.end] for claim in claims[1:-1]} == EXPECTED
    assert [claim.text for claim in claims_of(TABLES[kind])] == list(EXPECTED)


def test_marks_in_cells_are_no_part_of_a_claim():
    text = "| Country | Capital | EU member |\n|---|---|---|\n| France | **Paris** [1] | ✅ |\n| Norway | Oslo | ❌ |"
    assert [claim.text for claim in claims_of(text)] == [
        "The capital of France is Paris.",
        "France, EU member: yes.",
        "The capital of Norway is Oslo.",
        "Norway, EU member: no.",
    ]


def test_an_object_is_judged_by_its_entries_and_a_reply_in_an_object_is_not():
    text = json.dumps({"name": "Finch & Fork", "city": "Santa Barbara", "hours": {"Monday": "9:00-17:00"}, "open": True})
    assert [claim.text for claim in claims_of(text)] == [
        "The city of Finch & Fork is Santa Barbara.",
        "Finch & Fork, hours, Monday: 9:00-17:00.",
        "Finch & Fork, open: yes.",
    ]
    assert plain_text('{"answer": "Paris is in France.", "confidence": 0.9}').tables == ()


def test_a_list_of_keys_is_about_its_name_and_one_of_sentences_is_prose():
    text = "Details:\n- **Name**: Finch & Fork\n- **City**: Santa Barbara\n- **Phone**: 555-0100"
    assert [claim.text for claim in claims_of(text)] == [
        "The city of Finch & Fork is Santa Barbara.",
        "The phone of Finch & Fork is 555-0100.",
    ]
    prose = "- **Security**: The data is encrypted.\n- **Speed**: It takes two days.\n- **Price**: It costs 5 euros."
    assert plain_text(prose).tables == ()


@pytest.mark.parametrize(
    "text", ["```python\nx = {'name': 'A', 'city': 'B'}\n```", "```\na,b\n1,2\n```", "```json\n[1, 2]\n```"]
)
def test_code_is_listed_as_unchecked(text):
    [claim] = RuleClaimExtractor().extract([text])[0]
    assert (claim.text, claim.check_worthy) == (text, False)


def test_an_answer_that_is_only_a_table_is_an_answer():
    assert not abstains(TABLES["markdown"])
    assert not abstains(f"I don't know more than this.\n\n{TABLES['markdown']}")


def test_a_wrong_cell_is_named_by_a_check_and_its_place_is_the_cell():
    text = "| Country | Capital |\n|---|---|\n| France | Paris |\n| Italy | Oslo |"
    context = "Paris is the capital of France. Rome is the capital of Italy."
    report = halluc.check(text, context=context)
    assert [verdict.claim.text for verdict in report.verdicts] == [
        "The capital of France is Paris.",
        "The capital of Italy is Oslo.",
    ]
    assert report.verdicts[0].support > report.verdicts[1].support
    wrong = report.verdicts[1].claim
    assert text[wrong.start : wrong.end] == "Oslo"


def test_a_language_model_is_not_asked_about_tables(lm):
    assert [claim.text for claim in LMClaimExtractor(lm).extract([TABLES["csv"]])[0]] == list(EXPECTED)


_PIECES = [
    "| a | b |\n",
    "|---|---|\n",
    "a,b\n",
    '{"a": "b"}',
    "```json\n",
    "```\n",
    "Paris is big. ",
    "<table>",
    "<td>x",
    "**",
]
_PIECES += ["name: A\n", "\n"]


@given(st.lists(st.sampled_from(_PIECES)).map("".join))
def test_claims_lie_in_the_answer_in_order(text):
    claims = plain_text(text).in_original([])
    assert all(0 <= claim.start < claim.end <= len(text) for claim in claims)
    assert [claim.start for claim in claims] == sorted(claim.start for claim in claims)
