from types import SimpleNamespace

import pytest

from halluc.errors import InvalidInput
from training.monitoring.reward_gap import stop_on_reward_hacking
from training.rewards.guards import copied_share, repeated_share, restates
from training.rewards.hacking import gap_report


def test_repeated_share_counts_runs_of_words_said_before():
    assert repeated_share("a b c a b c", n=2) == pytest.approx(1 - 3 / 5)
    assert repeated_share("a b c d", n=2) == 0.0
    assert repeated_share("a") == repeated_share("") == 0.0


def test_copied_share_counts_words_in_long_runs_of_a_passage():
    assert copied_share("x a b c y z", ["a b c d"], run=3) == 0.5
    assert copied_share("a b c d", ["A b, c d!"], run=3) == 1.0
    assert copied_share("a b x c d", ["a b c d"], run=3) == 0.0
    assert copied_share("a b", ["a b"], run=3) == copied_share("", []) == 0.0


def test_a_gap_that_grows_is_reported():
    report = gap_report([0.4, 0.6, 0.8, 0.9], [0.4, 0.5, 0.4, 0.3])
    assert (report.steps, report.optimized, report.held_out) == (4, (0.4, 0.9), (0.4, 0.3))
    assert report.growth == pytest.approx(0.6)
    assert report.to_dict()["steps"] == 4
    with pytest.raises(InvalidInput, match="there are 0 and 0 measurements"):
        gap_report([], [])


@pytest.mark.parametrize(("growth", "stops"), [(0.5, True), (0.7, False), (None, False)])
def test_a_run_is_saved_and_stopped_once_the_gap_has_grown(growth, stops):
    report = gap_report([0.4, 0.6, 0.8, 0.9], [0.4, 0.5, 0.4, 0.3])
    reward = SimpleNamespace(measured=[], measurements=4, gap_report=lambda: report)
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    stop_on_reward_hacking(reward, growth=growth, after=4).on_step_end(None, None, control)
    assert (control.should_save, control.should_training_stop) == (stops, stops)
    early = SimpleNamespace(should_save=False, should_training_stop=False)
    stop_on_reward_hacking(reward, growth=growth, after=5).on_step_end(None, None, early)
    assert not early.should_training_stop


def test_a_few_words_between_do_not_hide_a_copy():
    passage = " ".join(f"w{i}" for i in range(60))
    words = passage.split()
    for every in (15, 8, 5):
        edited = " and ".join(" ".join(words[i : i + every]) for i in range(0, 60, every))
        # Otherwise such a copy would earn a little more than an abstention.
        assert copied_share(edited, [passage]) == 1.0, every
    # Phrases that any answer quotes are no copy.
    quoting = (
        "The report says that w1 w2 w3 w4 happened, while others hold that w9 w10 w11 w12 w13 came much later than that."
    )
    assert copied_share(quoting, [passage]) == 0.0


@pytest.mark.parametrize(
    ("statement", "question", "expected"),
    [
        ("You asked: Who built the bridge of the town.", "Who built the bridge of the town?", True),
        ("That is answered in the text.", "Who built the bridge?", True),
        ("The question is who built the bridge.", "Who built the bridge?", True),
        ("Ada Berg built the bridge.", "Who built the bridge?", False),
        ("The bridge was built in 1900.", "Was the bridge built in 1900?", False),
        ("Lyon is older.", "Which is older, Lyon or Paris?", False),
        ("The bridge was built.", None, False),
    ],
)
def test_a_restated_question_says_nothing(statement, question, expected):
    assert restates(statement, question) is expected
