"""Numbered questions, answers and judgments, parsed from what models really write."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.cove.parsing import parse_answers, parse_consistency, parse_question_answers, parse_questions

TWO = ["Where was Ada born?", "When did she die?"]


@pytest.mark.parametrize(
    "text",
    [
        "1. Where was Ada born?\n2. When did she die?",
        "1) Where was Ada born?\n\n2) When did she die?\n",
        "(1) Where was Ada born? (2) When did she die?",
        "1. Where was Ada born? 2. When did she die?",
        "Sure! Want some? Here they are:\n\n1. **Where was Ada born?**\n2. **When did she die?**\n\nHope it helps!",
        "Q1: Where was Ada born?\nA1: In London.\nQ2: When did she die?\nA2: In 1852.",
        "Question 1: Where was Ada born?\nQuestion 2: When did she die?",
        "- Where was Ada born?\n* When did she die?",
        "• Where was Ada born?\n• When did she die?",
        "① Where was Ada born？\n② When did she die？",
        "1. Question: Where was Ada born?\n2. Question: When did she die?",
        "Where was Ada born?\nWhen did she die?",
        '1. "Where was Ada born?"\n2. "When did she die?"',
        "1. Where was Ada born?\n1. Where was Ada born?\n2. When did she die?\n3. where was ada born?",
        "1. Where was Ada born?\n2. Ada was born in London.\n3. When did she die?",
        "#1. Where was Ada born?\n#2. When did she die?",
    ],
)
def test_messy_lists_of_questions_are_read(text):
    assert parse_questions(text) == TWO


@pytest.mark.parametrize(
    "text", ["", "None.", "The answer is right.", "1. Ada was born in London.", "1.\n2.\n3.", "?\n??", "1. Why?"]
)
def test_what_is_no_question_is_left_out(text):
    assert parse_questions(text) == []


def test_requests_to_check_count_where_they_are_numbered():
    assert parse_questions("1. Verify that Ada was born in London\n2. Lovely weather today") == [
        "Verify that Ada was born in London"
    ]


def test_the_limit_cuts_and_overlong_items_are_left_out():
    assert parse_questions("\n".join(f"{i}. Is {i} a number?" for i in range(1, 30)), 3) == [
        "Is 1 a number?",
        "Is 2 a number?",
        "Is 3 a number?",
    ]
    assert parse_questions(f"1. Is {'very ' * 100}long?") == []


@pytest.mark.parametrize(
    "text",
    [
        "1. Where was Ada born? London.\n2. When did she die? 1852.",
        "1. Where was Ada born?\nAnswer: London.\n2. When did she die?\nAnswer: 1852.",
        "Q1: Where was Ada born?\nA1: London.\n\nQ2: When did she die?\nA2: 1852.",
        "1. Where was Ada born? - A: London. 2. When did she die? - A: 1852.",
    ],
)
def test_questions_are_separated_from_their_answers(text):
    assert [(q, a.removeprefix("- A: ")) for q, a in parse_question_answers(text)] == [
        (TWO[0], "London."),
        (TWO[1], "1852."),
    ]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("1. London\n2. 1852", ["London", "1852"]),
        ("2. 1852\n1. London", ["London", "1852"]),
        ("London\n1852", ["London", "1852"]),
        ("Answer 1: London\nAnswer 2: 1852", ["London", "1852"]),
        ("1. Where was Ada born? London\n2. When did she die? 1852", ["London", "1852"]),
        ("1. London\n   in England\n2. 1852", ["London in England", "1852"]),
        ("2. 1852", ["", "1852"]),
        ("1. London\n1. Paris\n9. Rome", ["London", ""]),
        ("I would rather not say anything", ["", ""]),
        ("", ["", ""]),
    ],
)
def test_answers_are_matched_by_number(text, answers):
    assert parse_answers(text, 2) == answers


def test_a_single_answer_needs_no_number():
    assert parse_answers("She was born\nin London.", 1) == ["She was born in London."]


@pytest.mark.parametrize(
    ("text", "judgment"),
    [
        ("CONSISTENT", "consistent"),
        ("Inconsistent. The source says 1852.", "inconsistent"),
        ("Partially consistent: the year differs.", "partially consistent"),
        ("The two are not consistent", "inconsistent"),
        ("They contradict each other", "inconsistent"),
        ("CONSISTENT, PARTIALLY CONSISTENT or INCONSISTENT", None),
        ("Yes", None),
        ("", None),
    ],
)
def test_judgments_are_read_and_doubtful_ones_are_not(text, judgment):
    assert parse_consistency(text) == judgment


@given(st.text(alphabet=st.sampled_from("12Aa?.:)( \n-*Q①"), max_size=200), st.integers(1, 5))
def test_nothing_breaks_the_parsers(text, count):
    pairs = parse_question_answers(text, count)
    assert len(pairs) <= count
    assert len({question.casefold() for question, _ in pairs}) == len(pairs)
    assert len(parse_answers(text, count)) == count
    parse_consistency(text)


@pytest.mark.parametrize("filler", [" ", "- ", "1. ", "? ", "(", "\t"])
def test_a_long_line_of_noise_is_parsed_in_a_moment(filler):
    """A line of 20,000 spaces took a minute."""
    text = "1. Where was Ada born?" + filler * (20_000 // len(filler)) + "x"
    begin = time.process_time()
    parse_question_answers(text)
    parse_answers(text, 3)
    parse_consistency(text)
    assert time.process_time() - begin < 3
