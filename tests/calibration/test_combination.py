"""Several sources of confidence in one: what it gains, that the guarantee holds, files, the monitor and the report."""

import json
from pathlib import Path

import numpy as np
import pytest

import calibration
from calibration import (
    Calibrator,
    GuaranteeMonitor,
    InvalidInput,
    NotFitted,
    NoThresholdWarning,
    SourceCombination,
    auroc,
    calibration_report,
    negative_log_likelihood,
)
from calibration.combination import cross_combined

pytestmark = pytest.mark.filterwarnings("ignore::calibration.NoThresholdWarning")

ANSWERS = Path(__file__).parents[2] / "examples" / "xquad" / "answers.jsonl"


def recorded():
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    return np.array([list(row["confidence"].values()) for row in rows]), np.array([row["correct"] for row in rows])


def sample(n, seed=0):
    """Two noisy views of the same truth, and a third that says nothing."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.8, 1.2, n)
    columns = np.stack([truth + rng.normal(0, 1.5, n), truth + rng.normal(0, 1.5, n), rng.normal(0, 1, n)], axis=1)
    return 1 / (1 + np.exp(-columns)), rng.random(n) < 1 / (1 + np.exp(-truth))


def test_combined_sources_rank_better_than_the_best_of_them():
    confidence, correct = sample(2_000)
    alone = [float(auroc(column, correct)) for column in confidence.T]
    combined = cross_combined(SourceCombination(), confidence, correct)
    assert auroc(combined, correct) > max(alone) + 0.02


def test_combined_sources_of_recorded_answers_are_no_worse_than_the_best_and_need_no_other_calibration():
    confidence, correct = recorded()
    alone = [float(auroc(column, correct)) for column in confidence.T]
    combined = cross_combined(SourceCombination(), confidence, correct)
    assert max(alone) == pytest.approx(0.732, abs=0.001)
    assert min(alone) < 0.52
    assert auroc(combined, correct) > max(alone) - 0.01
    assert negative_log_likelihood(combined, correct) < 0.51


def test_a_source_that_says_nothing_gets_no_weight_and_equal_sources_share_theirs():
    fitted = SourceCombination().fit(*sample(20_000))
    assert fitted.weight_[0] == pytest.approx(fitted.weight_[1], abs=0.05)
    assert abs(fitted.weight_[2]) < 0.05 < fitted.weight_[0]
    confidence, correct = sample(500)
    twice = SourceCombination(penalty=0).fit(confidence[:, [0, 0]], correct)
    once = SourceCombination(penalty=0).fit(confidence[:, [0]], correct)
    assert twice.weight_ == pytest.approx(np.full(2, once.weight_[0] / 2), abs=1e-4)
    constant = SourceCombination().fit(np.full((10, 2), 0.7), np.arange(10) < 6)
    assert constant.predict([[0.7, 0.7]])[0] == pytest.approx(0.6, abs=0.05)


def test_the_guarantee_holds_on_combined_sources():
    population, outcomes = sample(40_000, seed=10_000)
    violations, coverage = 0, 0.0
    for seed in range(60):
        rule = Calibrator(0.25, 0.1, recalibrator="platt", seed=seed).fit(*sample(600, seed))
        above = rule.answer(population)
        coverage += above.mean() / 60
        violations += above.any() and (~outcomes[above]).mean() > 0.25
    # At 10 % more than 11 of 60 has a probability of 2 %.
    assert violations <= 11
    assert coverage > 0.15


def test_a_calibrator_of_several_sources_survives_its_file_and_refuses_another_number(tmp_path):
    confidence, correct = sample(400)
    fitted = Calibrator(0.3, recalibrator="platt", source="a+b+c").fit(confidence, correct)
    fitted.save(tmp_path / "c.json")
    back = calibration.load(tmp_path / "c.json")
    assert (back.transform(confidence) == fitted.transform(confidence)).all()
    assert (back.answer(confidence) == fitted.answer(confidence)).all()
    assert (fitted.transform(confidence) >= fitted.threshold)[fitted.answer(confidence)].all()
    assert fitted.fit_count_ == 400
    assert fitted.rule_.count_ == 200
    with pytest.raises(InvalidInput, match="has 2 sources; this was fitted on 3"):
        fitted.transform(confidence[:, :2])
    with pytest.raises(InvalidInput, match="pass one column per source"):
        fitted.transform(confidence[:, 0])
    with pytest.raises(InvalidInput, match=r"confidence\[:, 1\]\[0\] is 7"):
        fitted.transform([[0.5, 7, 0.5]])
    with pytest.raises(NotFitted):
        SourceCombination().predict(confidence)
    result = GuaranteeMonitor(fitted).update(*sample(300, 1)).update(*sample(300, 2)).compute()
    assert result.count == 600
    assert not result.drifted


def test_a_report_of_several_sources_shows_each_of_them():
    with pytest.warns(NoThresholdWarning):
        report = calibration_report(*sample(120), risk=0.01, source="a+b+c", groups=np.arange(120) % 2)
    assert [row.name for row in report.sources] == ["a", "b", "c"]
    assert all(row.count == report.before.count == 36 for row in report.sources)
    assert report.groups[0].before.count + report.groups[1].before.count == report.report_count
    assert [row["name"] for row in report.to_dict()["sources"]] == ["a", "b", "c"]
