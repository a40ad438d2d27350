"""Equalities in worked solutions: what is read, what holds, and which step is first mistaken."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.detectors.reasoning import ARITHMETIC_MISTAKES, STEP_INCONSISTENCY
from halluc.detectors.statistics import Statistics
from halluc.errors import InvalidInput
from halluc.reasoning.arithmetic import equalities
from halluc.reasoning.expressions import evaluate
from halluc.reasoning.steps import (
    check_steps,
    first_mistake,
    split_steps,
    step_consistency,
)


def holds(step):
    """Whether each equality found in the step holds."""
    return [equation.holds for equation in check_steps([step])[0].equations]


@pytest.mark.parametrize(
    "step",
    [
        "2 + 3 = 5",
        "It takes 2/2=<<2/2=1>>1 bolt of white fiber",
        "80,000+50,000=$<<80000+50000=130000>>130,000",
        "5 hours x 3 pages/hour = 15 pages",
        "20% of 50 = 10",
        "1/2 of 30 eggs = 15 eggs",
        "He pays $3.50 × 4 = $14.00 in all.",
        "100% - 20% = 80%",
        "5/20 = 25%",
        "10/3 = 3.33",
        "10 / 3 = 3.3333333333333335",
        "0.33 * 3 = 1",
        "3 1/2 * 2 = 7",
        "-4 + -5 * -7 = 31",
        "2^3 = 8 and 2**3 = 8",
        "2(3 + 4) = 14",
        "3 x -5 = -15",
        "6 plus 4 = 10, 6 times 4 = 24",
        "5 + 3 = 8 * 2 = 16",
        "(-9 + 1) = (-8) = -8",
        "18 * 0.333333333333 = 5.99",
        "Beck has 87 - 100 = 13 fewer apples than Boris",
        "7 − 2 = 5, 8 ÷ 2 = 4",
        "1 mile + 4 miles = 5 miles",
    ],
)
def test_correct_arithmetic_is_not_flagged(step):
    assert holds(step)
    assert all(holds(step))


@pytest.mark.parametrize(
    "step",
    [
        "2 + 3 = 6",
        "So he was making 2250*52=$<<2250*52=117000>>11,700 a year",
        "4 * (1/3) = <<4*(1/3)=8>>8 miles per hour",
        "$210 - $100 = $120",
        "110 / 55 = 3",
        "35/16 = 2.25 hours",
        "Two thirds of 36 sq ft is 36*(2/3) = 18 sq ft.",
        "(9 - (-27) - 2) = (34 - 2)= 32 and (30 - 2) = (27 + 5)",
        "172-47+13 = 130 people on the train",
        "20% of 50 = 12",
        "5 + 3 = 9 * 2 = 18",
        "Lindsay has missed 25 - 50 = 25 socks",
        "Jana has 12*(2/3) = 24 puppies.",
        "Dana can travel 3 * (2/3) = 6 miles per hour",
        "2 * 16 = 96 eggs",
    ],
)
def test_slips_are_found(step):
    assert not all(holds(step))


@pytest.mark.parametrize(
    "step",
    [
        "1 foot = 12 inches",
        "3 feet + 6 inches = 42 inches",
        "50 + 10% = 55",
        "5 cents * 20 = $1",
        "60 * 2 = 2 hours",
        "3 * 1 days = 72 hours",
        "5 * 2 = 120 inches",
        "1/4 container = 60 pints",
        "From 2:15 to 2:38 = 23 minutes",
        "Twenty - 5 = 15",
        "25 classmates + his 1 teacher + 1 himself = 27",
        "districts A and C = 193 papers",
        "7 / 0 = 12",
        "9^9^9 = 3",
        "x = 5",
        "a >= 3 and 3 != 4 and 3 => 4",
        "__import__('os').system('true') = 3",
        "1200 snowballs / 2 snowballs/15 minutes = 600 minutes",
        "no numbers here",
        "= = =",
        "",
    ],
)
def test_what_cannot_be_judged_is_not_flagged(step):
    assert all(holds(step))


def test_the_time_to_read_a_step_is_linear_in_its_length():
    """Text was copied at every letter x."""
    check_steps(["2 x 3 = 6"])

    def seconds(length):
        begin = time.process_time()
        check_steps(["x " * (length // 2)])
        return time.process_time() - begin

    # Processor time, and the least of three: other processes and the garbage collector are not what is measured.
    quarter, whole = (min(seconds(size) for _ in range(3)) for size in (75_000, 300_000))
    assert whole < 20
    assert whole < 10 * quarter


def test_unknowns_are_solved_for_and_one_mistake_is_charged_once():
    checks = check_steps(["x + 4 = 10", "x = 7", "2x = 14"])
    assert [check.mistaken for check in checks] == [False, True, False]
    assert checks[1].equations[0].value == "6"
    assert [c.mistaken for c in check_steps(["2x + 4 = 10", "2x = 6", "x = 3"])] == [False, False, False]
    assert check_steps(["x + x = 3x"])[0].mistaken
    assert first_mistake(["3x = 80 - 20", "3x = 80"]) == 1
    assert first_mistake(["3x-5 = 10", "x = 5"]) is None


@pytest.mark.parametrize(
    "steps",
    [
        ["There are 3*x = 27 cups of other teas", "So there are 3*x = 12 cups of mint tea"],
        ["x - 75% = 19.50", "x = 26"],
        ["The cows have 2L*4=<<2*4=8>>8 legs", "All of them have 8+L = 70 legs"],
        ["In the third set he retrieved 1/2*4+x = 4x/2 balls", "In all he retrieved x+4+x+4x/2 = 19 balls"],
    ],
)
def test_a_new_equation_in_the_same_letter_is_no_slip(steps):
    assert first_mistake(steps) is None


def test_values_stated_earlier_are_filled_in():
    steps = ["where A = (2 + 3) and B = (4 * 2)", "A = (2 + 3) = 5", "B = (4 * 2) = 8", "A + B = 5 + 9 = 14"]
    assert first_mistake(steps) == 3
    assert first_mistake([*steps[:3], "A + B = 5 + 8 = 13"]) is None


def test_the_first_mistaken_step_is_named():
    steps = ["((-1 * 9 + 1 + -1)) = (-9 + 1 + -1) = (-9) = -9", "(8 + -14 + 5) = (8 - 9) = -1", "1 + 1 = 3"]
    assert first_mistake(steps) == 2
    assert first_mistake(steps[:2]) is None
    assert first_mistake([]) is None


def test_the_equation_is_shown_with_what_it_comes_to():
    check = check_steps(["So 2250*52=$<<2250*52=117000>>11,700 a year"])[0]
    assert [(e.text, e.holds, e.value, e.annotation) for e in check.equations] == [
        ("2250*52=$11,700", False, "117000", False),
        ("2250*52=117000", True, "117000", True),
    ]
    assert check.to_dict()["mistaken"] is True


def test_steps_are_split_off_their_numbers():
    assert split_steps("Step 1: 1 + 1 = 2\n\n2. 2 + 2 = 4\n- 3 + 3 = 6\n") == ["1 + 1 = 2", "2 + 2 = 4", "3 + 3 = 6"]


def test_a_step_is_as_consistent_as_its_results_are_shared():
    steps = ["2 + 2 = 4", "4 * 3 = 12", "so it is done"]
    samples = [["2 * 2 = 4 apples", "4 + 7 = 11"], ["1 + 3 = 4.0", "3 * 4 = 12"]]
    assert step_consistency(steps, samples) == [1.0, 0.5, None]
    with pytest.raises(InvalidInput, match="no samples"):
        step_consistency(steps, [])
    with pytest.raises(InvalidInput, match="steps is one string"):
        check_steps("2 + 2 = 4")


def test_the_detectors_score_answers():
    statistics = Statistics(
        questions=("q", "q"),
        answers=("1 + 1 = 2\n2 + 2 = 5\nWell.", "Paris"),
        samples=(("1 + 1 = 2", "1 + 1 = 2\n2 + 2 = 4"), ("Paris", "Rome")),
    )
    assert ARITHMETIC_MISTAKES.score(statistics) == pytest.approx([0.5, 0.0])
    # "2" is reached by both samples, "5" by none.
    assert STEP_INCONSISTENCY.score(statistics) == pytest.approx([0.5, 0.5])
    assert np.isfinite(STEP_INCONSISTENCY.score(statistics)).all()


@given(st.lists(st.tuples(st.sampled_from("+-*"), st.integers(-99, 99)), min_size=1, max_size=5), st.integers(-99, 99))
def test_integer_sums_come_to_what_python_says(terms, first):
    text = f"({first})" + "".join(f" {sign} ({value})" for sign, value in terms)
    value = first
    # Left to right with * before + and -: fold the products first.
    parts, signs = [value], []
    for sign, number in terms:
        if sign == "*":
            parts[-1] *= number
        else:
            signs.append(sign)
            parts.append(number)
    total = parts[0] + sum(part if sign == "+" else -part for sign, part in zip(signs, parts[1:], strict=True))
    (found,) = equalities(f"{text} = {total}")
    assert evaluate(found.left) == total
    assert holds(f"{text} = {total}") == [True]
    assert holds(f"{text} = {total + 7}") == [False]


@given(st.text(alphabet=st.sampled_from("0123456789.,%$=+-*/^()<>xAb :\n"), max_size=80))
def test_no_text_breaks_the_checks(text):
    for check in check_steps([text]):
        assert all(isinstance(equation.holds, bool) for equation in check.equations)
