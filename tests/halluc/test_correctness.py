"""Whether a reply gives a right answer, on labeled replies."""

import json
from pathlib import Path

import pytest

from halluc.errors import InvalidInput
from halluc.grading.correctness import gives_answer

_LINES = (Path(__file__).parent / "graded_answers.jsonl").read_text(encoding="utf-8").splitlines()
CASES = [json.loads(line) for line in _LINES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["answer"][:50])
def test_a_reply_is_right_if_it_commits_to_a_reference(case):
    assert gives_answer(case["answer"], case["references"]) is case["right"]


def test_a_string_is_not_taken_for_a_list_of_references():
    with pytest.raises(InvalidInput, match="references is one string, 'France'"):
        gives_answer("France", "France")


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
