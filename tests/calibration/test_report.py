"""The report on arrays, its figures and its page."""

import base64
import json
import re

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from calibration import (
    RECALIBRATORS,
    Estimate,
    InvalidInput,
    NoThresholdWarning,
    PlattScaling,
    ThresholdResult,
    calibration_report,
    expected_calibration_error,
    measure,
    reliability_diagram,
    render_report,
    risk_coverage_diagram,
    risk_frontier,
    split_rows,
    write_report,
)
from calibration.report.page import data_address
from calibration.report.threshold import RISKS


def overconfident(size, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, size)
    return confidence, rng.random(size) < confidence**3, rng.choice(["easy", "<b>hard</b>"], size)


@pytest.fixture(scope="module")
def report():
    confidence, correct, groups = overconfident(300)
    return calibration_report(confidence, correct, groups=groups, risk=0.5, seed=5)


def test_every_number_is_measured_on_held_out_rows(report):
    confidence, correct, _ = overconfident(300)
    fit, above, held_out = split_rows(300, (0.4, 0.3, 0.3), seed=5)
    assert (
        (report.fit_count, report.threshold_count, report.report_count)
        == (fit.sum() + above.sum(), fit.sum() + above.sum(), held_out.sum())
        == (210, 210, 90)
    )
    assert report.report_rows.tolist() == held_out.tolist()
    assert report.before.ece == pytest.approx(float(expected_calibration_error(confidence[held_out], correct[held_out])))
    platt = PlattScaling().fit(confidence[~held_out], correct[~held_out]).transform(confidence[held_out])
    row = next(row for row in report.after if row.name == "platt")
    assert row.ece == pytest.approx(float(expected_calibration_error(platt, correct[held_out])))
    assert row.ece.low < row.ece.high
    answered = report.calibrator.answer(confidence[held_out])
    assert report.threshold_result.answered == answered.sum() > 0
    assert report.threshold_result.wrong == (answered & ~correct[held_out]).sum()
    assert report.calibrator.rule_.count_ == 210
    assert report.split_result.count == 90
    assert [point.guaranteed_risk for point in report.frontier] == list(RISKS)
    assert report.frontier == risk_frontier(confidence[~held_out], correct[~held_out])


def test_every_recalibrator_has_a_row_and_every_group_its_own(report):
    names = [name for name in RECALIBRATORS if name != "identity"]
    assert [row.name for row in report.after] == [*names, "platt by group"]
    assert {group.group for group in report.groups} == {"easy", "<b>hard</b>"}
    assert sum(group.before.count for group in report.groups) == report.report_count
    assert sum(group.threshold_result.answered for group in report.groups) == report.threshold_result.answered
    assert sum(group.threshold_result.wrong for group in report.groups) == report.threshold_result.wrong
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_metrics_of_four_rows_by_hand():
    row = measure("raw", [0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bins=10)
    assert row.count == 4
    assert float(row.accuracy) == 0.75
    assert row.mean_confidence == pytest.approx(0.75)
    assert row.ece == pytest.approx(0.1)
    assert row.brier == pytest.approx((0.01 + 0.01 + 0.16 + 0.36) / 4)
    assert row.auroc == pytest.approx((1 + 1 + 0.5) / 3)
    assert measure("raw", [0.9, 0.8], [True, True]).auroc is None


def test_a_missing_threshold_is_reported_as_such():
    confidence, correct, _ = overconfident(60)
    with pytest.warns(NoThresholdWarning):
        report = calibration_report(confidence, correct, risk=0.01)
    assert report.threshold_result.risk is None
    assert report.threshold_result.coverage == 0
    assert report.to_dict()["threshold_result"]["threshold"] is None
    assert "No held-out row is answered" in render_report(report)


def test_all_right_and_constant_rows_make_a_report_and_too_few_are_refused():
    with pytest.warns(NoThresholdWarning):
        report = calibration_report([0.5] * 12, [True] * 12)
    assert report.before.auroc is None
    assert "<html" in render_report(report)
    with pytest.raises(InvalidInput, match="9 rows are too few"):
        calibration_report([0.5] * 9, [True] * 9)
    with pytest.raises(InvalidInput, match="groups has shape"):
        calibration_report([0.5] * 12, [True] * 12, groups=["a"])


def test_the_page_holds_its_figures_loads_nothing_and_escapes_names(report, tmp_path):
    write_report(report, tmp_path / "r.html", title="A & B <script>")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r"<title>(.*?)</title>", page) == ["A &amp; B &lt;script&gt;"]
    assert "&lt;b&gt;hard&lt;/b&gt;" in page
    assert "<b>hard</b>" not in page
    figures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(figures) == 4
    assert all(b"<svg" in base64.b64decode(figure) for figure in figures)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("data:") for address in addresses)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page).lower()
    assert render_report(report) == render_report(report)


def test_the_reliability_diagram_draws_the_bins_and_their_intervals():
    figure = reliability_diagram([0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bins=10)
    above, below = figure.axes
    points = above.containers[0].lines[0]
    assert points.get_xdata().tolist() == pytest.approx([0.6, 0.9])
    assert points.get_ydata().tolist() == pytest.approx([0.5, 1.0])
    (bars,) = above.containers[0].lines[2]
    # Clopper-Pearson: 1 of 2 is [0.0126, 0.9874], 2 of 2 is [0.1581, 1].
    assert np.array(bars.get_segments())[:, :, 1].tolist() == [
        pytest.approx([0.0126, 0.9874], abs=1e-4),
        pytest.approx([0.1581, 1.0], abs=1e-4),
    ]
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(1)
    assert "ECE 0.100\nn = 4" in [text.get_text() for text in above.texts]


def test_the_risk_coverage_diagram_marks_the_threshold_at_its_risk_and_coverage():
    figure = risk_coverage_diagram([0.9, 0.8, 0.7, 0.6], [True, False, True, False], threshold=0.7, risk=0.4)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["by confidence"].get_xdata().tolist() == [0.25, 0.5, 0.75, 1]
    assert lines["by confidence"].get_ydata().tolist() == pytest.approx([0, 0.5, 1 / 3, 0.5])
    assert lines["threshold 0.7"].get_xydata().tolist() == [pytest.approx([0.75, 1 / 3])]
    with pytest.raises(InvalidInput, match="threshold is nan"):
        risk_coverage_diagram([0.5], [True], threshold=float("nan"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 2}, "risk is 2"),
        ({"delta": 0}, "delta is 0"),
        ({"split": (1, 1, 1)}, "split is"),
        ({"split": (0.5, 0.5)}, "pass 3 positive shares"),
        ({"split": (0.98, 0.01, 0.01)}, "leaves 0 of 20 rows to choose a threshold on"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"interval": 95}, "interval is 95"),
        ({"seed": -1}, "seed is -1"),
        ({"groups": "ab" * 10}, "groups has shape"),
        ({"groups": [None] * 20}, r"groups\[0\] is None"),
    ],
)
def test_options_are_checked_before_anything_is_fitted(options, message, monkeypatch):
    monkeypatch.setattr("calibration.calibrator.Calibrator.fit", lambda *_, **__: pytest.fail("fitted first"))
    confidence, correct, _ = overconfident(20)
    with pytest.raises(InvalidInput, match=message):
        calibration_report(confidence, correct, **options)


def test_groups_of_numbers_and_texts_are_reported_separately():
    confidence, correct, _ = overconfident(100)
    groups = np.array([1, "1", 2.5, "a"] * 25, dtype=object)
    report = calibration_report(confidence, correct, groups=groups, risk=0.9)
    assert [group.group for group in report.groups] == ["1", "2.5", "1", "a"]
    json.dumps(report.to_dict(), allow_nan=False)


def test_small_risks_are_written_in_full(tmp_path):
    """A risk of .005 read "at most 0%"."""
    confidence, correct, _ = overconfident(60)
    with pytest.warns(NoThresholdWarning):
        page = render_report(calibration_report(confidence, correct, risk=0.005, interval=0.995))
    assert "the requested guarantee is\nat most 0.5%" in page
    assert "99.5% intervals" in page


def test_a_page_that_cannot_be_written_is_one_sentence(report, tmp_path):
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_report(report, tmp_path / "missing" / "r.html")


def test_the_frontier_by_hand():
    # 60 right answers at 0.9 and 100 of which 30 are wrong at 0.6: 0.95^60 = 0.046 guarantees 5 %, 0.98^60 = 0.298 not 2 %.
    confidence, correct = [0.9] * 60 + [0.6] * 100, [True] * 60 + [False] * 30 + [True] * 70
    points = risk_frontier(confidence, correct, risks=[0.02, 0.05, 0.25], delta=0.05)
    assert [point.coverage for point in points] == [0, 60 / 160, 1]
    assert [point.errors for point in points] == [None, 0, pytest.approx(30 / 160)]
    assert points[0].to_dict()["threshold"] is None
    assert binom.cdf(30, 160, 0.25) < 0.05
    with pytest.raises(InvalidInput, match=r"risks is 0\.1; pass at least one error rate"):
        risk_frontier(confidence, correct, risks=0.1)


@pytest.mark.parametrize(
    ("wrong", "answered", "held"),
    # P(Binomial(100, 0.1) >= 15) = 0.0726, P(>= 16) = 0.0399; a point comparison condemned both, and 11 as well.
    [(0, 0, True), (0, 9, True), (11, 100, True), (15, 100, True), (16, 100, False), (1, 1, True)],
)
def test_a_guarantee_is_contradicted_only_by_more_errors_than_chance_explains(wrong, answered, held):
    result = ThresholdResult(0.5, 0.1, 0.05, 200, answered, wrong, Estimate(0.5), Estimate(0.5), "")
    assert result.held is held
    if answered == 100:
        exact = binomtest(wrong, 100, 0.1, alternative="greater").pvalue
        assert result.p_value == pytest.approx(exact)


def test_a_true_guarantee_is_rarely_called_broken():
    """A point comparison called it broken in a quarter of such draws."""
    rng = np.random.default_rng(0)
    results = [
        ThresholdResult(0.5, 0.2, 0.05, 200, 80, int(rng.binomial(80, 0.2)), Estimate(0.5), Estimate(0.2), "")
        for _ in range(1000)
    ]
    assert np.mean([result.held for result in results]) >= 0.93
    assert np.mean([result.wrong / 80 <= 0.2 for result in results]) < 0.7


def test_figures_of_many_rows_are_small():
    """A page of 100,000 rows took megabytes: every row was a point of a curve."""
    rng = np.random.default_rng(0)
    confidence = rng.random(50_000)
    correct = rng.random(50_000) < confidence
    sizes = [len(data_address(draw(confidence, correct))) for draw in (reliability_diagram, risk_coverage_diagram)]
    assert max(sizes) < 120_000


def test_logit_axes_show_confidences_that_crowd_near_one():
    rng = np.random.default_rng(0)
    confidence = np.append(rng.beta(40, 0.5, 300), [1.0, 0.0])
    correct = rng.random(302) < confidence
    figure = reliability_diagram(confidence, correct, strategy="equal-mass", scale="logit")
    above, below = figure.axes
    assert above.get_xscale() == above.get_yscale() == below.get_xscale() == "logit"
    points = above.containers[0].lines[0].get_xydata()
    assert ((points > 0) & (points < 1)).all()
    assert len(points) > 8
    assert data_address(figure)
    with pytest.raises(InvalidInput, match="scale is 'log'"):
        reliability_diagram(confidence, correct, scale="log")


def test_the_page_names_groups_without_a_name_and_splits_the_score():
    confidence, correct, _ = overconfident(100)
    groups = ["", "x" * 300] * 50
    page = render_report(calibration_report(confidence, correct, groups=groups, risk=0.9))
    assert "(empty name)" in page
    assert 'class="name" title="' + "x" * 300 in page
    assert "miscalibration" in page


def test_each_of_several_sources_has_a_frontier_of_its_own():
    rng = np.random.default_rng(4)
    truth = rng.normal(1, 1.5, 400)
    confidence = 1 / (1 + np.exp(-(truth[:, None] + rng.normal(0, [0.5, 3], (400, 2)))))
    correct = rng.random(400) < 1 / (1 + np.exp(-truth))
    report = calibration_report(confidence, correct, risk=0.3, source="sharp+blunt")
    used = ~report.report_rows
    assert report.source_frontiers == tuple(risk_frontier(column, correct[used]) for column in confidence[used].T)
    sharp, blunt = ([point.coverage for point in points] for points in report.source_frontiers)
    assert sum(sharp) > sum(blunt)
    assert report.to_dict()["source_frontiers"][1][-1] == report.source_frontiers[1][-1].to_dict()
    page = render_report(report)
    assert "<th>blunt alone: coverage</th>" in page
    assert f"On the {report.threshold_count} rows that thresholds are chosen on (of a single source, all\n280 rows" in page
    assert calibration_report(confidence[:, 0], correct, risk=0.3).source_frontiers == ()
