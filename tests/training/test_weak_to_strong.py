"""Weak-to-strong generalization: the losses by hand, made data whose gap is known, and the command."""

import json

import numpy as np
import pytest
import torch
import yaml

from halluc.errors import InvalidInput
from training.weak_to_strong.confidence_loss import confidence_loss, hardened, train_head
from training.weak_to_strong.experiment import recovered_gap, weak_to_strong
from training.weak_to_strong.run import WeakToStrongConfig, read_labeled_rows, run_weak_to_strong


def test_the_loss_is_that_of_equation_1():
    logits, weak = torch.tensor([2.0, -1.0, 0.5, 0.1]), torch.tensor([0.9, 0.4, 0.2, 0.5])
    p = torch.sigmoid(logits)
    imitation = -(weak * p.log() + (1 - weak) * (1 - p).log()).mean()
    # The weak labels are true in half of the batch: the two largest predictions are 1.
    own = -(p[[0, 2]].log().sum() + (1 - p[[1, 3]]).log().sum()) / 4
    assert confidence_loss(logits, weak, 0.0).item() == pytest.approx(imitation.item(), abs=1e-6)
    assert confidence_loss(logits, weak, 0.3).item() == pytest.approx((0.7 * imitation + 0.3 * own).item(), abs=1e-6)


def test_hardened_labels_have_the_share_of_the_weak_ones_and_no_gradient():
    logits = torch.tensor([0.3, 0.1, 0.9, 0.2])
    assert hardened(logits, 0.5).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert hardened(logits, 0.0).tolist() == [0.0] * 4
    assert hardened(logits, 1.0).tolist() == [1.0] * 4


def made_rows(rows=600, *, noise):
    """Strong features separate the classes; weak features see the same direction under noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(rows) % 2 == 0
    strong = generator.normal(size=(rows, 10)).astype(np.float32)
    strong[:, 0] += np.where(labels, 2, -2)
    weak = (strong + generator.normal(scale=noise, size=strong.shape)).astype(np.float32)
    return weak, strong, labels


def test_a_student_with_better_features_recovers_most_of_the_gap_of_independent_errors():
    report = weak_to_strong(*made_rows(noise=2.0), seeds=3, epochs=20, learning_rate=0.03)
    assert (report.n_supervisor, report.n_transfer, report.n_test) == (240, 240, 120)
    assert 0.7 < report.weak < 0.9 < report.ceiling
    assert report.gap.low > 0.05
    for student in (report.imitating, report.confident):
        assert report.weak < student.accuracy <= report.ceiling + 0.02
        assert student.recovered > 0.5
        assert student.recovered.low < student.recovered < student.recovered.high
        expected = recovered_gap(report.weak, student.accuracy, report.ceiling)
        assert float(student.recovered) == pytest.approx(expected)
    assert report.difference.low <= report.difference <= report.difference.high
    assert abs(report.weak_labels - report.weak) < 0.1


def test_without_a_gap_nothing_is_recovered():
    report = weak_to_strong(*made_rows(noise=0.0), seeds=2, epochs=10, learning_rate=0.03)
    assert report.imitating.recovered is None
    assert report.gap.low <= 0


def test_training_is_repeatable_and_leaves_the_random_state_alone():
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    targets = (features[:, 0] > 0).astype(float)
    state = torch.random.get_rng_state()
    one, two = (train_head(features, targets, hidden=3, epochs=2, seed=4) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one(torch.from_numpy(features)), two(torch.from_numpy(features)))


def statements(path, rows=60):
    places = [("Paris", "France"), ("Rome", "Italy"), ("Oslo", "Norway"), ("Lima", "Peru"), ("Cairo", "Egypt")]
    with path.open("w") as file:
        for number in range(rows):
            city, country = places[number % 5]
            right = number % 2 == 0
            country = country if right else places[(number + 1) % 5][1]
            file.write(json.dumps({"statement": f"In {number}, {city} was in {country}.", "label": right}) + "\n")
    return path


def test_the_command_reports_and_keeps_features(halluc, tmp_path):
    config = tmp_path / "w.yaml"
    settings = {
        "rows": str(statements(tmp_path / "s.jsonl")), "out": str(tmp_path / "out"), "strong": "smollm2-135m", "seeds": 2,
        "epochs": 3,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(settings))
    code, out, err = halluc("train", "weak-to-strong", config, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts == json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["rows"] == 60
    report = facts["report"]
    assert (report["n_supervisor"], report["n_transfer"], report["n_test"], report["seeds"]) == (24, 24, 12, 2)
    assert len(list((tmp_path / "out").glob("features-*.npy"))) == 2
    code, out, _ = halluc("train", "weak-to-strong", config, "--no-json")
    assert code == 0
    assert "supervisor" in out
    assert "recovered" in out


def test_rows_of_the_common_form_are_pairs(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"evidence": "a", "claim": "b", "label": "supported", "doc": 1}\n' * 2)
    assert read_labeled_rows(path) == [{"label": True, "evidence": "a", "claim": "b"}] * 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"statement": "a", "label": "perhaps"},
            "line 2 of .* has the label 'perhaps'; write true or false",
        ),
        ({"statement": " ", "label": 1}, "line 2 of .* has the statement ' '; write a text"),
        ({"evidence": "x", "claim": "y", "label": 1}, "line 2 of .* has the statement None"),
        ({"statement": "a"}, "has the label None"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, message):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"statement": "a", "label": 1}\n' + json.dumps(row) + "\n")
    with pytest.raises(InvalidInput, match=message):
        read_labeled_rows(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": ""}, "rows is not set"),
        ({"confidence_weight": 2}, "confidence_weight is 2"),
        ({"seeds": 0}, "seeds is 0"),
        ({"limit": 3}, "limit is 3"),
        ({"strong": "http://localhost/v1#m"}, "strong is an endpoint, which gives no features"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, message):
    with pytest.raises(InvalidInput, match=message):
        WeakToStrongConfig(**({"rows": "r", "out": "o"} | settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are 0 true and 0 false rows"),
        ('{"statemnt": "a", "label": 1}\n', "line 1 of .* has the fields statemnt, label; write statement, or evidence"),
    ],
)
def test_files_without_rows_or_without_their_fields_are_named(tmp_path, text, message):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        run_weak_to_strong(WeakToStrongConfig(rows=str(tmp_path / "rows.jsonl"), out=str(tmp_path / "out"), strong="none"))


def test_too_few_rows_are_refused_before_features_are_computed(tmp_path):
    path = statements(tmp_path / "s.jsonl", rows=30)
    with pytest.raises(InvalidInput, match="there are 15 true and 15 false rows; pass at least 50"):
        run_weak_to_strong(WeakToStrongConfig(rows=str(path), out=str(tmp_path / "out"), strong="none"))
    assert not (tmp_path / "out").exists()
