import json

import numpy as np
import pytest

import calibration
from calibration import Calibrator, InvalidInput, NotFitted, NoThresholdWarning, UnreadableFile, split_rows


def overconfident(size, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, size)
    return confidence, rng.random(size) < confidence**3


def test_a_split_is_a_partition_with_the_requested_shares():
    parts = split_rows(10, (0.4, 0.3, 0.3), seed=1)
    assert [int(part.sum()) for part in parts] == [4, 3, 3]
    assert (np.sum(parts, axis=0) == 1).all()
    assert [part.tolist() for part in split_rows(10, (0.4, 0.3, 0.3), seed=1)] == [part.tolist() for part in parts]
    assert [part.tolist() for part in split_rows(10, (0.4, 0.3, 0.3), seed=2)] != [part.tolist() for part in parts]
    with pytest.raises(InvalidInput, match=r"split is \(0.4, 0.4\); pass positive shares that sum to 1"):
        split_rows(10, (0.4, 0.4))


def test_recalibrator_and_threshold_are_fitted_on_separate_rows():
    confidence, correct = overconfident(400)
    above = np.arange(400) % 2 == 0
    calibrator = Calibrator(risk=0.3, recalibrator="platt").fit(confidence, correct, threshold_rows=above)
    alone = calibration.PlattScaling().fit(confidence[~above], correct[~above])
    assert calibrator.transform(confidence).tolist() == alone.transform(confidence).tolist()
    rule = calibration.ConformalAbstention(0.3, 0.05).fit(alone.transform(confidence[above]), correct[above])
    assert calibrator.threshold == rule.threshold
    assert calibrator.answer(confidence).tolist() == (alone.transform(confidence) >= rule.threshold).tolist()
    assert calibrator.fit_count_ == calibrator.rule_.count_ == 200
    # Other labels on the rows of the threshold leave the recalibrator alone.
    other = Calibrator(risk=0.3, recalibrator="platt").fit(confidence, correct | above, threshold_rows=above)
    assert other.recalibrator_.slope_ == calibrator.recalibrator_.slope_


@pytest.mark.filterwarnings("ignore::calibration.NoThresholdWarning")
def test_a_recalibrator_that_keeps_the_order_and_the_threshold_both_use_all_items():
    """A threshold on half of 200 items answered 10 % where one on all of them answers 25 %."""
    gain = []
    for seed in range(30):
        confidence, correct = overconfident(200, seed)
        every = Calibrator(0.3, recalibrator="platt", seed=seed).fit(confidence, correct)
        half = Calibrator(0.3, recalibrator="platt", threshold_share=0.5, seed=seed).fit(confidence, correct)
        assert (every.fit_count_, every.rule_.count_, every.on_raw_) == (200, 200, True)
        assert (half.fit_count_, half.rule_.count_, half.on_raw_) == (100, 100, False)
        rule = calibration.ConformalAbstention(0.3, 0.05).fit(confidence, correct)
        assert every.answer(confidence).tolist() == rule.answer(confidence).tolist()
        if rule.feasible:
            assert every.threshold == pytest.approx(every.transform([rule.threshold])[0])
        gain.append(every.answer(confidence).mean() - half.answer(confidence).mean())
    assert np.mean(gain) > 0.03


def test_a_recalibrator_that_may_reverse_the_order_leaves_the_threshold_items_of_its_own():
    confidence, correct = overconfident(400)
    for name in ("histogram", "bayesian-binning"):
        calibrator = Calibrator(0.4, recalibrator=name).fit(confidence, correct)
        assert (calibrator.on_raw_, calibrator.fit_count_, calibrator.rule_.count_) == (False, 200, 200)
        above = calibrator.transform(confidence) >= calibrator.threshold
        assert calibrator.answer(confidence).tolist() == above.tolist()


def test_a_flat_recalibrator_does_not_widen_what_is_answered():
    # All items get the calibrated confidence of the threshold, but only those above the raw threshold are answered.
    confidence = np.repeat([0.2, 0.4, 0.8], 100)
    correct = np.arange(300) % 10 > 0
    correct[:200] = np.arange(200) % 2 == 0
    calibrator = Calibrator(0.3, recalibrator="scaling-binning").fit(confidence, correct)
    calibrator.recalibrator_.value_[:] = 0.6
    assert calibrator.threshold == pytest.approx(0.6)
    assert calibrator.answer([0.2, 0.8]).tolist() == [False, True]


def test_weights_reach_the_recalibrator_and_the_threshold():
    confidence, correct = overconfident(300)
    weights = np.where(confidence > 0.6, 3.0, 0.5)
    calibrator = Calibrator(0.3, recalibrator="platt").fit(confidence, correct, weights)
    assert calibrator.recalibrator_.slope_ == calibration.PlattScaling().fit(confidence, correct, weights).slope_
    rule = calibration.ConformalAbstention(0.3, 0.05).fit(confidence, correct, weights)
    assert calibrator.rule_.threshold == rule.threshold
    with pytest.raises(InvalidInput, match="weights has shape"):
        Calibrator(0.3, recalibrator="platt").fit(confidence, correct, [1.0])


def test_the_choice_by_cross_validation_is_kept_with_its_scores():
    confidence, correct = overconfident(200)
    calibrator = Calibrator(risk=0.3).fit(confidence, correct)
    best = min(calibrator.scores_.values())
    # The first within one standard error of the best, about 0.03 here.
    assert best <= calibrator.scores_[calibrator.chosen_] < best + 0.05
    assert set(calibrator.scores_) == set(calibration.RECALIBRATORS)
    assert calibrator.held_out_["ece_after"] < calibrator.held_out_["ece_before"]


@pytest.mark.filterwarnings("ignore::calibration.NoThresholdWarning")
def test_a_saved_calibrator_reads_back_the_same_even_without_a_threshold(tmp_path):
    confidence, correct = overconfident(120)
    for risk in (0.3, 0.01):
        calibrator = Calibrator(risk, recalibrator="isotonic", source="p_true")
        if risk == 0.01:
            with pytest.warns(NoThresholdWarning):
                calibrator.fit(confidence, correct)
            assert calibrator.threshold == float("inf")
            assert not calibrator.answer(confidence).any()
        else:
            calibrator.fit(confidence, correct)
        calibrator.save(tmp_path / "c.json")
        read = calibration.load(tmp_path / "c.json")
        assert isinstance(read, Calibrator)
        assert read.get_params() == calibrator.get_params()
        assert read.threshold == calibrator.threshold
        assert read.transform(confidence).tolist() == calibrator.transform(confidence).tolist()
        json.loads((tmp_path / "c.json").read_text())


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    calibrator = calibration.PlattScaling().fit(*overconfident(20))
    calibrator.save(path)
    before = path.read_text()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space"):
        calibrator.save(path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]
    with pytest.raises(UnreadableFile, match=r"nowhere\.json cannot be read"):
        calibration.load(tmp_path / "nowhere.json")


@pytest.mark.filterwarnings("ignore::calibration.NoThresholdWarning")
def test_the_guarantee_holds_over_many_draws_with_the_fitted_recalibrator():
    # 300 draws at delta 0.1: the true risk is known, so a violation is exact. 3 standard errors above 0.1 is 0.152.
    risk, delta, broken = 0.3, 0.1, 0
    grid = (np.arange(4000) + 0.5) / 4000 * 0.7 + 0.3
    for seed in range(300):
        confidence, correct = overconfident(160, seed)
        calibrator = Calibrator(risk, delta, recalibrator="platt", seed=seed)
        calibrator.fit(confidence, correct)
        answered = calibrator.answer(grid)
        broken += bool(answered.any() and np.mean(1 - grid[answered] ** 3) > risk)
    assert broken / 300 <= 0.152


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 2}, "risk is 2"),
        ({"recalibrator": "magic"}, "no recalibrator 'magic'"),
        ({"threshold_share": 1.5}, "threshold_share is 1.5"),
        ({"risk": "0.1"}, "risk is '0.1'"),
        ({"delta": 0}, "delta is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        Calibrator(**{"recalibrator": "platt", **options}).fit(*overconfident(20))


def test_unusable_rows_are_named():
    confidence, correct = overconfident(20)
    with pytest.raises(InvalidInput, match="pass 20 booleans"):
        Calibrator().fit(confidence, correct, threshold_rows=[1, 2])
    with pytest.raises(InvalidInput, match="1 items are left to fit and 1 for the threshold"):
        Calibrator(threshold_share=0.5).fit(confidence[:2], correct[:2])
    with pytest.raises(NotFitted):
        Calibrator().transform(confidence)


@pytest.mark.parametrize(
    "options", [{"risk": 2}, {"delta": 0}, {"threshold_share": 0}, {"seed": -1}, {"recalibrator": "magic"}]
)
def test_options_are_checked_before_anything_is_fitted(options, monkeypatch):
    monkeypatch.setattr("calibration.calibrator.select_recalibrator", lambda *_, **__: pytest.fail("fitted first"))
    with pytest.raises(InvalidInput, match=f"{next(iter(options))} is|no recalibrator"):
        Calibrator(**options).fit(*overconfident(20))


@pytest.mark.parametrize("split", [(1, 1, 1), (0.5, 0.5, 0), (2, -1), (), "abc", 0.5, (0.5, None)])
def test_a_split_that_is_no_partition_is_refused(split):
    with pytest.raises(InvalidInput, match="pass positive shares that sum to 1"):
        split_rows(10, split)
