from hypothesis import given
from hypothesis import strategies as st

from retrieval.storage import segments_to_merge


@given(st.lists(st.integers(1, 40), max_size=200))
def test_segments_stay_logarithmic_in_the_number_of_passages(added):
    rows = []
    for count in added:
        merged = segments_to_merge(rows, rows, count)
        rows = [size for number, size in enumerate(rows) if number not in merged] + [
            count + sum(rows[number] for number in merged)
        ]
    assert sum(rows) == sum(added)
    assert len(rows) <= max(1, sum(added)).bit_length()


def test_a_large_segment_is_left_alone_by_a_small_add():
    assert segments_to_merge([1000, 10], [1000, 10], 4) == []
    assert segments_to_merge([1000, 10], [1000, 10], 5) == [1]


def test_a_segment_with_more_than_a_quarter_deleted_is_written_again():
    assert segments_to_merge([100, 1000], [75, 1000], 0) == []
    assert segments_to_merge([100, 1000], [74, 1000], 0) == [0]
    assert segments_to_merge([100], [0], 0) == [0]
