import numpy as np
import pytest

from calibration import (
    RECALIBRATORS,
    Identity,
    InvalidInput,
    PlattScaling,
    Recalibrator,
    make_recalibrator,
    select_recalibrator,
)
from calibration.selection import _choice


def overconfident(size, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, size)
    return confidence, rng.random(size) < confidence**3


def test_every_name_makes_its_recalibrator_and_an_unknown_one_is_refused():
    for name, cls in RECALIBRATORS.items():
        made = make_recalibrator(name)
        assert isinstance(made, Recalibrator)
        assert type(made).__name__ == cls
    with pytest.raises(InvalidInput, match="no recalibrator 'magic'"):
        make_recalibrator("magic")


def test_the_identity_changes_nothing():
    confidence, correct = overconfident(20)
    assert Identity().fit_transform(confidence, correct).tolist() == confidence.tolist()


def test_recalibration_is_chosen_if_it_helps_on_held_out_items_and_the_identity_otherwise():
    candidates = {"identity": Identity(), "platt": PlattScaling()}
    confidence, correct = overconfident(300)
    made = select_recalibrator(confidence, correct, candidates=candidates)
    assert made.name == "platt"
    assert made.chosen == {"platt": 5}
    assert made.scores["platt"] < made.scores["identity"]
    # Calibrated from the start, and few items: what fits them better than the identity does worse on held-out items.
    rng = np.random.default_rng(3)
    calibrated = rng.uniform(0, 1, 40)
    kept = select_recalibrator(calibrated, rng.random(40) < calibrated, candidates=candidates)
    assert kept.name == "identity"
    assert kept.held_out.tolist() == pytest.approx(calibrated.tolist())


def test_a_simpler_recalibrator_is_chosen_within_one_standard_error_of_the_best():
    simple, better, clear = np.full(100, 0.6), np.full(100, 0.6), np.full(100, 0.6)
    better[::2] -= 0.02
    better[1::2] += 0.019  # 0.0005 better on average, with a standard error of 0.002
    clear[::2] -= 0.02
    clear[1::2] += 0.01  # 0.005 better, with a standard error of 0.0015
    weights = np.ones(100)
    assert _choice({"simple": simple, "better": better}, weights) == "simple"
    assert _choice({"simple": simple, "clear": clear}, weights) == "clear"
    # Items of weight 0 do not count.
    weights[::2] = 0
    assert _choice({"simple": simple, "clear": clear}, weights) == "simple"


def test_the_choice_costs_less_log_loss_than_the_least_brier_score_would():
    """The least Brier score chose step functions that are certain, at 3 to 4 times the excess log loss."""
    excess = []
    for seed in range(6):
        confidence, correct = overconfident(150, seed)
        made = select_recalibrator(confidence, correct, n_outer=2, n_inner=4, seed=seed)
        new = np.random.default_rng(seed + 100).uniform(0.3, 1, 20_000)
        p = np.clip(made.recalibrator.transform(new), 1e-9, 1 - 1e-9)
        excess.append(np.mean(new**3 * np.log(new**3 / p) + (1 - new**3) * np.log((1 - new**3) / (1 - p))))
    # Platt scaling, close to the truth here, has about 0.01.
    assert np.mean(excess) < 0.025


def test_weights_reach_every_candidate_and_their_scale_does_not_matter():
    confidence, correct = overconfident(120)
    weights = np.random.default_rng(0).gamma(1, 1, 120)
    candidates = {"identity": Identity(), "platt": PlattScaling()}
    made = [select_recalibrator(confidence, correct, weights * s, candidates=candidates) for s in (1, 1e-6)]
    assert made[0].scores == pytest.approx(made[1].scores)
    alone = PlattScaling().fit(confidence, correct, weights)
    assert made[0].name == "platt"
    assert made[0].recalibrator.slope_ == pytest.approx(alone.slope_)
    plain = select_recalibrator(confidence, correct, candidates=candidates)
    assert plain.scores != pytest.approx(made[0].scores)


def test_held_out_confidences_do_not_depend_on_their_own_items():
    class Memory(Recalibrator):
        """Returns 1 for confidences that were right in `fit`, 0 for those that were wrong, and 0.5 for others."""

        def _fit(self, confidence, correct, weights):
            self.seen_ = dict(zip(confidence.tolist(), correct.tolist(), strict=True))

        def _transform(self, confidence):
            return np.array([float(self.seen_.get(value, 0.5)) for value in confidence.tolist()])

    confidence, correct = overconfident(50)
    made = select_recalibrator(confidence, correct, candidates={"memory": Memory()})
    assert made.held_out.tolist() == [0.5] * 50
    assert made.scores["memory"] == pytest.approx(np.log(2))
    assert made.recalibrator.transform(confidence).tolist() == correct.astype(float).tolist()


def test_the_same_seed_chooses_the_same_and_degenerate_data_works():
    confidence, correct = overconfident(30)
    one, same = (select_recalibrator(confidence, correct, seed=4) for _ in range(2))
    assert one.scores == same.scores
    assert one.held_out.tolist() == same.held_out.tolist()
    for few in ([0.4, 0.6], [0.5, 0.5], [0.0, 1.0]):
        for truth in ([True, True], [False, False], [False, True]):
            made = select_recalibrator(few, truth)
            assert ((made.held_out >= 0) & (made.held_out <= 1)).all()
    with pytest.raises(InvalidInput, match="at least two"):
        select_recalibrator([0.5], [True])
    with pytest.raises(InvalidInput, match="pass at least one recalibrator by its name"):
        select_recalibrator(confidence, correct, candidates={})
    with pytest.raises(InvalidInput, match="candidates is 'platt'"):
        select_recalibrator(confidence, correct, candidates="platt")
    with pytest.raises(InvalidInput, match="seed is -1"):
        select_recalibrator(confidence, correct, seed=-1)
