"""Scoring of continuations, whose contexts share their beginning."""

import pytest
import torch

from halluc.errors import ContextOverflow, InvalidInput
from halluc.models.prefix_scoring import Choices, check_scores_continuations, score_choices

BEGINNING = "Q: How many legs does a spider have?\nA: A spider has eight legs.\n\n"


def directly(lm, context, continuation):
    """The summed log-probability in one pass over context and continuation, without any cache."""
    ids = lm.tokenizer(context + continuation)["input_ids"]
    start = len(lm.tokenizer(context)["input_ids"])
    with torch.inference_mode():
        logprobs = lm.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return sum(logprobs[i - 1, ids[i]].item() for i in range(start, len(ids)))


def test_scores_equal_those_of_one_pass_per_continuation(lm):
    queries = [
        Choices(f"{BEGINNING}Q: Where is Paris?\nA:", (" France", " In Germany, near Bonn")),
        Choices(f"{BEGINNING}Q: What is the capital of the country Italy?\nA:", (" Rome",)),
    ]
    for query, scores in zip(queries, score_choices(lm, queries), strict=True):
        for continuation, score in zip(query.continuations, scores, strict=True):
            assert score.logprob == pytest.approx(directly(lm, query.context, continuation), abs=1e-3)
            assert score.n_tokens == len(lm.tokenizer(continuation)["input_ids"])


def test_one_context_has_no_shared_beginning_and_is_scored_all_the_same(lm):
    ((score,),) = score_choices(lm, [Choices("The sky is", (" blue",))])
    assert score.logprob == pytest.approx(directly(lm, "The sky is", " blue"), abs=1e-3)


def test_nothing_to_score_is_refused_and_no_queries_give_no_scores(lm):
    assert score_choices(lm, []) == []
    with pytest.raises(InvalidInput, match="context 0 has an empty continuation"):
        score_choices(lm, [Choices("a", ("",))])
    with pytest.raises(InvalidInput, match="context 0"):
        score_choices(lm, [Choices(" ", ("a",))])


def test_a_context_that_exceeds_the_window_is_refused(lm, monkeypatch):
    monkeypatch.setattr(lm.model.config, "max_position_embeddings", 4)
    with pytest.raises(ContextOverflow, match="context window"):
        score_choices(lm, [Choices("one two three four five six", (" seven",))])


def test_an_endpoint_is_refused_with_the_reason():
    from halluc import load_model

    with pytest.raises(InvalidInput, match="no log-probabilities of given texts"):
        check_scores_continuations(load_model("http://127.0.0.1:9/v1#m"))


def test_continuations_of_every_length_are_scored_whatever_the_size_of_a_batch(lm, monkeypatch):
    texts = (" a", " b", " one two", " one two three four five", " red green blue yellow black white orange brown grey pink")
    query = Choices(f"{BEGINNING}Q: What comes next?\nA:", texts)
    together = score_choices(lm, [query])[0]
    # Neither a context nor a group of continuations may exceed a batch by more than one row.
    monkeypatch.setattr(lm, "batch_tokens", 1)
    for text, score, alone in zip(texts, together, score_choices(lm, [query])[0], strict=True):
        assert score.logprob == pytest.approx(directly(lm, query.context, text), abs=1e-3)
        assert alone.logprob == pytest.approx(score.logprob, abs=1e-3)
