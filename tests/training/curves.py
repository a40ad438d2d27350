"""How far the logs of two runs are apart; `pytest -rP` shows what is printed here of tests that pass."""


def largest_difference(what, one, other):
    """Print and give the largest absolute difference between values of the same steps, which both have."""
    assert sorted(one) == sorted(other)
    largest = max(abs(one[step] - other[step]) for step in one)
    print(f"{what}: largest difference {largest:.1e} of {len(one)} values up to {max(map(abs, one.values())):.3g}")
    return largest
