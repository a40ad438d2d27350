import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.verifier.corruption import corrupt, names, restate, simplify


def test_names_are_capitalized_words_that_do_not_only_begin_a_sentence():
    text = "Yesterday Marie Curie met Pierre in Warsaw. Then she joined the University of Paris on Monday."
    assert names(text) == ["Yesterday Marie Curie", "Pierre", "Warsaw", "University of Paris"]


@pytest.mark.parametrize(
    ("sentence", "pattern"),
    [
        ("The tower was opened in 1889.", r"in (?!1889)\d{4}\."),
        ("It has 1,500 rooms.", r"has (?!1,500\b)[\d,]+ rooms"),
        ("They met on 4 May.", r"on (?:(?!4 )\d+ May|4 (?!May)[A-Z][a-z]+)\."),
        ("Prices increased.", r"Prices decreased\."),
        ("Water is wet.", r"Water is (?:not|never) wet\."),
        ("Water is not dry.", r"Water is dry\."),
        ("The tower, which is only open in May, is old.", r"which is open in May"),
        ("Carla Weber praised Anna Berg at the gala.", r"^Anna Berg praised Carla Weber at the gala\."),
        ("The load weighs 20 kilograms.", r"weighs 20 (?:grams|tonnes|pounds)\."),
    ],
)
def test_one_fact_is_changed_and_the_result_is_refuted(sentence, pattern):
    results = {corrupt(sentence, [], random.Random(seed)) for seed in range(40)} - {None}
    changed = [text for text, label in results if label == "refuted"]
    assert any(re.search(pattern, text) for text in changed), results
    assert sentence not in changed


@pytest.mark.parametrize(
    "sentence",
    ["Carla Weber met Anna Berg.", "The station is in Linz.", "Carla Weber lives with Anna Berg.", "Rain fell in Linz."],
)
def test_relations_that_hold_both_ways_are_not_swapped(sentence):
    words = sorted(sentence.rstrip(".").lower().split())
    results = {corrupt(sentence, [], random.Random(seed)) for seed in range(40)} - {None}
    assert all(sorted(text.rstrip(".").lower().split()) != words for text, label in results if label == "refuted")


@pytest.mark.parametrize(
    ("sentence", "restated"),
    [
        ("It weighs 3,420 kilograms.", "It weighs 3420 kg."),
        ("She was born on 7 November 1867.", "She was born on November 7, 1867."),
        ("She was born on November 7, 1867.", "She was born on 1867-11-07."),
        ("It took 18 percent of it.", "It took 18% of it."),
        ("It has twelve rooms.", "It has 12 rooms."),
        ("Sales rose in May.", "Sales increased in May."),
    ],
)
def test_restated_sentences_say_the_same_in_other_words(sentence, restated):
    assert restated in {restate(sentence, random.Random(seed)) for seed in range(60)}


def test_a_swapped_name_comes_from_the_others_and_leaves_open_whether_it_is_refuted():
    sentence = "The prize went to Marie Curie that year"
    results = {corrupt(sentence, ["Albert Einstein", "Marie"], random.Random(seed)) for seed in range(40)}
    assert ("The prize went to Albert Einstein that year", None) in results
    assert not any("to Marie that" in text for text, _ in results)


def test_a_sentence_without_a_fact_to_change_gives_none():
    assert corrupt("hello there", [], random.Random(0)) is None


def test_simplified_sentences_say_less():
    sentence = "In March 1990, the river (a tributary of the Elbe) flooded the town, which is near Prague."
    results = {simplify(sentence, random.Random(seed)) for seed in range(40)}
    assert "The river flooded the town" in results
    assert all("tributary" not in text for text in results)


@given(st.text(max_size=80), st.integers(0, 5))
def test_any_text_is_accepted(text, seed):
    changed = corrupt(text, ["Ada Lovelace"], random.Random(seed))
    assert changed is None or changed.text != text
    simplify(text, random.Random(seed))
    restate(text, random.Random(seed))
