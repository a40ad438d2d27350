"""The reward for quotations: what counts as one, and exact values."""

import pytest

from training.rewards.quotes import quote_reward
from training.runs.online_rewards import imported_rewards

PASSAGE = "The bridge was built in 1928 by Ada Berg, who also built the tower."


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ('It is from 1928: "The bridge was built in 1928".', 1.0),
        ("Ada Berg, for “built in 1928 by Ada Berg, who” is there.", 1.0),
        ('It says "built in 1928 by Ole Lund".', -1.0),
        ('It says "the bridge was built in 1928" and "the tower was built in 1930".', 0.0),
        # Words left out, and words in another order, are not verbatim.
        ('It says "the bridge was built by Ada Berg".', -1.0),
        ("The bridge was built in 1928.", 0.0),
        ('The "Ada Berg" bridge.', 0.0),
        ("", 0.0),
        # A quotation may begin with a whole word only.
        ('"ridge was built in 1928 by"', -1.0),
    ],
)
def test_quotations_earn_by_whether_a_passage_has_them(completion, expected):
    assert quote_reward(completions=[completion], context=[["Another text.", PASSAGE]]) == [expected]


def test_passages_that_a_tool_found_may_be_quoted_and_thoughts_do_not_count():
    answer = {"role": "assistant", "content": '<think>"a thing that is nowhere"</think>"built in 1928 by Ada Berg"'}
    logged = {}
    rewards = quote_reward(
        completions=[[{"role": "tool", "content": PASSAGE}, answer], [answer]], log_metric=logged.__setitem__
    )
    assert rewards == [1.0, -1.0]
    assert logged == {"quotes/used": 1.0, "quotes/verbatim": 0.5}


def test_a_run_names_it_by_its_import_path():
    assert imported_rewards(["training.rewards.quotes:quote_reward"]) == [quote_reward]
