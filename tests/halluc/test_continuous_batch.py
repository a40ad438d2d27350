import pytest
import torch

from halluc.errors import ContextOverflow, InvalidInput
from halluc.models.continuous_batch import ContinuousBatch
from halluc.models.prefix_cache import Beginning, PrefixCache

PROMPTS = ["What is the capital of France?", "Count from one to ten in words, please.", "Name a color."]


def run(batch):
    while len(batch):
        batch.step()


def texts(lm, **options):
    return [completions[0].text for completions in lm.generate(PROMPTS, **options)]


def test_completions_that_join_and_leave_at_any_time_are_those_of_generate(lm):
    batch = ContinuousBatch(lm)
    completions = [batch.add(PROMPTS[0], max_new_tokens=6)]
    batch.step()
    batch.step()
    completions.append(batch.add(PROMPTS[1], max_new_tokens=16))
    batch.step()
    completions.append(batch.add(PROMPTS[2], max_new_tokens=6))
    run(batch)
    assert [c.generation.text for c in completions] == [
        lm.generate([prompt], max_new_tokens=count)[0][0].text for prompt, count in zip(PROMPTS, (6, 16, 6), strict=True)
    ]
    alone = lm.generate(PROMPTS[1:2], max_new_tokens=16, top_logprobs=2)[0][0]
    assert completions[1].generation.token_ids == alone.token_ids
    assert completions[1].generation.token_logprobs == pytest.approx(alone.token_logprobs, abs=1e-3)


def test_the_first_tokens_of_waiting_completions_come_from_one_pass(lm, monkeypatch):
    shapes = []
    forward = lm.model.forward

    def counted(*arguments, **options):
        shapes.append(tuple(options["input_ids"].shape))
        return forward(*arguments, **options)

    monkeypatch.setattr(lm.model, "forward", counted)
    batch = ContinuousBatch(lm)
    instructions = {"role": "system", "content": "You answer questions about cities, numbers and colors. " * 5}
    prompts = [[instructions, {"role": "user", "content": prompt}] for prompt in PROMPTS]
    completions = [batch.add(prompt, max_new_tokens=3) for prompt in (*prompts, prompts[0], prompts[1])]
    batch.step()
    assert all(len(c.token_ids) == 1 for c in completions)
    # Equal prompts are computed once, and so is the beginning that all have in common.
    (beginnings, shared), (rows, length) = shapes
    assert (beginnings, rows) == (1, 3)
    assert shared + length == max(len(c.prompt_ids) for c in completions)
    batch.step()
    assert shapes[2:] == [(5, 1)]
    monkeypatch.undo()
    run(batch)
    expected = [completion.text for (completion,) in lm.generate(prompts, max_new_tokens=3)]
    assert [c.generation.text for c in completions] == [*expected, *expected[:2]]


def test_a_beginning_that_recent_prompts_share_is_computed_once_and_kept(lm, monkeypatch):
    shapes = []
    forward = lm.model.forward

    def counted(*arguments, **options):
        shapes.append(tuple(options["input_ids"].shape))
        return forward(*arguments, **options)

    batch = ContinuousBatch(lm)
    instructions = {"role": "system", "content": "You answer questions about cities, numbers and colors. " * 3}
    prompts = [[instructions, {"role": "user", "content": prompt}] for prompt in (*PROMPTS, "Name a city.")]
    monkeypatch.setattr(lm.model, "forward", counted)
    completions = []
    for together in (prompts[:1], prompts[1:2], prompts[2:]):
        completions += [batch.add(prompt, max_new_tokens=6) for prompt in together]
        # In turn with the next tokens of those before.
        batch.step()
        batch.step()
    whole, (one, kept), (_, rest), (rows, length) = [shape for shape in shapes if shape[1] > 1]
    lengths = [len(c.prompt_ids) for c in completions]
    assert (whole, one, kept + rest) == ((1, lengths[0]), 1, lengths[1])
    assert (rows, kept + length) == (2, max(lengths[2:]))
    monkeypatch.undo()
    run(batch)
    assert [c.generation.text for c in completions] == [c.text for (c,) in lm.generate(prompts, max_new_tokens=6)]


def test_a_common_beginning_is_computed_alone_if_that_saves_enough():
    def found(prompts, cache=None):
        return (cache or PrefixCache()).find(prompts)

    prompts = [(1,) * 40 + (n,) * 3 for n in range(2, 5)]
    assert found(prompts) == (None, 40)
    assert found(prompts[:2]) == (None, 0)
    assert found([(1,) * 100]) == (None, 0)
    assert found([(1,) * 100, (1,) * 90]) == (None, 89)
    cache = PrefixCache()
    assert found(prompts[:1], cache) == (None, 0)
    # The same prompt again says nothing about others; another prompt does, and only its last token is never shared.
    assert found(prompts[:1], cache) == (None, 0)
    assert found(prompts[1:2], cache) == (None, 40)
    assert found([(1,) * 30], cache) == (None, 29)
    assert found([(1,) * 10 + (9,)], cache) == (None, 0)


def test_a_kept_beginning_is_cut_extended_and_forgotten():
    def beginning(length, token=1):
        return Beginning((token,) * length, ((torch.zeros(1, 1, length, 1), torch.zeros(1, 1, length, 1)),))

    cache = PrefixCache()
    cache.keep(beginning(40))
    known, length = cache.find([(1,) * 30 + (2,)])
    assert (known.ids, length) == ((1,) * 30, 30)
    assert known.layers[0][0].shape[2] == 30
    # One that goes on replaces it, and the longest is not kept whole.
    cache.keep(beginning(1000))
    known, length = cache.find([(1,) * 2000])
    assert len(known.ids) == length == 256
    for token in range(2, 6):
        cache.keep(beginning(40, token))
    assert cache.find([(1,) * 30 + (9,)])[0] is None


def test_a_removed_completion_gets_no_further_token(lm):
    batch = ContinuousBatch(lm)
    first, second = (batch.add(prompt, max_new_tokens=8) for prompt in PROMPTS[:2])
    batch.step()
    batch.remove(first)
    run(batch)
    assert len(first.token_ids) == 1
    assert first.generation is None
    assert second.generation.text == lm.generate(PROMPTS[1:2], max_new_tokens=8)[0][0].text


def test_completions_that_keep_coming_do_not_stop_the_others(lm):
    batch = ContinuousBatch(lm)
    first = batch.add(PROMPTS[1], max_new_tokens=4)
    steps = 0
    while not first.ended and steps < 10:
        batch.step()
        batch.add(PROMPTS[2], max_new_tokens=8)
        steps += 1
    # Its own first token, and then one for each pass over prompts that came later.
    assert (first.ended, steps) == (True, 6)


def test_a_long_prompt_is_computed_in_chunks_between_which_the_others_go_on(lm):
    batch = ContinuousBatch(lm)
    first = batch.add(PROMPTS[1], max_new_tokens=8)
    batch.step()
    long = "Repeat after me: " + " ".join(f"word {n}" for n in range(300))
    added = [batch.add(prompt, max_new_tokens=2) for prompt in (long, PROMPTS[0])]
    counts = []
    while not added[0].token_ids:
        batch.step()
        counts.append(len(first.token_ids))
    # Chunks of 512 tokens; between two of them each row gets a token.
    chunks = -(-len(added[0].prompt_ids) // 512)
    assert chunks > 2
    assert counts == [2 + n // 2 for n in range(2 * chunks)]
    run(batch)
    expected = [lm.generate([prompt], max_new_tokens=2)[0][0] for prompt in (long, PROMPTS[0])]
    assert [c.generation.text for c in added] == [generation.text for generation in expected]
    for completion, generation in zip(added, expected, strict=True):
        assert completion.generation.token_logprobs == pytest.approx(generation.token_logprobs, abs=1e-3)
    assert first.generation.text == lm.generate(PROMPTS[1:2], max_new_tokens=8)[0][0].text


def test_a_prompt_of_which_a_part_is_computed_can_be_removed(lm):
    batch = ContinuousBatch(lm)
    first = batch.add(PROMPTS[1], max_new_tokens=3)
    batch.step()
    removed = batch.add("word " * 1500, max_new_tokens=2)
    batch.step()
    assert len(batch) == 2
    batch.remove(removed)
    last = batch.add(PROMPTS[0], max_new_tokens=3)
    run(batch)
    assert removed.token_ids == []
    expected = lm.generate([PROMPTS[1], PROMPTS[0]], max_new_tokens=3)
    assert [first.generation.text, last.generation.text] == [generation.text for (generation,) in expected]


def test_samples_depend_on_their_seed_and_not_on_their_neighbors(lm):
    def sample(seeds):
        batch = ContinuousBatch(lm)
        completions = [batch.add(PROMPTS[1], max_new_tokens=8, temperature=1.2, top_p=0.9, seed=seed) for seed in seeds]
        run(batch)
        return [c.generation.text for c in completions]

    together = sample([1, 2, 3])
    assert len(set(together)) > 1
    assert sample([3]) == together[2:]


def test_the_repetition_penalty_of_the_checkpoint_applies(lm, monkeypatch):
    prompt = "Say the word 'yes' ten times."
    plain = lm.generate([prompt], max_new_tokens=16)[0][0]
    monkeypatch.setattr(lm.model.generation_config, "repetition_penalty", 1.5)
    penalized = lm.generate([prompt], max_new_tokens=16)[0][0]
    assert penalized.token_ids != plain.token_ids
    *_, streamed = lm.stream(prompt, max_new_tokens=16)
    assert streamed.token_ids == penalized.token_ids
    assert streamed.token_logprobs == pytest.approx(penalized.token_logprobs, abs=1e-3)


def test_a_pass_that_fails_for_all_is_repeated_for_each_and_only_the_bad_one_fails(lm, monkeypatch):
    batch = ContinuousBatch(lm)
    good, bad = (batch.add(prompt, max_new_tokens=4) for prompt in PROMPTS[:2])
    forward = lm.model.forward

    def failing(*arguments, **options):
        rows = [row.prompt_ids for row in batch._rows] or [good.prompt_ids, bad.prompt_ids]
        # Without the beginning that both prompts share.
        ids = options["input_ids"]
        if ids.shape[0] > 1 or tuple(ids[0].tolist()) == bad.prompt_ids[-ids.shape[1] :]:
            raise RuntimeError(f"out of memory with {len(rows)} rows")
        return forward(*arguments, **options)

    monkeypatch.setattr(lm.model, "forward", failing)
    run(batch)
    assert isinstance(bad.error, RuntimeError)
    assert good.error is None
    monkeypatch.undo()
    assert good.generation.text == lm.generate(PROMPTS[:1], max_new_tokens=4)[0][0].text


def test_a_model_whose_cache_cannot_be_joined_works_on_one_completion_at_a_time(lm, monkeypatch):
    monkeypatch.setattr(lm.model, "_is_stateful", True)
    batch = ContinuousBatch(lm)
    first, second = (batch.add(prompt, max_new_tokens=3) for prompt in PROMPTS[:2])
    batch.step()
    assert (len(first.token_ids), len(second.token_ids)) == (1, 0)
    run(batch)
    assert [first.generation.text, second.generation.text] == texts(lm, max_new_tokens=3)[:2]


def test_unusable_additions_are_refused_and_the_batch_goes_on(lm):
    batch = ContinuousBatch(lm)
    good = batch.add(PROMPTS[0], max_new_tokens=2)
    with pytest.raises(ContextOverflow):
        batch.add("word " * 9000)
    with pytest.raises(InvalidInput, match="temperature is 1e-320"):
        batch.add(PROMPTS[0], temperature=1e-320)
    run(batch)
    assert good.generation is not None


def test_closing_a_stream_ends_the_generation(lm, monkeypatch):
    steps = []
    step = ContinuousBatch.step
    monkeypatch.setattr(ContinuousBatch, "step", lambda self: steps.append(1) or step(self))
    stream = lm.stream(PROMPTS[1], max_new_tokens=300)
    next(stream)
    stream.close()
    assert len(steps) < 5
