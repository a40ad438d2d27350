"""Tables, objects and lists of keys with values are written as sentences; everything else is left as it is."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.structured import readable, structured_blocks

ROWS = "Country: France; Capital: Paris; Population: 68 million.\nCountry: Italy; Capital: Rome; Population: 59 million."
TABLES = {
    "markdown": "| Country | Capital | Population |\n|---|:-:|--:|\n"
    "| France | Paris | 68 million |\n| **Italy** | Rome | 59 million |",
    "pipes": "Country | Capital | Population\nFrance | Paris | 68 million\nItaly | Rome | 59 million",
    "csv": 'Country,Capital,Population\nFrance,"Paris",68 million\nItaly,Rome,59 million',
    "tsv": "Country\tCapital\tPopulation\nFrance\tParis\t68 million\nItaly\tRome\t59 million",
    "html": "<table class='x'><tr><th>Country</th><th>Capital</th><th>Population</th></tr>\n"
    "<tr><td>France</td><td><b>Paris</b></td>"
    "<td>68&nbsp;million</td></tr><tr><td>Italy<td>Rome<td>59 million</table>",
    "json": '[{"Country": "France", "Capital": "Paris", "Population": "68 million"},\n'
    ' {"Country": "Italy", "Capital": "Rome", "Population": "59 million"}]',
    "python": "[{'Country': 'France', 'Capital': 'Paris', 'Population': '68 million'}, "
    "{'Country': 'Italy', 'Capital': 'Rome', 'Population': '59 million', 'Note': None}]",
}
BUSINESS = {
    "name": "Finch & Fork",
    "hours": {"Monday": "17:30-23:0", "Sunday": "9:0-14:0"},
    "attributes": {"BusinessParking": {"garage": True, "lot": False}, "WiFi": "free", "OutdoorSeating": None},
    "business_stars": 4.0,
    "tags": ["brunch", "bars"],
    "review_info": [{"review_stars": 5, "review_text": "What a great brunch. " * 10}],
}
PROSE = (
    "The bridge opened in 1987, and it is long. It has, as of today, two lanes.",
    "Paris, France\nBerlin, Germany\nRome, Italy",
    "He said: no.\nShe said, well, yes.\n\nThey left, in the end, together.",
    "See [1] and [2, 3]. The set {a, b} is small; f(x) = {x} | {y}.",
    "Ann: Hello.\nBob: Hello.\nAnn: How are you?\nBob: Fine.",
    "Note: this is a remark.\nIt goes on here.",
    '{"unfinished": ',
    "[[[[ {{{{ ((((",
    "a | b",
    "x = 3\ny = 4",
)


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_becomes_a_sentence_per_row_and_the_text_around_it_stays(kind):
    assert readable(TABLES[kind]) == ROWS
    assert readable(f"These are countries.\n\n{TABLES[kind]}\n\nThat is all, more or less.") == (
        f"These are countries.\n\n{ROWS}\n\nThat is all, more or less."
    )


def test_a_nested_object_is_written_with_its_keys_in_words_and_its_long_texts_apart():
    text = readable("Data: " + json.dumps(BUSINESS))
    assert text.split("\n")[:7] == [
        "Data: Name: Finch & Fork.",
        "Hours: Monday: 17:30-23:0; Sunday: 9:0-14:0.",
        "Attributes, business parking: garage: yes; lot: no.",
        "Attributes: WiFi: free.",
        "Business stars: 4; tags: brunch, bars.",
        "Review info 1: review stars: 5.",
        "Review info 1: review text: " + ("What a great brunch. " * 10).strip(),
    ]
    assert readable(str(BUSINESS)) == readable(json.dumps(BUSINESS)) == readable(json.dumps(BUSINESS, indent=4))


def test_an_object_cut_off_at_the_end_of_a_passage_is_read_as_far_as_it_goes():
    text = json.dumps(BUSINESS)
    assert "Hours: Monday: 17:30-23:0; Sunday: 9:0-14:0." in readable(text[: text.index("OutdoorSeating")])
    assert "What a great brunch." in readable(text[: text.index("brunch. What") + 7])


def test_lists_of_keys_with_values_become_one_sentence():
    assert readable("Facts\n\n- **Name:** Finch & Fork\n- City: Santa Barbara\n- open_late = no\n\nEnd") == (
        "Facts\n\nName: Finch & Fork; City: Santa Barbara; open late: no.\n\nEnd"
    )
    assert readable("| Property | Value |\n|---|---|\n| Weight | 3 kg |\n| Color | red |") == "Weight: 3 kg; Color: red."
    assert readable("<table><tr><th>Capital</th><td>Paris</td></tr><tr><th>Area</th><td>105 km</td></tr></table>") == (
        "Capital: Paris; Area: 105 km."
    )


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_left_as_it_is(text):
    assert readable(text) == text
    assert structured_blocks(text) == []


_PIECES = ['{"', '": ', "[", "]", "}", "|", "\n", ",", "a", "1", "<table>", "<td>", "\t", "-"]


@given(st.text() | st.lists(st.sampled_from(_PIECES)).map("".join))
def test_no_text_fails_and_values_lie_where_they_say(text):
    readable(text)
    last = 0
    for block in structured_blocks(text):
        assert last <= block.start < block.end <= len(text)
        last = block.end
        for record in block.records:
            assert all(block.start <= field.start <= field.end <= block.end for field in record.fields)


_REPEATED = ['{"', "[{", "{'a': ", "| a ", "a,b\n", "a: b\n", "<table><tr>", '{"a": [', "<td", "\\", '"a": 1,\n']


@pytest.mark.parametrize("piece", _REPEATED)
def test_reading_takes_time_linear_in_the_text(piece):
    def seconds(count):
        times = []
        for _ in range(3):
            start = time.process_time()
            readable(piece * count)
            times.append(time.process_time() - start)
        return min(times)

    seconds(1000)
    assert seconds(8_000) < 8 * seconds(2_000) + 0.05
