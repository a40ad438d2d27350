"""Selective risk by hand, by law, and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration import (
    InvalidInput,
    accuracy_at_coverage,
    augrc,
    aurc,
    auroc,
    coverage_at_risk,
    excess_aurc,
    operating_point,
    prediction_rejection_ratio,
    risk_coverage_curve,
)

rows = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))),
        arrays(np.bool_, n),
    )
)


def test_the_curve_and_its_areas_by_hand():
    confidence, correct = [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]
    curve = risk_coverage_curve(confidence, correct)
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert set(curve.to_dict()) == {"threshold", "coverage", "risk"}
    assert aurc(confidence, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4, abs=1e-12)
    best = (0 + 0 + 1 / 3 + 1 / 2) / 4
    assert excess_aurc(confidence, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4 - best, abs=1e-12)
    # generalized risk 0, 0, 1/4, 1/4, 1/2 at coverage 0, 1/4, 1/2, 3/4, 1
    assert augrc(confidence, correct) == pytest.approx((0 + 0.125 + 0.25 + 0.375) / 4, abs=1e-12)
    assert prediction_rejection_ratio(confidence, correct) == pytest.approx((0.25 - 0.1875) / (0.25 - 0.125), abs=1e-12)


@given(rows)
@settings(max_examples=60)
def test_areas_are_the_mean_over_orders_of_ties(data):
    confidence, correct = data
    order = np.argsort(-confidence, kind="stable")
    expected, errors_before, answered = 0.0, 0.0, 0
    for value in np.unique(confidence)[::-1]:
        group = ~correct[order][confidence[order] == value]
        for place in range(1, group.size + 1):
            expected += (errors_before + group.sum() * place / group.size) / (answered + place)
        errors_before, answered = errors_before + group.sum(), answered + group.size
    assert aurc(confidence, correct) == pytest.approx(expected / confidence.size, abs=1e-9)
    assert excess_aurc(confidence, correct) >= 0


@given(rows)
def test_augrc_follows_from_auroc_and_accuracy(data):
    confidence, correct = data
    if correct.all() or not correct.any():
        return
    accuracy = correct.mean()
    expected = (1 - auroc(confidence, correct)) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert augrc(confidence, correct) == pytest.approx(expected, abs=1e-9)
    # and the rejection ratio is 2 AUROC - 1 then
    assert prediction_rejection_ratio(confidence, correct) == pytest.approx(2 * auroc(confidence, correct) - 1, abs=1e-9)


@given(rows, st.data())
@settings(max_examples=60)
def test_a_weight_of_two_counts_an_item_twice(data, more):
    confidence, correct = data
    times = more.draw(arrays(np.int64, confidence.size, elements=st.integers(0, 3)))
    times[0] = max(times[0], 1)
    repeated = np.repeat(confidence, times), np.repeat(correct, times)
    assert augrc(confidence, correct, weights=times) == pytest.approx(augrc(*repeated), abs=1e-9)
    for risk in (0.0, 0.3):
        assert coverage_at_risk(confidence, correct, risk, weights=times) == pytest.approx(
            coverage_at_risk(*repeated, risk), abs=1e-9
        )
    whole, again = risk_coverage_curve(confidence, correct, weights=times), risk_coverage_curve(*repeated)
    assert whole.coverage == pytest.approx(again.coverage)
    assert whole.risk == pytest.approx(again.risk)


def test_the_scale_of_weights_does_not_matter():
    rng = np.random.default_rng(0)
    confidence, weights = rng.random(300), rng.gamma(1, 1, 300)
    correct = rng.random(300) < confidence
    metrics = [aurc, excess_aurc, augrc, prediction_rejection_ratio, auroc]
    metrics += [lambda *rows, weights: coverage_at_risk(*rows, 0.2, weights=weights)]
    metrics += [lambda *rows, weights: accuracy_at_coverage(*rows, 0.5, weights=weights)]
    for metric in metrics:
        plain = metric(confidence, correct, weights=weights)
        for scale in (1 / weights.sum(), 1e-9, 1e5):
            assert metric(confidence, correct, weights=weights * scale) == pytest.approx(plain, rel=1e-7)
        equal = metric(confidence, correct, weights=np.full(300, 0.01))
        assert equal == pytest.approx(metric(confidence, correct, weights=np.ones(300)), rel=1e-7)


def test_coverage_and_accuracy_at_a_risk_by_hand():
    confidence, correct = [0.9, 0.8, 0.8, 0.6, 0.5], [1, 1, 0, 1, 0]
    assert coverage_at_risk(confidence, correct, 0.25) == 0.8
    assert coverage_at_risk(confidence, correct, 0.0) == 0.2
    assert coverage_at_risk([0.9], [0], 0.5) == 0
    assert accuracy_at_coverage(confidence, correct, 0.2) == 1
    assert accuracy_at_coverage(confidence, correct, 0.4) == pytest.approx(0.75)  # one of the tied pair, by half
    assert accuracy_at_coverage(confidence, correct, 1.0) == pytest.approx(0.6)
    point = operating_point(confidence, correct, 0.25)
    assert (point.threshold, point.coverage, point.accuracy) == (0.6, 0.8, 0.75)
    none = operating_point([0.9], [0], 0.5)
    assert (none.threshold, none.coverage, none.accuracy) == (math.inf, 0, None)


def test_the_rejection_ratio_of_the_best_ranking_is_one():
    assert prediction_rejection_ratio([0.9, 0.8, 0.2], [1, 1, 0]) == pytest.approx(1)
    assert prediction_rejection_ratio([0.1, 0.2, 0.8], [1, 1, 0]) == pytest.approx(-1)
    with pytest.raises(InvalidInput, match="no item is wrong"):
        prediction_rejection_ratio([0.1, 0.2], [1, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda p, y: coverage_at_risk(p, y, 1.5),
        lambda p, y: accuracy_at_coverage(p, y, 0),
        lambda p, y: operating_point(p, y, -0.1),
    ],
)
def test_shares_out_of_range_are_refused(call):
    with pytest.raises(InvalidInput):
        call([0.5], [1])


@pytest.mark.parametrize("metric", [aurc, excess_aurc, augrc, prediction_rejection_ratio])
def test_intervals_hold_the_value(metric):
    rng = np.random.default_rng(0)
    confidence = rng.random(300)
    value = metric(confidence, rng.random(300) < confidence, interval=0.95)
    assert value.low < value < value.high
