"""Preferences that a model labels: both orders, several principles, and what cannot be labeled."""

import math

import pytest

from halluc.errors import InvalidInput
from halluc.models.language_model import Generation
from training.preferences.ai_labels import AILabel, PrincipleVote, draw_principles, label_preferences
from training.preferences.constitution import Principle, load_principles

TRUE = Principle("true", "c", "r", "Which answer is true?")
SHORT = Principle("short", "c", "r", "Which answer is shorter?")


class Choosing:
    """Chooses the first position with a probability that depends on the question and on the first answer shown."""

    name = "choosing"
    context_window = None

    def __init__(self, script):
        self.script = script

    def generate(self, prompts, *, n=1, max_new_tokens=64, temperature=0.0, top_logprobs=0):
        return [[self.reply(prompt)] for prompt in prompts]

    def reply(self, prompt):
        p = next(p for (shown, question), p in self.script.items() if f"Answer 1: {shown}" in prompt and question in prompt)
        return Generation("1", top_logprobs=((("1", math.log(p)), (" 2", math.log(1 - p))),))


def test_both_orders_and_all_principles_are_averaged():
    lm = Choosing({("Rome", "true"): 0.6, ("Paris", "true"): 0.9, ("Rome", "shorter"): 0.5, ("Paris", "shorter"): 0.2})
    (label,) = label_preferences(lm, ["Capital of France?"], ["Paris"], ["Rome"], [[TRUE, SHORT]])
    votes = label.votes
    assert [vote.principle for vote in votes] == ["true", "short"]
    assert [vote.shown_first for vote in votes] == pytest.approx([0.9, 0.2])
    assert [vote.shown_second for vote in votes] == pytest.approx([0.4, 0.5])
    assert [vote.probability for vote in votes] == pytest.approx([0.65, 0.35])
    assert label.probability == pytest.approx(0.5)
    assert [vote.orders_agree for vote in votes] == [False, True]


def test_the_label_of_swapped_answers_is_the_opposite_whatever_position_a_real_model_prefers(lm):
    prompts = [[{"role": "user", "content": "What is the capital of France?"}]]
    one, two = ["The capital of France is Paris."], ["Bananas are yellow."]
    principles = [load_principles()[:2]]
    (label,) = label_preferences(lm, prompts, one, two, principles)
    (swapped,) = label_preferences(lm, prompts, two, one, principles)
    assert swapped.probability == pytest.approx(1 - label.probability, abs=1e-3)
    assert label.to_dict() == {
        "probability": label.probability,
        "votes": [vote.to_dict() for vote in label.votes],
    }
    assert AILabel(label.probability, tuple(PrincipleVote(**vote.to_dict()) for vote in label.votes)) == label


def test_every_principle_of_the_package_can_label():
    assert all(principle.preference.endswith("?") for principle in load_principles())


def test_what_cannot_be_labeled_is_named():
    silent = Principle("silent", "c", "r")
    with pytest.raises(InvalidInput, match="'silent' has no preference; write the question"):
        label_preferences(Choosing({}), ["?"], ["a"], ["b"], [[silent]])
    with pytest.raises(InvalidInput, match="row 0 has no principles"):
        label_preferences(Choosing({}), ["?"], ["a"], ["b"], [[]])
    with pytest.raises(InvalidInput, match="2"):
        label_preferences(Choosing({}), ["?"], ["a", "b"], ["b"], [[TRUE]])
    assert label_preferences(Choosing({}), [], [], [], []) == []


def test_principles_are_drawn_without_repetition_and_by_the_seed():
    drawn = draw_principles([TRUE, SHORT], 20, count=2, seed=1)
    assert all({principle.name for principle in row} == {"true", "short"} for row in drawn)
    one = draw_principles([TRUE, SHORT], 20, count=1, seed=1)
    assert one == draw_principles([TRUE, SHORT], 20, count=1, seed=1)
    assert {row[0].name for row in one} == {"true", "short"}
    with pytest.raises(InvalidInput, match="3 principles per row were requested; pass 1 to 2"):
        draw_principles([TRUE, SHORT], 1, count=3, seed=0)


def test_a_preference_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("principles: [{name: a, critique: b, revision: c, preference: 3}]")
    with pytest.raises(InvalidInput, match=r"principle 0 of .* has the preference 3"):
        load_principles(path)
