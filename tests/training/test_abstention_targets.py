import pytest

from halluc.errors import InvalidInput
from halluc.models.language_model import Generation
from training.abstention_targets import abstention_targets, share_right
from training.runs.row_checks import check_example_lengths, check_examples

QUESTIONS = ["What is the capital of France?", "Who was the 11th mayor of Weissenborn-Lüderode?", "What is 2 + 2?"]
ANSWERS = ["Paris", ["Horst Krause", "H. Krause"], ["4", "four"]]


class Scripted:
    """Gives the k-th reply of a question as its k-th sample; only the counting is checked with it."""

    name = "scripted"

    def __init__(self, replies):
        self.replies = replies
        self.calls = []

    def generate(self, prompts, *, n, temperature, seed, **_):
        self.calls.append((list(prompts), n, temperature, seed))
        return [[Generation(self.replies[prompt][i % len(self.replies[prompt])]) for i in range(n)] for prompt in prompts]


def test_known_questions_keep_their_answer_and_unknown_ones_get_an_abstention(lm):
    rows = abstention_targets(lm, QUESTIONS, ANSWERS, abstention="I do not know that.")
    assert rows[0]["prompt"] == [{"role": "user", "content": QUESTIONS[0]}]
    assert [row["completion"][0]["content"] for row in rows] == ["Paris", "I do not know that.", "4"]
    assert rows["share_right"][:] == [1.0, 0.0, 1.0]
    check_examples(rows)
    check_example_lengths(rows, lm.tokenizer, 100)


def test_the_papers_form_keeps_every_answer_and_says_how_sure_the_model_is(lm):
    rows = abstention_targets(lm, QUESTIONS[:2], ["Paris.", "Horst Krause"], abstention=None)
    assert [row["completion"][0]["content"] for row in rows] == ["Paris. I am sure.", "Horst Krause. I am unsure."]


def test_of_several_samples_the_share_that_is_right_decides():
    lm = Scripted({"a?": ["yes", "yes", "no", "yes"], "b?": ["no", "yes", "no", "no"], "c?": ["no"]})
    assert share_right(lm, ["a?", "b?", "c?"], ["Yes"] * 3, n_samples=4).tolist() == [0.75, 0.25, 0.0]
    rows = abstention_targets(lm, ["a?", "b?", "c?"], ["Yes"] * 3, n_samples=4, threshold=0.75, batch_size=2, seed=7)
    assert [row["completion"][0]["content"] for row in rows] == ["Yes", "I don't know.", "I don't know."]
    # Two batches, each with its own seed; a single answer would be greedy.
    assert lm.calls[1:] == [(["a?", "b?"], 4, 1.0, 7), (["c?"], 4, 1.0, 8)]
    share_right(lm, ["a?"], ["Yes"])
    assert lm.calls[-1][2] == 0.0


@pytest.mark.parametrize(
    ("questions", "references", "options", "message"),
    [
        (["a?"], [], {}, "there are 0 references for 1 questions"),
        (["a?", "b?"], ["x", []], {}, "a reference of question 1 is empty or missing"),
        (["a?"], [" "], {}, "a reference of question 0 is empty or missing"),
        ("ab", ["x", "y"], {}, "questions is a single value, 'ab'"),
        (["a?", "b?"], "xy", {}, "references is a single value, 'xy'"),
        (["a?", "b?"], ["x", None], {}, "a reference of question 1 is empty or missing"),
        (["a?", "b?"], ["x", [None]], {}, "a reference of question 1 is missing"),
        (["a?", None], ["x", "y"], {}, "question 1 is missing"),
        (["a?", "b \ud83d"], ["x", "y"], {}, "question 1 has a lone surrogate"),
        (["a?"], ["x"], {"threshold": 0}, "threshold is 0"),
        (["a?"], ["x"], {"n_samples": 0}, "n_samples is 0"),
    ],
)
def test_unusable_questions_and_options_are_named(questions, references, options, message):
    with pytest.raises(InvalidInput, match=message):
        abstention_targets(Scripted({}), questions, references, **options)
