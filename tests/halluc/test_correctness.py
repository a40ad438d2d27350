"""Whether a reply gives a right answer, on labeled replies."""

import json
from pathlib import Path

import pytest

from halluc.errors import InvalidInput
from halluc.grading.correctness import gives_answer


def cases(name):
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("case", cases("graded_answers.jsonl"), ids=lambda case: case["answer"][:50])
def test_a_reply_is_right_if_it_commits_to_a_reference(case):
    assert gives_answer(case["answer"], case["references"]) is case["right"]


@pytest.mark.parametrize("case", cases("several_answers.jsonl"), ids=lambda case: case["answer"][:50])
def test_several_answers_of_whatever_kind_are_none_and_an_explained_answer_is_one(case):
    """Those marked as missed are known errors."""
    graded = gives_answer(case["answer"], case["references"]) is case["right"]
    assert graded is not case.get("missed", False)


def test_a_string_is_not_taken_for_a_list_of_references():
    with pytest.raises(InvalidInput, match="references is one string, 'France'"):
        gives_answer("France", "France")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("7", "seven"), ("It has seven.", "7"), ("There are 7 of them.", "seven"), ("Twelve.", "12"), ("nineteen", "19"),
        ("Twenty One", "21"), ("twenty-one", "21"), ("ninety", "90"), ("a hundred", "100"),
        ("one thousand two hundred", "1200"),
        ("two hundred and fifty thousand", "250,000"), ("250000", "250,000"), ("3 million", "three million"),
        ("3,000,000", "three million"), ("1.5 million", "1,500,000"), ("seven years", "7 years"), ("seven-year-old", "7"),
        ("World War 2", "World War Two"), ("It is one.", "1"), ("1", "one"), ("They won 12 games", "twelve games"),
    ],
)  # fmt: skip
def test_a_number_is_the_same_in_words_and_in_digits(answer, reference):
    assert gives_answer(answer, [reference])


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("one of the cities", "1"), ("No one knows", "1"), ("the other one", "1"), ("someone", "1"),
        ("One day it rained", "1"),
        ("one-third", "1"), ("two thirds", "2"), ("two and a half", "2"), ("two dozen", "2"), ("two hundredths", "2"),
        ("half a million", "1,000,000"), ("seven point five", "7"), ("seven hundred", "7"), ("seventeen", "7"),
        ("seventy-seven", "7"), ("twenty-one", "20"), ("one hundred million", "100"), ("fifty-fifty", "50"),
        ("nineteen forty-five", "19"), ("May 4, 1990", "four"), ("Home Alone 4", "four"), ("-128.6", "six"), ("2%", "two"),
        ("JULY 2, 2016", "Two."),
        ("not seven", "7"), ("7 or eight", "7"), ("seven or eight", "7"), ("Seven or Alien", "Seven"),
    ],
)  # fmt: skip
def test_a_word_that_is_part_of_another_number_or_counts_nothing_is_no_number(answer, reference):
    assert not gives_answer(answer, [reference])


@pytest.mark.parametrize("names", [["Chad", "Peru", "Cuba", "Fiji", "Laos", "Mali", "Oman", "Iraq", "Nepal", "Kenya"]])
def test_one_reply_for_every_question_is_never_right(names):
    """What a policy learns that is paid for containing the answer."""
    for template in (", ".join, " ".join, "\n".join, " or ".join, ". ".join):
        assert not any(gives_answer(template(names), [name]) for name in names)
        assert not any(gives_answer(f"It is {template(names)}.", [name]) for name in names)
    denials = " ".join(f"It is not in {name}." for name in names)
    assert not any(gives_answer(denials, [name]) for name in names)
    assert not any(gives_answer("It is not in " + ", it is not in ".join(names), [name]) for name in names)


def test_a_list_of_anything_is_no_answer_and_a_sentence_with_details_is_one():
    listed = "Carl Dahl, Ada Berg, 1902, 1987, London, the committee"
    assert not gives_answer(listed, ["Ada Berg"])
    assert not gives_answer(listed, ["1902"])
    assert gives_answer("It was opened in 1900, in May, by Ada Berg, the mayor, at noon.", ["Ada Berg"])
    assert gives_answer("Lyon, Rhône, France", ["Lyon"])
    assert not gives_answer("It is 1900. It is Ada Berg. It is Eva Falk.", ["1900"])
    assert gives_answer("It is Paris. It is big. It is old.", ["Paris"])
