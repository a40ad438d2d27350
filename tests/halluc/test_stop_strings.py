"""Stop strings in text that comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from halluc.models.stop_strings import first_stop, shown_length, until_stop

PIECES = st.lists(st.text(alphabet="ab#\n", max_size=4), max_size=8)
STOPS = st.lists(st.text(alphabet="ab#\n", min_size=1, max_size=3), max_size=3)


@given(PIECES, STOPS)
def test_pieces_join_to_the_text_before_the_first_stop_string(pieces, stop):
    text = "".join(pieces)
    assert "".join(until_stop(iter(pieces), stop)) == text[: first_stop(text, stop)]


@given(PIECES, STOPS)
def test_all_pieces_are_consumed_and_none_is_empty(pieces, stop):
    source = iter(pieces)
    assert all(until_stop(source, stop))
    assert list(source) == []


@given(st.text(alphabet="ab#", max_size=8), st.text(alphabet="ab#", max_size=4), STOPS)
def test_what_is_shown_is_never_taken_back(text, continuation, stop):
    assert shown_length(text, stop) <= shown_length(text + continuation, stop)


def test_only_what_may_become_a_stop_string_is_held_back():
    assert list(until_stop(iter(["one#", "two##", "three"]), ["##"])) == ["one", "#two"]
    assert list(until_stop(iter(["one#"]), ["##"])) == ["one", "#"]
    assert shown_length("one#", ["##"]) == 3
    assert first_stop("a##b#", ["#", "##"]) == 1
    assert first_stop("a", ["#"]) is None
