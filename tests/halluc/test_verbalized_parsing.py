"""Replies of a model that is asked how sure it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.confidence import parse_confidence


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("0.85", 0.85), (".85", 0.85), ("0,85", 0.85), ("1e-3", 0.001), ("~0.3", 0.3), ("<0.9>", 0.9), ("p = 0.4", 0.4),
        ("1", 1), ("1.0", 1), ("0", 0), ("0.0.", 0), ("Score 0.8.", 0.8), ("at least 0.9", 0.9),
        ("85%", 0.85), ("85 %", 0.85), ("85 percent", 0.85), ("100%", 1), ("0%", 0), ("0.8 (80%)", 0.8),
        ("about ninety percent", 0.9), ("ninety-five percent sure", 0.95), ("one per cent", 0.01),
        ("8/10", 0.8), ("9 out of 10", 0.9), ("nine out of ten", 0.9), ("85 out of 100", 0.85), ("a 9 in 10 chance", 0.9),
        ("50/50", 0.5), ("It's 60/40.", 0.6), ("fifty-fifty", 0.5), ("probability 1/4", 0.25),
        ("80-90%", 0.85), ("between 80% and 90%", 0.85), ("80 – 90 %", 0.85), ("0.8-0.9", 0.85), ("0.8 to 0.9", 0.85),
        ("Almost certain", 0.95), ("Highly likely.", 0.9), ("unlikely", 0.2), ("Highly Unlikely", 0.05),
        ("not likely", 0.25), ("Probably not", 0.25), ("A very good chance", 0.8), ("about even", 0.5),
        ("no chance", 0.02), ("Uncertain", 0.3),
        ("I'm not sure.", 0.3), ("I don’t know", 0.1), ("High confidence", 0.7), ("My confidence is low.", 0.3),
    ],
)  # fmt: skip
def test_numbers_percentages_shares_ranges_and_words_are_read(text, confidence):
    assert parse_confidence(text) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("**Probability:** 0.85", 0.85),
        ("Guess: 1945\nProbability: 0.8", 0.8),
        ("Probability: 0.8\nGuess: 0.5 miles", 0.8),
        ("Confidence: 0.9\nExplanation: it ended in 1945, 6 years after 1939.", 0.9),
        ("The answer is 42. Confidence = 30%", 0.3),
        ("Probability: 85", 0.85),
        ("Probability: 0.7/1.0", 0.7),
        ("Confidence: very high", 0.9),
        ("Confidence (0-1): 0.7", 0.7),
        ("On a scale from 0 to 100, my confidence is 70", 0.7),
        ("The probability that the guess is correct, between 0.0 and 1.0, is 0.35.", 0.35),
        ("I'd say 0.75, i.e. high confidence", 0.75),
        ("Likelihood - 0.8", 0.8),
        ("I'm 95% sure it was 1945", 0.95),
        ("Sure! There is a 70% chance", 0.7),
    ],
)
def test_the_confidence_is_distinguished_from_numbers_of_the_answer_and_of_the_scale(text, confidence):
    assert parse_confidence(text) == pytest.approx(confidence)


@pytest.mark.parametrize(
    "text",
    ["", " ", "Paris", "In 1945.", "There is 1 answer.", "3,500 people", "12/05/1999", "150%", "-0.5", "2.5", "NaN",
     "Confidence: 5", "Confidence: 101", "Give a number between 0 and 1."],
)  # fmt: skip
def test_a_text_without_a_confidence_gives_none(text):
    assert parse_confidence(text) is None


@given(st.text() | st.from_regex(r"[0-9.,%/ e-]{0,12}( (confidence|likely|chance): ?[0-9.]{0,4})?", fullmatch=True))
def test_any_text_gives_none_or_a_number_in_the_unit_interval(text):
    stated = parse_confidence(text)
    assert stated is None or 0 <= stated <= 1


@given(st.integers(0, 100))
def test_a_whole_percentage_is_read_as_itself(percent):
    assert parse_confidence(f"I would say {percent} % or so") == pytest.approx(percent / 100)
    assert parse_confidence(f"Probability: {percent / 100:.2f}") == pytest.approx(percent / 100)
