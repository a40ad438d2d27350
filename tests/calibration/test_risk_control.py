"""Guarantees for groups and for graded losses: by simulation and by hand."""

import numpy as np
import pytest
from scipy.stats import binom

import calibration
from calibration import (
    ConformalAbstention,
    ConformalRiskControl,
    GroupedAbstention,
    InvalidInput,
    NoThresholdWarning,
    false_claim_shares,
)


def two_groups(rng, n):
    hard = rng.random(n) < 0.2
    confidence = rng.random(n)
    return confidence, rng.random(n) < np.where(hard, 0.3 + 0.65 * confidence, 0.9 + 0.1 * confidence), hard.astype(int)


@pytest.mark.filterwarnings("ignore::calibration.NoThresholdWarning")
def test_each_group_keeps_the_guarantee_that_a_common_threshold_keeps_only_overall():
    """With a common threshold a risk of 0.15 was kept overall while a group of 20 % had 0.35."""
    rng = np.random.default_rng(0)
    confidence, correct, groups = two_groups(rng, 100_000)
    hard = groups == 1
    common, own, found = [], 0, 0
    for _ in range(100):
        sample = two_groups(rng, 1000)
        above = ConformalAbstention(0.15, 0.1).fit(*sample[:2]).answer(confidence)
        common.append((~correct[above & hard]).mean())
        above = GroupedAbstention(0.15, 0.1).fit(*sample).answer(confidence, groups) & hard
        found += above.any()
        own += bool(above.any() and (~correct[above]).mean() > 0.15)
    assert np.mean(common) > 0.3
    assert own <= binom.ppf(0.999, 100, 0.1)
    assert found > 10


def test_a_group_has_the_threshold_of_its_own_items_and_an_unseen_one_is_not_answered(tmp_path):
    rng = np.random.default_rng(1)
    confidence, correct, groups = two_groups(rng, 2000)
    rule = GroupedAbstention(0.3, 0.1).fit(confidence, correct, groups)
    for group in (0, 1):
        alone = ConformalAbstention(0.3, 0.1).fit(confidence[groups == group], correct[groups == group])
        assert rule.rules_[group].threshold == alone.threshold
    assert rule.answer([0.99, 0.99], [0, 7]).tolist() == [True, False]
    rule.save(tmp_path / "rule.json")
    read = calibration.load(tmp_path / "rule.json")
    assert read.answer(confidence, groups).tolist() == rule.answer(confidence, groups).tolist()
    with pytest.warns(NoThresholdWarning, match=r"in 'b' \(2 items\); items of such a group are not answered"):
        GroupedAbstention(0.5, 0.1).fit([0.9] * 12, [True] * 12, ["a"] * 10 + ["b"] * 2)


def test_conformal_risk_control_by_hand():
    losses = np.array([[1.0, 0.5, 0.0], [0.5, 0.0, 0.0], [1.0, 1.0, 0.0]])
    # (sum of losses + 1) / 4 is 0.875, 0.625 and 0.25.
    for risk, threshold in ((0.9, 0.1), (0.7, 0.2), (0.3, 0.3)):
        assert ConformalRiskControl(risk).fit(losses, [0.1, 0.2, 0.3]).threshold == threshold
    with pytest.warns(NoThresholdWarning, match="at least 4 items"):
        assert ConformalRiskControl(0.2).fit(losses, [0.1, 0.2, 0.3]).threshold == float("inf")
    # A loss that grows again at a higher threshold counts at the lower ones as well.
    assert ConformalRiskControl(0.5).fit([[0.0, 1.0, 0.0]] * 9, [0.1, 0.2, 0.3]).threshold == 0.3


def test_the_share_of_false_claims_by_hand():
    shares = false_claim_shares([[0.9, 0.4], [0.2], []], [[True, False], [False], []], [0.0, 0.3, 0.5])
    assert shares.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_the_expected_share_of_false_claims_is_controlled():
    rng = np.random.default_rng(2)
    grid = np.linspace(0, 1, 101)

    def answers(n):
        support = [rng.random(rng.integers(1, 8)) for _ in range(n)]
        return support, [rng.random(values.size) < values for values in support]

    losses = []
    for _ in range(300):
        rule = ConformalRiskControl(0.2).fit(false_claim_shares(*answers(40), grid), grid)
        losses.extend(false_claim_shares(*answers(20), [min(rule.threshold, 1.0)]).ravel())
    assert 0.12 < np.mean(losses) < 0.2 + 3 * np.std(losses) / np.sqrt(300)


@pytest.mark.parametrize(
    ("options", "losses", "thresholds", "message"),
    [
        ({"risk": 1.0}, [[0.0]], [0.5], "risk is 1.0; pass a number strictly between 0 and 1"),
        ({}, [[0.0, 0.0]], [0.5], r"losses has shape \(1, 2\)"),
        ({}, [[2.0]], [0.5], "losses go from 2.0 to 2.0"),
        ({}, [[0.0, 0.0]], [0.5, 0.5], "in ascending order"),
    ],
)
def test_unusable_losses_are_refused(options, losses, thresholds, message):
    with pytest.raises(InvalidInput, match=message):
        ConformalRiskControl(**options).fit(losses, thresholds)
