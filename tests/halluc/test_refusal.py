import pytest

from halluc.grading.refusal import abstains

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
