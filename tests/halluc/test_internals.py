"""Everything `observe` reports, compared with what plain calls of the model return."""

import numpy as np
import pytest

from halluc.errors import ContextOverflow, InvalidInput
from halluc.models.internals import observe

PROMPTS = ["What is the capital of France?", "Name a colour."]


@pytest.fixture(scope="module")
def seen(lm):
    return observe(lm, PROMPTS, samples=2, max_new_tokens=10, alternatives=3, hidden_state=True, attention=True, seed=1)


@pytest.fixture(scope="module")
def reference(lm, seen):
    """A plain forward pass over the first prompt and its answer, with everything the model can return."""
    import torch

    prompt = lm.encode(PROMPTS[:1])[0]
    tokens = [*seen[0].answer.token_ids, lm.end_ids[0]]
    lm.model.set_attn_implementation("eager")
    with torch.inference_mode():
        output = lm.model(
            torch.tensor([prompt + tokens]), output_attentions=True, output_hidden_states=True, use_cache=False
        )
    lm.model.set_attn_implementation("sdpa")
    return len(prompt), tokens, output


def test_the_answer_among_samples_is_the_greedy_one(lm, seen):
    plain = lm.generate(PROMPTS, max_new_tokens=10)
    for observation, (greedy,) in zip(seen, plain, strict=True):
        assert observation.answer.token_ids == greedy.token_ids
        assert observation.answer.text == greedy.text
        assert observation.answer.token_logprobs == pytest.approx(greedy.token_logprobs, abs=1e-4)


def test_the_prompt_is_computed_once_for_answer_and_samples(lm, monkeypatch):
    widths = []
    forward = lm.model.forward

    def counted(*args, **kwargs):
        widths.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(lm.model, "forward", counted)
    observe(lm, PROMPTS[:1], samples=3, max_new_tokens=3, attention=True)
    assert [rows for rows, width in widths if width > 10] == [1]
    assert {rows for rows, width in widths if width == 1} == {4}


def test_samples_repeat_with_the_seed_and_differ_from_the_answer(lm, seen):
    again = observe(lm, PROMPTS, samples=2, max_new_tokens=10, seed=1)
    assert [observation.samples for observation in again] == [observation.samples for observation in seen]
    assert any(sample.text != observation.answer.text for observation in seen for sample in observation.samples)
    for observation in seen:
        for sample, logprobs in zip(observation.samples, observation.sample_logprobs, strict=True):
            assert sample.token_logprobs == pytest.approx(logprobs[: len(sample.token_ids)].tolist())


def test_logprobs_entropy_and_self_certainty_are_those_of_the_plain_distribution(seen, reference):
    length, tokens, output = reference
    # The answer ends its turn within 10 tokens: the end counts.
    assert seen[0].logprobs.size == len(tokens)
    logprobs = output.logits[0, length - 1 : -1].log_softmax(-1).double()
    picked = [logprobs[i, token].item() for i, token in enumerate(tokens)]
    assert seen[0].logprobs == pytest.approx(picked, abs=1e-3)
    assert seen[0].entropy == pytest.approx(-(logprobs.exp() * logprobs).sum(-1).numpy(), abs=1e-3)
    uniform = -logprobs.mean(-1).numpy() - np.log(logprobs.shape[-1])
    assert seen[0].self_certainty == pytest.approx(uniform, abs=1e-3)


def test_hidden_state_is_the_middle_layers_where_the_last_token_was_predicted(seen, reference):
    _, _, output = reference
    middle = output.hidden_states[len(output.hidden_states) // 2][0, -2]
    assert seen[0].hidden_state == pytest.approx(middle.numpy(), abs=2e-2)
    assert seen[0].sample_hidden_state.shape == (2, seen[0].hidden_state.size)


def test_attention_is_summarized_as_by_hand(seen, reference):
    length, tokens, output = reference
    weights = np.stack([layer[0].numpy() for layer in output.attentions])
    for t in (1, len(tokens) - 1):
        query = length - 1 + t
        assert seen[0].previous_attention[:, :, t] == pytest.approx(weights[:, :, query, query], abs=1e-3)
        prompt, new = weights[:, :, query, :length].mean(-1), weights[:, :, query, length : query + 1].mean(-1)
        assert seen[0].lookback[:, :, t] == pytest.approx(prompt / (prompt + new), abs=1e-3)
    assert (seen[0].lookback[:, :, 0] == 1).all()


def test_spans_spell_the_answer_token_by_token(lm, seen):
    for observation in seen:
        assert "".join(observation.answer.text[start:end] for start, end in observation.spans) == observation.answer.text
    assert seen[0].spans[-1].tolist() == [len(seen[0].answer.text)] * 2


def test_spans_of_characters_made_of_several_tokens_do_not_overlap(lm):
    (observation,) = observe(lm, ["Translate."], answers=["naïve 日本 🦜 done"])
    assert "".join(observation.answer.text[start:end] for start, end in observation.spans) == observation.answer.text


def test_an_answer_that_is_only_a_stop_string_has_the_token_that_ended_it(lm):
    (observation,) = observe(lm, PROMPTS[:1], samples=2, max_new_tokens=4, stop=["The"], hidden_state=True, attention=True)
    assert observation.answer.text == ""
    assert observation.logprobs.shape == observation.entropy.shape == (1,)
    assert observation.spans.tolist() == [[0, 0]]
    assert observation.lookback.shape[-1] == 1


def test_alternatives_begin_with_the_token_that_was_chosen(seen):
    for observation in seen:
        for step, logprob in zip(observation.alternatives, observation.logprobs, strict=True):
            assert step[0][1] == pytest.approx(logprob)
            assert len(step) == 3
            assert step[0][1] >= step[1][1]


def test_a_given_answer_is_observed_like_the_models_own(lm, seen):
    given = observe(lm, PROMPTS[:1], answers=[seen[0].answer], alternatives=3, hidden_state=True, attention=True)[0]
    assert given.samples == ()
    for name in ("logprobs", "entropy", "self_certainty", "lookback", "previous_attention"):
        assert getattr(given, name) == pytest.approx(getattr(seen[0], name), abs=1e-3)
    assert given.hidden_state == pytest.approx(seen[0].hidden_state, abs=2e-2)
    assert given.answer.token_ids == seen[0].answer.token_ids


def test_samples_can_be_drawn_together_with_a_given_answer(lm, seen):
    given = observe(lm, PROMPTS, answers=["Paris.", "Blue."], samples=2, max_new_tokens=10, seed=1, attention=True)
    assert [observation.answer.text for observation in given] == ["Paris.", "Blue."]
    assert all(len(observation.samples) == 2 for observation in given)
    alone = observe(lm, PROMPTS[:1], answers=["Paris."])[0]
    assert given[0].logprobs == pytest.approx(alone.logprobs, abs=1e-3)


def test_a_prompt_longer_than_the_window_and_unusable_arguments_are_refused(lm):
    with pytest.raises(ContextOverflow):
        observe(lm, ["word " * 9000])
    for options, message in (({"samples": -1}, "samples is -1"), ({"alternatives": 10**6}, "alternatives is 1000000")):
        with pytest.raises(InvalidInput, match=message):
            observe(lm, PROMPTS, **options)
    for answers, message in (("xy", "answers is one string"), (["x", "\ud83d"], "answer 1 has a lone surrogate")):
        with pytest.raises(InvalidInput, match=message):
            observe(lm, PROMPTS[:2], answers=answers)
    with pytest.raises(InvalidInput, match="temperature 0"):
        observe(lm, PROMPTS, samples=2, temperature=0.0)
    with pytest.raises(InvalidInput, match="2 prompts, 1 answers"):
        observe(lm, PROMPTS, answers=["x"])
    with pytest.raises(InvalidInput, match="answer 1 is empty"):
        observe(lm, PROMPTS, answers=["x", " "])
