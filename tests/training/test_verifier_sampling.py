from collections import Counter

import numpy as np
import pytest

from halluc.errors import InvalidInput
from training.verifier.sampling import EpochSampler


def epochs(sampler, number):
    for epoch in range(number):
        sampler.set_epoch(epoch)
        yield list(sampler)


def test_a_pair_is_read_as_often_as_its_repeats_say():
    repeats = [1.0] * 40 + [2.6] * 30 + [0.25] * 20 + [0.0] * 5
    sampler = EpochSampler([10] * len(repeats), repeats, 8, seed=3)
    drawn = list(epochs(sampler, 200))
    assert {len(rows) for rows in drawn} == {len(sampler)} == {40 + 78 + 5}
    counts = [Counter(rows) for rows in drawn]
    for row, wanted in enumerate(repeats):
        of_row = [count[row] for count in counts]
        # The whole part always; the fractional part at random, anew in each epoch.
        assert set(of_row) == {int(wanted)} if wanted == int(wanted) else {int(wanted), int(wanted) + 1}
        assert np.mean(of_row) == pytest.approx(wanted, abs=0.15)


def test_an_epoch_depends_on_its_number_and_the_seed_alone():
    repeats = [1.5] * 50
    first, second = epochs(EpochSampler(range(50), repeats, 4, seed=0), 2)
    resumed = EpochSampler(range(50), repeats, 4, seed=0)
    resumed.set_epoch(1)
    assert list(resumed) == second != first
    assert list(EpochSampler(range(50), repeats, 4, seed=1)) != first


def test_batches_hold_rows_of_similar_length_in_random_order():
    lengths = np.arange(400)
    sampler = EpochSampler(lengths, [1.0] * 400, 16, seed=0)
    rows = list(sampler)
    assert sorted(rows) == list(range(400))
    batches = [lengths[rows[start : start + 16]] for start in range(0, 400, 16)]
    assert max(batch.max() - batch.min() for batch in batches) < 16 + 2 * 24
    means = [batch.mean() for batch in batches]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_rows_that_fill_no_batch_come_last():
    sampler = EpochSampler([5] * 10, [1.0] * 10, 16, seed=0)
    assert sorted(sampler) == list(range(10))
    assert sorted(EpochSampler([5] * 35, [1.0] * 35, 16, seed=0)) == list(range(35))


def test_an_epoch_without_rows_is_refused():
    with pytest.raises(InvalidInput, match="an epoch would read no pair; raise repeats"):
        EpochSampler([5] * 3, [0.1] * 3, 2, seed=0)
