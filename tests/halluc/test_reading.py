"""How texts are written before they are read, and where their characters end up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.verification.reading import as_read, moved_span


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("It weighs 3,420 kg.", "It weighs 3420 kilograms."),
        ("Opened on 2021-03-05.", "Opened on 5 March 2021."),
        ("Name | Price\nBasic | 5 EUR\nGreen | 7 EUR", "Name: Basic; Price: 5 euros.\nName: Green; Price: 7 euros."),
        ("Nothing to change here.", "Nothing to change here."),
    ],
)
def test_tables_and_quantities_are_written_in_one_way(text, written):
    assert as_read(text) == written


def test_a_span_moves_with_its_words():
    text = "The bridge of 3,420 meters opened on 2021-03-05 in Graz."
    written = as_read(text)
    for part in ("Graz", "opened", "2021-03-05", "bridge of"):
        start, end = moved_span(text, written, text.index(part), text.index(part) + len(part))
        expected = {"2021-03-05": "5 March 2021"}.get(part, part)
        assert expected in written[start:end]
        back = moved_span(written, text, start, end)
        assert part in text[slice(*back)]


def test_a_part_of_an_unchanged_word_keeps_its_characters():
    text = "On 2021-03-05 the Sternwarte closed."
    written = as_read(text)
    start = text.index("warte")
    moved = moved_span(text, written, start, start + 5)
    assert written[slice(*moved)] == "warte"


@given(st.lists(st.sampled_from(["a", "b", "cc", "1,000", "x-y", "2021-03-05"]), min_size=1, max_size=12), st.data())
def test_moved_spans_are_inside_the_rewritten_text(words, data):
    text = " ".join(words)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    written = as_read(text)
    moved = moved_span(text, written, start, end)
    assert 0 <= moved[0] <= moved[1] <= len(written)
