import json
import math
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from halluc.errors import ContextOverflow, InvalidInput
from halluc.models.language_model import Generation
from training.evaluation.compare import compare, comparison_table
from training.evaluation.evaluate import evaluate_factuality
from training.evaluation.results import ChoiceResult, FactualityEvaluation, read_evaluation

HALF = math.log(0.5)


class Replying:
    """Replies from a script, each with two tokens of probability one half; every character of text is a token of ln 2."""

    name = "replying"
    special_tokens = ("<|end|>",)

    def __init__(self, script, logprobs=(HALF, HALF)):
        self.script = script
        self.logprobs = logprobs
        self.prompts = []
        self.scored = []

    def generate(self, prompts, *, max_new_tokens):
        self.prompts += prompts
        last = [prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in prompts]
        replies = [next(reply for key, reply in self.script.items() if key in text) for text in last]
        return [[Generation(reply, token_logprobs=self.logprobs)] for reply in replies]

    def score_text(self, beginnings, continuations):
        self.scored += zip(beginnings, continuations, strict=True)
        return [Generation(text, token_logprobs=(HALF,) * len(text)) for text in continuations]


QUESTIONS = [
    {"question": "Who found penicillin?", "references": ["Fleming", "Alexander Fleming"]},
    {"question": "When?", "references": ["1928"]},
    {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}],
        "references": ["London"],
    },
    {"question": "What is my name?", "references": []},
    {"question": "How old am I?", "references": []},
]
REPLIES = {"penicillin": "It was Fleming.", "When": "In 1800.", "Where": "I don't know.", "name": "Bob", "old": ""}


def test_replies_are_right_wrong_or_abstentions_and_questions_without_references_can_only_be_abstained_from():
    result = evaluate_factuality(Replying(REPLIES), QUESTIONS)
    assert [row.outcome for row in result.questions] == ["right", "wrong", "abstained", "wrong", "abstained"]
    assert [row.confidence for row in result.questions] == [pytest.approx(0.5)] * 2 + [None, pytest.approx(0.5), None]
    assert result.questions[2].question == "Where?"
    metrics = result.metrics()
    assert {name: float(value) for name, value in metrics.items() if value is not None} == pytest.approx(
        # Confidence one half against one right of three.
        {"right": 0.2, "wrong": 0.4, "abstained": 0.4, "hallucination_rate": 2 / 3, "coverage": 0.6, "ece": 1 / 2 - 1 / 3}
    )
    assert (metrics["perplexity"], metrics["choice_accuracy"]) == (None, None)
    # Wilson by hand: (p + z²/2n ± z·sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n) for 1 of 5 and z = 1.959964.
    z, n, p = 1.959964, 5, 0.2
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (metrics["right"].low, metrics["right"].high) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)), abs=1e-6
    )


def test_a_model_that_only_abstains_has_no_hallucination_rate_and_one_without_log_probabilities_no_ece():
    silent = evaluate_factuality(Replying({"": "I cannot say."}), QUESTIONS).metrics()
    assert (silent["hallucination_rate"], silent["ece"]) == (None, None)
    assert float(silent["abstained"]) == 1
    untold = evaluate_factuality(Replying(REPLIES, logprobs=()), QUESTIONS).metrics()
    assert untold["ece"] is None
    assert float(untold["hallucination_rate"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "reply", ["Chad, Peru, Cuba, Fiji and Mali", "It is not in Chad. It is not in Peru. It is not in Fiji."]
)
def test_one_reply_with_every_candidate_answers_no_question(reply):
    questions = [
        {"question": f"Where is city {i}?", "references": [name]} for i, name in enumerate(("Chad", "Peru", "Fiji"))
    ]
    assert [row.outcome for row in evaluate_factuality(Replying({"": reply}), questions).questions] == ["wrong"] * 3


def test_prompts_are_used_as_they_are_and_a_context_goes_into_the_prompt():
    lm = Replying({"": "x"})
    arguments = [{"question": "When <|end|>?", "context": "It was in 1928.", "references": ["1928"]}, *QUESTIONS[1:3]]
    evaluate_factuality(lm, arguments)
    assert lm.prompts[1:] == ["When?", QUESTIONS[2]["prompt"]]
    grounded = lm.prompts[0][-1]["content"]
    assert "[1] It was in 1928." in grounded
    assert "<|end|>" not in grounded


def test_every_character_of_a_text_but_its_first_word_is_scored_once_with_the_text_before_it_as_context():
    lm = Replying(REPLIES)
    long, short = "Neutral " + "words and more " * 400, "two words"
    result = evaluate_factuality(lm, QUESTIONS, texts=[{"text": long}, {"text": short}, {"text": "a" * 4000}])
    pieces = lm.scored
    assert "".join(part for _, part in pieces[:7]) == long.strip()[len("Neutral") :]
    text = long.strip()
    start = len("Neutral")
    for before, part in pieces[:7]:
        assert before == text[max(0, start - 1000) : start]
        assert len(part) <= 1000
        start += len(part)
    assert pieces[7] == ("two", " words")
    assert [row.tokens for row in result.texts] == [len(text) - 7, 6, 4000 - 16]
    # Every token has probability one half.
    assert float(result.metrics()["perplexity"]) == pytest.approx(2)


def test_the_likeliest_completion_per_token_is_chosen_and_a_tie_is_not_right():
    assert ChoiceResult((-2.0, -1.0), 1).correct
    assert not ChoiceResult((-2.0, -1.0), 0).correct
    assert not ChoiceResult((-1.0, -1.0), 0).correct
    lm = Replying(REPLIES)
    rows = [{"prefix": "The sky is", "completions": [" blue", " a very long word"], "right": 0}]
    result = evaluate_factuality(lm, QUESTIONS, choices=rows)
    assert lm.scored == [("The sky is", " blue"), ("The sky is", " a very long word")]
    assert result.choices[0].scores == pytest.approx((HALF, HALF))


def evaluation(outcomes, confidence=0.5):
    result = evaluate_factuality(
        Replying({"": "1"}), [{"question": f"{i}?", "references": ["1"]} for i in range(len(outcomes))]
    )
    rows = [
        replace(row, outcome=outcome, confidence=None if outcome == "abstained" else confidence)
        for row, outcome in zip(result.questions, outcomes, strict=True)
    ]
    return replace(result, questions=tuple(rows))


def test_differences_are_paired_by_question():
    before = evaluation(["right"] * 10 + ["wrong"] * 30)
    after = evaluation(["right"] * 10 + ["wrong"] * 10 + ["abstained"] * 20)
    result = compare(before, after)
    rows = {row.name: row for row in result.differences}
    assert float(rows["wrong"].difference) == pytest.approx(-0.5)
    assert rows["wrong"].p_value == pytest.approx(2 * 0.5**20)
    assert rows["wrong"].improved is True
    # Nothing changed of what was right: unpaired samples of 40 would leave an interval here.
    assert (float(rows["right"].difference), rows["right"].difference.low, rows["right"].difference.high) == (0, 0, 0)
    assert rows["right"].p_value == 1
    assert rows["hallucination_rate"].difference == pytest.approx(0.5 - 0.75)
    assert rows["abstained"].improved is None
    assert rows["choice_accuracy"].p_value is rows["perplexity"].difference is None
    worse = compare(after, before)
    assert {row.name: row.improved for row in worse.differences}["wrong"] is False
    assert comparison_table(result).row_count == 6


def test_differing_rows_are_not_compared():
    with pytest.raises(InvalidInput, match="the two evaluations have different questions"):
        compare(evaluation(["right"]), evaluation(["right", "wrong"]))


def test_an_evaluation_is_read_back_as_it_was(tmp_path):
    result = evaluate_factuality(
        Replying(REPLIES),
        QUESTIONS,
        texts=[{"text": "two words"}],
        choices=[{"prefix": "x", "completions": [" y", " z"], "right": 1}],
    )
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(result.to_dict()))
    again = read_evaluation(path)
    assert again == result
    assert again.to_dict() == result.to_dict()
    for text, message in [
        ("{", "is not JSON"),
        ("[]", "is not an object but a list"),
        ('{"format": 1, "model": "x"}', "holds None, not 'factuality evaluation'"),
        ('{"kind": "factuality evaluation", "format": 1, "model": "x"}', "holds no evaluation"),
        ('{"kind": "factuality evaluation", "format": 2}', "has format 2; this version reads format 1"),
    ]:
        path.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            read_evaluation(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"questions": []}, "there are no questions"),
        ({"questions": [{"question": "x?"}]}, "question row 0 has the references None"),
        ({"questions": "abc"}, "questions must be a list of rows"),
        ({"questions": {"question": "x?", "references": []}}, "questions must be a list of rows"),
        ({"texts": ["two words"]}, "texts must be a list of rows"),
        ({"questions": [{"question": "x?", "references": [None]}]}, r"question row 0 has the references \[None\]"),
        (
            {"questions": [{"question": "x \ud83d?", "references": []}]},
            "the question of question row 0 has a lone surrogate",
        ),
        ({"texts": [{"text": "two \ud83d words"}]}, "the text of text row 0 has a lone surrogate"),
        ({"questions": [{"question": "x?", "references": "y"}]}, "question row 0 has the references 'y'"),
        ({"questions": [{"question": "x?", "references": ["?"]}]}, "at least one needs a letter or digit"),
        ({"questions": [{"question": " ", "references": []}]}, "question row 0 has the question ' ' and no prompt"),
        ({"questions": [{"prompt": [], "references": []}]}, r"question row 0 has the prompt \[\]"),
        ({"questions": [{"question": "x?", "context": [], "references": []}]}, r"question row 0 has the context \[\]"),
        ({"texts": [{"text": "one"}]}, "text row 0 has the text 'one'; pass at least two words"),
        ({"texts": [{"txt": "two words"}]}, "text row 0 has the text None"),
        ({"choices": [{"prefix": "", "completions": ["a", "b"], "right": 0}]}, "choice row 0 has the prefix ''"),
        ({"choices": [{"prefix": "x", "completions": ["a"], "right": 0}]}, "choice row 0 has the completions"),
        ({"choices": [{"prefix": "x", "completions": ["a", ""], "right": 0}]}, "choice row 0 has the completions"),
        ({"choices": [{"prefix": "x", "completions": ["a", "b"], "right": 2}]}, "choice row 0 has right 2"),
        ({"choices": [{"prefix": "x", "completions": ["a", "a"], "right": 0}]}, "right completion 'a' more than once"),
    ],
)
def test_unusable_rows_are_named(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        evaluate_factuality(Replying(REPLIES), **{"questions": QUESTIONS, **arguments})


def test_a_model_that_scores_no_text_is_named():
    class Endpoint:
        name = "an endpoint"

    with pytest.raises(InvalidInput, match="an endpoint does not report the likelihood"):
        evaluate_factuality(Endpoint(), QUESTIONS, texts=[{"text": "two words"}])


def test_a_text_that_does_not_fit_the_window_is_named_by_its_row(lm, monkeypatch):
    monkeypatch.setattr(lm.model.config, "max_position_embeddings", 50)
    questions = [{"question": "Who found penicillin?", "references": ["Fleming"]}]
    with pytest.raises(ContextOverflow, match="text rows 0 to 0, counted from 0: prompt 0 has 1 tokens and its completion"):
        evaluate_factuality(lm, questions, texts=[{"text": "word " * 100}], max_new_tokens=2)
    with pytest.raises(ContextOverflow, match="question rows 0 to 0"):
        evaluate_factuality(lm, questions, max_new_tokens=64)


def test_perplexity_and_choices_of_the_default_model_are_those_of_the_model_itself(lm):
    import torch

    text = "The Panthers defense gave up just 308 points, ranking sixth in the league."
    rows = [{"prefix": "The capital of France is", "completions": [" London.", " Paris."], "right": 1}]
    questions = [{"question": "What is the capital of France?", "references": ["Paris"]}]
    result = evaluate_factuality(lm, questions, texts=[{"text": text}], choices=rows, max_new_tokens=16)
    assert result.questions[0].outcome == "right"
    assert 0 < result.questions[0].confidence <= 1
    assert result.choices[0].correct
    ids = torch.tensor([lm.tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = lm.model(ids, labels=ids).loss.item()
    assert result.texts[0].tokens == ids.shape[1] - 1
    assert float(result.metrics()["perplexity"]) == pytest.approx(math.exp(loss), rel=1e-4)
    assert isinstance(result, FactualityEvaluation)
    assert result.metrics()["coverage"].low == pytest.approx(binomtest(1, 1).proportion_ci(method="wilson").low)
