import json
import time
from pathlib import Path

import pytest

from halluc.claims.abstention import abstains, content_span, is_hedged, reply_kind

CASES = [json.loads(line) for line in (Path(__file__).parent / "abstentions.jsonl").read_text(encoding="utf-8").splitlines()]

ABSTENTIONS = [
    "",
    " \n",
    "...",
    "I don't know.",
    "i dont know",
    "I don’t know the answer to that question.",
    "Don't know.",
    "Unknown",
    "N/A",
    "IDK",
    "Not sure.",
    "No idea!",
    "I'm not sure.",
    "I am not certain about the exact date.",
    "I'm sorry, but I don't have information about that.",
    "I'm sorry, I can't answer that question.",
    "Sorry, I cannot help with that.",
    "As an AI language model, I don't have access to real-time data.",
    "I'm an AI assistant and I am unable to verify that.",
    "I do not have enough information to answer.",
    "I have no information about this person. Please consult a reliable source.",
    "I don't know. You can check the museum's website for details.",
    "I couldn't find any record of it.",
    "The passages do not mention the year.",
    "The answer is not given in the text.",
    "The text does not specify who won.",
    "There is no information about the score in the passage.",
    "The origin of the name is unknown.",
    "It is unclear.",
    "It is impossible to say.",
    "This cannot be determined from the context.",
    "Nobody knows.",
    "Not enough information.",
    "I have no comment.",
    "I don't know who wrote it, it is not in the passage.",
    "Although I cannot say who it was, you can look it up in a library.",
    "I will not answer this; I must decline.",
    "I don't know the name of the actor, the director, or the producer.",
    "Unfortunately, I don't recall who painted it. Is there anything else you would like to know?",
]
ANSWERS = [
    "Paris",
    "308",
    "No.",
    "None",
    "Yes, it is.",
    "The capital is Paris.",
    "I think it was Paris.",
    "I'm not sure, but I think it was Paris.",
    "I don't know, maybe Paris.",
    "I don't know exactly, but it was 1928.",
    "Although the exact date is unknown, he was born in Rome.",
    "Paris, but I'm not sure.",
    "I'm not sure, it was Paris.",
    "While I don't have access to live data, I can tell you that it was Paris.",
    "I'm sorry for the confusion. The capital is Paris.",
    "The Unknown Soldier was buried in 1920.",
    "He was not sure of himself.",
    "They could not find the ship until 1985.",
    "The unknown artist was born in 1920.",
    "It was Fleming who said: nothing is certain.",
    "As an AI, I can tell you that the capital is Paris.",
    "The treaty was signed in 1648. I don't know more about it.",
    "Sure! The capital is Paris.",
    "The Panthers did not give up 308 points.",
    "How can I help you today?",
]


@pytest.mark.parametrize("reply", ABSTENTIONS)
def test_a_reply_that_gives_no_answer_abstains(reply):
    assert abstains(reply)


@pytest.mark.parametrize("reply", ANSWERS)
def test_a_reply_that_answers_also_with_doubt_does_not(reply):
    assert not abstains(reply)


@pytest.mark.parametrize("label", ["abstention", "answer", "hedged"])
@pytest.mark.parametrize("part", ["tuned on", "held out"])
def test_replies_of_a_labeled_list_in_thirty_languages_are_recognized(label, part):
    """The rules were tuned on the even lines; the odd ones were only counted."""
    rows = [case for case in CASES[part == "held out" :: 2] if case["label"] == label]
    wrong = [row["text"] for row in rows if reply_kind(row["text"]) != label]
    assert len(rows) > 35
    assert len(wrong) <= 0.02 * len(rows), wrong


@pytest.mark.parametrize(
    "reply",
    ["<think>It is 1987.</think>I don't know.", "**I don't know.** [1]", "> Unknown", "(No answer)", '"I\'m not sure."'],
)
def test_thoughts_and_markup_do_not_hide_an_abstention(reply):
    assert abstains(reply)


def test_only_code_or_a_citation_is_no_abstention():
    assert reply_kind("```\nprint(1)\n```") == "answer"
    assert reply_kind("[1]") == "answer"
    assert reply_kind("<think>It is 1987.") == "abstention"


@pytest.mark.parametrize(
    ("sentence", "states", "hedged"),
    [
        ("I'm not sure, but I think the bridge opened in 1987.", "the bridge opened in 1987.", True),
        ("The bridge opened in 1987, but I don't know who built it.", "The bridge opened in 1987", False),
        ("Kawann Short, I think.", "Kawann Short", True),
        ("It is important to note that the drug is toxic.", "the drug is toxic.", False),
        ("However, the customers waited.", "However, the customers waited.", False),
        ("Ich glaube, die Frist beträgt drei Monate.", "die Frist beträgt drei Monate.", True),
        ("The cause of the fire is unknown.", "The cause of the fire is unknown.", False),
        ("Five men died on the Asi.", "Five men died on the Asi.", False),
    ],
)
def test_what_a_sentence_states_is_found_without_the_doubt_around_it(sentence, states, hedged):
    start, end, found = content_span(sentence)
    assert (sentence[start:end], found) == (states, hedged)


@pytest.mark.parametrize("sentence", ["I don't know who built it.", "The text does not say when.", "Sure!", "Keine Ahnung."])
def test_refusals_and_small_talk_state_nothing(sentence):
    assert content_span(sentence) is None


@pytest.mark.parametrize(
    "claim",
    ["It may be red.", "Perhaps it is red.", "It is said to be red.", "It was 1928, or maybe 1930.", "He could have left."],
)
def test_a_claim_that_does_not_commit_is_hedged(claim):
    assert is_hedged(claim)


@pytest.mark.parametrize("claim", ["It fell in May 1940.", "He could read at three."])
def test_a_month_and_an_ability_are_no_hedges(claim):
    assert not is_hedged(claim)


@pytest.mark.parametrize("unit", ["a", "no ", "sorry ", "I think ", "not ", "(", "'a", "“", "„a", "知", "it is "])
def test_long_replies_of_anything_are_judged_in_a_moment(unit):
    begin = time.process_time()
    reply_kind(unit * 50_000)
    content_span(unit * 50_000)
    assert time.process_time() - begin < 5
