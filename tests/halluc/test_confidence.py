import math

import numpy as np
import pytest

from halluc import Answer, Claim, Generation, Verdict
from halluc.confidence import (
    SOURCES,
    confidence_replies,
    estimate_confidence,
    length_normalized_likelihood,
    mean_token_probability,
    min_token_probability,
    p_true,
    self_consistency,
    sequence_likelihood,
    verbalized_confidence,
    verdict_support,
    verifier_support,
)
from halluc.confidence.self_evaluation import p_not_supported
from halluc.errors import InvalidInput, ModelResponseError

QUESTIONS = ["What is the capital of France?", "Who wrote Romeo and Juliet?"]


class WordOverlap:
    """A verifier with verdicts that can be computed by hand."""

    name = "overlap"

    def probabilities(self, pairs):
        support = np.array([len({*e.split()} & {*c.split()}) / len({*c.split()}) for e, c in pairs])
        return np.stack([support, np.zeros(len(pairs)), 1 - support], axis=1)

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]


class Replies:
    """A model with scripted replies."""

    name = "scripted"

    def __init__(self, replies):
        self.replies = list(replies)

    def generate(self, prompts, **_):
        return [[Generation(self.replies.pop(0))] for _ in prompts]


def spoken(*probabilities):
    return Generation("x", token_logprobs=tuple(math.log(p) for p in probabilities))


def test_likelihoods_are_the_product_the_means_and_the_least_of_the_token_probabilities():
    generations = [spoken(0.9, 0.4), spoken(0.5)]
    assert sequence_likelihood(generations) == pytest.approx([0.36, 0.5])
    assert length_normalized_likelihood(generations) == pytest.approx([0.6, 0.5])
    assert mean_token_probability(generations) == pytest.approx([0.65, 0.5])
    assert min_token_probability(generations) == pytest.approx([0.4, 0.5])
    assert sequence_likelihood([]).shape == (0,)


@pytest.mark.parametrize("logprobs", [(), (float("nan"),), (-1.0, 0.5)])
def test_a_generation_without_usable_log_probabilities_is_named(logprobs):
    with pytest.raises(InvalidInput, match="generation 1"):
        min_token_probability([spoken(0.5), Generation("Paris", token_logprobs=logprobs)])


def test_p_true_is_the_mass_of_true_over_that_of_both_words_in_all_their_spellings():
    class Chooses(Replies):
        def generate(self, prompts, **_):
            self.prompts = prompts
            words = [("True", 0.3), (" true", 0.15), ("The", 0.2), ("False", 0.1), ("FALSE", 0.05)]
            top = tuple((word, math.log(p)) for word, p in words)
            return [[Generation("True", top_logprobs=(top,))] for _ in prompts]

    lm = Chooses([])
    assert p_true(lm, ["Why <|im_end|> not?"], ["So."], samples=[["Thus."]]) == pytest.approx([0.45 / 0.6])
    assert "Thus." in lm.prompts[0]
    assert "<|im_end|>" not in lm.prompts[0]


def test_p_true_of_a_real_model_is_the_same_in_a_batch_and_alone_and_reads_the_samples(lm):
    values = p_true(lm, QUESTIONS, ["Paris", "Charles Dickens"])
    assert values.shape == (2,)
    assert ((values > 0) & (values < 1)).all()
    assert p_true(lm, QUESTIONS[:1], ["Paris"]) == pytest.approx(values[:1], abs=1e-5)
    assert abs(p_true(lm, QUESTIONS[:1], ["Paris"], samples=[["Paris", "Lyon"]])[0] - values[0]) > 1e-4


def test_p_true_of_a_model_without_log_probabilities_is_refused():
    with pytest.raises(ModelResponseError, match="scripted reports no log-probabilities"):
        p_true(Replies(["True"]), ["Why?"], ["So."])


def test_p_not_supported_asks_about_each_pair_once_and_keeps_the_order():
    class Chooses(Replies):
        def generate(self, prompts, **_):
            self.prompts = prompts
            no = {"the sky": 0.6, "<|im_end|>": 0.1}
            return [
                [Generation("No", top_logprobs=((("No", math.log(next(p for t, p in no.items() if t.strip("<|>") in x))),
                                                 ("Yes", math.log(0.2))),))]
                for x in prompts
            ]  # fmt: skip

    lm = Chooses([])
    pairs = [("the sky", "It is blue."), ("<|im_end|>", "So."), ("the sky", "It is blue.")]
    assert p_not_supported(lm, pairs) == pytest.approx([0.75, 1 / 3, 0.75])
    assert len(lm.prompts) == 2
    assert "<|im_end|>" not in lm.prompts[1]
    assert p_not_supported(lm, []).shape == (0,)


def test_a_stated_confidence_is_read_from_the_reply():
    lm = Replies(["0.8", "I am 30% sure", "almost certain"])
    assert verbalized_confidence(lm, ["q"] * 3, ["a"] * 3) == pytest.approx([0.8, 0.3, 0.95])


def test_a_reply_without_a_confidence_is_an_error_or_counts_as_missing_with_a_warning():
    with pytest.raises(ModelResponseError, match="1 of 2 replies of scripted state no confidence"):
        verbalized_confidence(Replies(["0.8", "Paris"]), QUESTIONS, ["a", "b"])
    with pytest.warns(UserWarning, match="1 of 2 replies .* count as 0.5"):
        values = verbalized_confidence(Replies(["0.8", "Paris"]), QUESTIONS, ["a", "b"], missing=0.5)
    assert values.tolist() == [0.8, 0.5]
    with pytest.raises(InvalidInput, match="missing is 2"):
        verbalized_confidence(Replies([]), [], [], missing=2)


def test_self_consistency_is_the_share_of_samples_that_say_the_same():
    samples = [["Paris.", "It is Paris", "Lyon", "paris"], ["William Shakespeare", "Dickens", "", "Marlowe"]]
    assert self_consistency(["Paris", "Shakespeare"], samples).tolist() == [0.75, 0.25]


def test_self_consistency_by_a_verifier_is_the_mean_support_and_empty_samples_give_none():
    samples = [["red green", "red", " "]]
    assert self_consistency(["red blue"], samples, verifier=WordOverlap()) == pytest.approx([(0.5 + 0.5 + 0) / 3])
    asked = self_consistency(["red blue"], samples, verifier=WordOverlap(), questions=["which two?"])
    assert asked == pytest.approx([(0.75 + 0.75 + 0) / 3])


def test_the_support_of_an_answer_is_that_of_its_least_supported_claim_by_its_best_evidence():
    evidence = [["The sky is blue. ", "Grass is green."], ["Grass is green."], [], ["x"]]
    answers = ["The sky is blue. Grass is red.", "Grass is green.", "Grass is green.", "Is it?"]
    assert verifier_support(WordOverlap(), evidence, answers) == pytest.approx([2 / 3, 1, 0, 0])
    claim = Claim("x", 0, 1)
    verdicts = (Verdict(claim, "supported", 0.9), Verdict(claim, "not_enough_info", 0.2))
    assert verdict_support([Answer("q", "x x", verdicts), Answer("q", "Why?")]).tolist() == [0.2, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: p_true(Replies([]), ["a"], []),
        lambda: verbalized_confidence(Replies([]), ["a"], []),
        lambda: self_consistency(["a"], []),
        lambda: self_consistency(["a"], [[]]),
        lambda: self_consistency(["a"], ["text"]),
        lambda: self_consistency("a", [["text"]]),
        lambda: self_consistency(["a"], [["text"]], questions="q"),
        lambda: p_true(Replies([]), "a", "b"),
        lambda: p_true(Replies([]), ["a"], ["b"], samples=["c"]),
        lambda: verbalized_confidence(Replies([]), "a", "b"),
        lambda: confidence_replies(Replies([]), ["a"], "b"),
        lambda: sequence_likelihood([[spoken(0.5)]]),
        lambda: sequence_likelihood("text"),
        lambda: estimate_confidence("p_true", "text", lm=Replies([])),
        lambda: verifier_support(WordOverlap(), [], ["a"]),
    ],
)
def test_different_lengths_missing_samples_and_texts_in_place_of_lists_are_refused(call):
    """A text was taken for a list of its characters."""
    with pytest.raises(InvalidInput, match="pass"):
        call()


@pytest.mark.filterwarnings("ignore:.*state no confidence")
def test_every_source_gives_a_number_in_the_unit_interval_for_a_real_answer(lm):
    generation = lm.generate(QUESTIONS[:1], max_new_tokens=8)[0][0]
    answers = [Answer(QUESTIONS[0], generation.text.strip(), generation=generation)]
    for source in SOURCES:
        values = estimate_confidence(source, answers, lm=lm, prompts=QUESTIONS[:1], max_new_tokens=8)
        assert values.shape == (1,), source
        assert 0 <= values[0] <= 1, source


def test_an_unknown_source_and_an_answer_without_a_generation_are_named(lm):
    with pytest.raises(InvalidInput, match="no confidence source 'vibes'"):
        estimate_confidence("vibes", [], lm=lm)
    with pytest.raises(InvalidInput, match="answer 0 has no generation"):
        estimate_confidence("sequence_likelihood", [Answer("q", "a")], lm=lm)
    with pytest.raises(InvalidInput, match="prompt of each answer"):
        estimate_confidence("self_consistency", [Answer("q", "a", generation=spoken(0.5))], lm=lm)
