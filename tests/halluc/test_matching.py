import pytest

from halluc.errors import InvalidInput
from halluc.grading.matching import contains_answer, normalize_answer


@pytest.mark.parametrize(
    ("text", "accepted", "right"),
    [
        ("They gave up 308 points.", ["308"], True),
        ("They gave up 3081 points.", ["308"], False),
        ("It was THE Denver-Broncos!", ["denver broncos"], True),
        ("In twelve-seven, 12-7.", ["127"], False),
        ("An apple.", ["the apple"], True),
        ("Anapple", ["apple"], False),
        ("right", ["wrong", "right"], True),
        ("anything", ["?", "the"], False),
        ("", ["x"], False),
        ("x", [], False),
    ],
)
def test_a_reference_matches_whole_words_of_the_normalized_answer(text, accepted, right):
    assert contains_answer(text, accepted) is right


def test_normalizing_twice_changes_nothing_more():
    once = normalize_answer("  The U.S.  of\nA! ")
    assert once == "u s of"
    assert normalize_answer(once) == once


def test_a_string_is_not_taken_for_a_list_of_references():
    """Its letters would be references."""
    with pytest.raises(InvalidInput, match="references is one string, '308'"):
        contains_answer("They gave up 3 points.", "308")
