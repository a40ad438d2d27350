"""Claim filtering with a guarantee in every group, and with a level that adapts to the answer."""

import numpy as np
import pytest
from scipy.stats import binom

import calibration
from calibration import ConditionalFactuality, ConformalFactuality, InvalidInput, NotFitted


def answers(rng, n):
    """Answers of an easy and of a hard group, in which support says less; a third, overlapping group is one half of both."""
    hard, half = rng.random(n) < 0.3, rng.random(n) < 0.5
    support = [rng.random(size) for size in rng.integers(1, 7, n)]
    correct = [rng.random(v.size) < (0.5 * v + 0.2 if h else 0.7 + 0.3 * v) for v, h in zip(support, hard, strict=True)]
    return support, correct, np.stack([hard, half], axis=1).astype(float)


def test_a_false_claim_is_left_no_more_often_than_the_risk_in_every_group():
    rng = np.random.default_rng(0)
    count, left, overall = np.zeros(2), np.zeros(2), np.zeros(2)
    for _ in range(120):
        support, correct, features = answers(rng, 65)
        rule = ConditionalFactuality(0.25).fit(support[:60], correct[:60], features[:60])
        common = ConformalFactuality(0.25).fit(support[:60], correct[:60])
        for values, truth, feature in zip(support[60:], correct[60:], features[60:], strict=True):
            count += feature
            left += feature * (rule.keep(values, feature) & ~truth).any()
            overall += feature * (common.keep(values) & ~truth).any()
    assert (left <= binom.ppf(0.999, count, 0.25)).all()
    # One threshold for all leaves a false claim in the hard group much more often.
    assert overall[0] / count[0] > 0.35


def test_by_hand_without_features_it_is_split_conformal_prediction():
    support = [[0.9, 0.4], [0.8, 0.3], [0.7], [0.6, 0.5], []]
    correct = [[1, 0], [1, 1], [0], [1, 0], []]
    rule = ConditionalFactuality(0.25).fit(support, correct)
    assert rule.keep([0.7, 0.71, 0.2]).tolist() == [False, True, False]
    assert rule.keep([]).size == 0
    # Five answers cannot show that one in ten is wrong: nothing is kept.
    assert not ConditionalFactuality(0.1).fit(support, correct).keep([0.99, 1.0]).any()


def test_an_adaptive_level_keeps_the_requested_share_and_states_its_risk():
    rng = np.random.default_rng(1)
    support, correct, _ = answers(rng, 500)
    adaptive = ConditionalFactuality(0.1, retention=0.8).fit(support[:400], correct[:400])
    fixed = ConformalFactuality(0.1).fit(support[:400], correct[:400])
    kept = [adaptive.keep(values) for values in support[400:]]
    risks = np.array([adaptive.stated_risk(values) for values in support[400:]])
    share = np.mean([rows.mean() for rows in kept])
    assert share > 0.65 > 0.4 > np.mean([fixed.keep(values).mean() for values in support[400:]])
    left = np.array([(rows & ~truth).any() for rows, truth in zip(kept, correct[400:], strict=True)])
    assert left.mean() == pytest.approx(risks.mean(), abs=0.12)
    assert risks.min() >= 0.1
    assert np.ptp(risks) > 0.3


def test_the_rule_survives_its_file_and_refuses_other_features(tmp_path):
    support, correct, features = answers(np.random.default_rng(2), 40)
    fitted = ConditionalFactuality(0.3, retention=0.5).fit(support, correct, features)
    fitted.save(tmp_path / "rule.json")
    back = calibration.load(tmp_path / "rule.json")
    assert (back.keep(support[0], features[0]) == fitted.keep(support[0], features[0])).all()
    with pytest.raises(InvalidInput, match="pass the 2 features that fit had"):
        fitted.keep([0.5])
    with pytest.raises(InvalidInput, match="retention is"):
        ConditionalFactuality(retention=1.5).fit(support, correct)
    with pytest.raises(InvalidInput, match="one row per answer"):
        ConditionalFactuality().fit(support, correct, features[:3])
    with pytest.raises(InvalidInput, match="at least two"):
        ConditionalFactuality().fit([[0.5]], [[True]])
    with pytest.raises(NotFitted):
        ConditionalFactuality().keep([0.5])
