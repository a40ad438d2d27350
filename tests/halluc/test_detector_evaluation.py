"""Calibrated scores, probes, ensembles and their evaluation, on rows drawn from known distributions."""

import json

import numpy as np
import pytest

from calibration import auroc, expected_calibration_error
from halluc.detectors.benchmark_rows import read_labeled
from halluc.detectors.collect import Cost
from halluc.detectors.detect import Detection
from halluc.detectors.ensemble import Ensemble
from halluc.detectors.evaluation import evaluate_detectors, plot_quality_against_cost
from halluc.detectors.internal_state import Probe, semantic_entropy_threshold
from halluc.detectors.score_calibration import ScoreCalibration
from halluc.detectors.statistics import Statistics
from halluc.detectors.table import DETECTORS
from halluc.errors import InvalidInput


def rows(n, seed):
    """Labels, two independent weak signals, a copy of the first in another unit, and noise."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.5
    first, second = rng.normal(wrong * 1.0), rng.normal(wrong * 1.0)
    return wrong, {"perplexity": np.exp(first), "max_token_entropy": second, "self_certainty": rng.normal(size=n)}


def rank_auroc(scores, wrong):
    order = np.argsort(np.argsort(scores)) / len(scores)
    return float(auroc(order, wrong))


def test_a_calibrated_score_is_a_probability_of_being_wrong():
    wrong, scores = rows(2000, 0)
    fitted = ScoreCalibration.fit("max_token_entropy", scores["max_token_entropy"], wrong)
    wrong, scores = rows(4000, 1)
    probability = fitted.probability(scores["max_token_entropy"])
    assert expected_calibration_error(probability, wrong, n_bins=10) < 0.04
    assert rank_auroc(probability, wrong) == pytest.approx(rank_auroc(scores["max_token_entropy"], wrong), abs=1e-3)


def test_a_missing_score_is_calibrated_to_the_base_rate_and_an_outlier_does_not_decide():
    wrong, scores = rows(400, 0)
    values = scores["max_token_entropy"].copy()
    fitted = ScoreCalibration.fit("x", values, wrong)
    assert fitted.probability([np.nan])[0] == pytest.approx(wrong.mean())
    values[np.argmax(values)] = 1e12
    again = ScoreCalibration.fit("x", values, wrong)
    assert again.probability([0.5]) == pytest.approx(fitted.probability([0.5]), abs=0.02)


def test_calibrations_and_ensembles_come_back_from_their_files(tmp_path):
    wrong, scores = rows(300, 0)
    fitted = ScoreCalibration.fit("perplexity", scores["perplexity"], wrong)
    fitted.save(tmp_path / "c.json")
    assert (ScoreCalibration.load(tmp_path / "c.json").probability([1.0, 2.0]) == fitted.probability([1.0, 2.0])).all()
    ensemble = Ensemble.fit(scores, wrong)
    ensemble.save(tmp_path / "e.json")
    assert (Ensemble.load(tmp_path / "e.json").probability(scores) == ensemble.probability(scores)).all()
    for wrong_kind, load in (("e.json", ScoreCalibration.load), ("c.json", Ensemble.load), ("none.json", Probe.load)):
        with pytest.raises(InvalidInput, match=wrong_kind):
            load(tmp_path / wrong_kind)
    (tmp_path / "cut.json").write_text(json.dumps({"kind": "detector ensemble", "format": 1, "members": ["a"]}))
    with pytest.raises(InvalidInput, match="is damaged"):
        Ensemble.load(tmp_path / "cut.json")


@pytest.mark.parametrize("wrong", [["yes", "no"] * 10, [0.5, 1] * 10, [np.nan, 0] * 10, [None, True] * 10])
def test_labels_that_are_neither_true_nor_false_are_refused(wrong):
    """A text, a half and NaN all count as true to numpy."""
    scores = np.arange(20.0)
    for fit in (
        lambda: ScoreCalibration.fit("x", scores, wrong),
        lambda: Ensemble.fit({"x": scores}, wrong),
        lambda: Probe.fit(hidden_states(20, 0)[0], wrong, model="m"),
    ):
        with pytest.raises(InvalidInput, match="neither true nor false"):
            fit()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": "abc"}, "the scores of a have the shape|the scores of a are not all numbers"),
        ({"a": [[0.1] * 20]}, "the scores of a have the shape"),
        ({"a": [0.1] * 20, "b": [0.1] * 19}, "20 a, 19 b"),
    ],
)
def test_scores_that_cannot_be_fitted_are_named(scores, message):
    with pytest.raises(InvalidInput, match=message):
        Ensemble.fit(scores, [0, 1] * 10)


def test_an_ensemble_beats_its_best_member_where_members_know_different_things():
    ensemble = Ensemble.fit(rows(600, 0)[1], rows(600, 0)[0])
    wrong, scores = rows(4000, 1)
    best = max(rank_auroc(values, wrong) for values in scores.values())
    assert rank_auroc(ensemble.probability(scores), wrong) > best + 0.04
    assert sum(ensemble.shares.values()) == pytest.approx(1)
    assert list(ensemble.shares)[-1] == "self_certainty"
    assert ensemble.shares["self_certainty"] < 0.15


def test_an_ensemble_leans_on_one_member_where_the_others_are_noise():
    rng = np.random.default_rng(0)
    wrong = rng.random(80) < 0.5
    good = wrong + rng.normal(size=80) * 0.1
    noise = {f"noise{i}": rng.normal(size=80) for i in range(30)}
    ensemble = Ensemble.fit({**noise, "good": good}, wrong)
    assert ensemble.shares["good"] == pytest.approx(1)
    fresh = rng.random(1000) < 0.5
    scores = {name: rng.normal(size=1000) for name in noise}
    scores["good"] = fresh + rng.normal(size=1000) * 0.1
    assert rank_auroc(ensemble.probability(scores), fresh) > 0.99


def test_an_ensemble_does_not_depend_on_the_units_of_its_members():
    wrong, scores = rows(300, 0)
    same = {**scores, "perplexity": np.log(scores["perplexity"]) * 1000}
    first, second = Ensemble.fit(scores, wrong), Ensemble.fit(same, wrong)
    assert first.probability(scores) == pytest.approx(second.probability(same), abs=0.02)


def test_a_missing_score_of_a_member_counts_as_its_median():
    """Neither as the lowest nor as the highest score."""
    wrong, scores = rows(400, 0)
    ensemble = Ensemble.fit(scores, wrong)
    member = ensemble.members[0]
    row = {name: np.array([0.3]) for name in scores}
    median = ensemble.probability({**row, member: np.array([np.median(scores[member])])})
    assert ensemble.probability({**row, member: np.array([np.nan])}) == pytest.approx(median, abs=0.01)
    for extreme in (scores[member].min(), scores[member].max()):
        other = ensemble.probability({**row, member: np.array([extreme])})
        assert abs(other - median)[0] > 0.05


def test_an_ensemble_is_a_detector_made_of_the_table():
    wrong, scores = rows(300, 0)
    ensemble = Ensemble.fit({name: scores[name] for name in ("perplexity", "max_token_entropy")}, wrong)
    detector = ensemble.detector(DETECTORS)
    statistics = Statistics(
        ("q",), ("a",), token_logprobs=(np.array([-0.5]),), token_entropy=(np.array([0.7]),), token_self_certainty=()
    )
    expected = ensemble.probability({"perplexity": np.array([0.5]), "max_token_entropy": np.array([0.7])})
    assert detector.score(statistics) == pytest.approx(expected)
    assert detector.needs == DETECTORS["perplexity"].needs | DETECTORS["max_token_entropy"].needs
    with pytest.raises(InvalidInput, match="there is no detector 'perplexity'"):
        ensemble.detector({})
    with pytest.raises(InvalidInput, match="needs the scores of max_token_entropy"):
        ensemble.probability({"perplexity": np.array([0.5])})


def hidden_states(n, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.5
    states = rng.normal(size=(n, 40))
    states[:, 3] += 2 * wrong
    return Statistics(("q",) * n, ("a",) * n, hidden_state=states * scale), wrong


def test_a_probe_finds_the_direction_of_truth_and_comes_back_from_its_file(tmp_path):
    probe = Probe.fit(*hidden_states(300, 0), model="m")
    statistics, wrong = hidden_states(1000, 1)
    scores = probe.detector.score(statistics)
    assert rank_auroc(scores, wrong) > 0.85
    assert np.argmax(np.abs(probe.weight)) == 3
    probe.save(tmp_path / "p.json")
    assert (Probe.load(tmp_path / "p.json").score(statistics) == scores).all()


def test_a_probe_on_lookback_ratios_reads_one_mean_per_head():
    rng = np.random.default_rng(0)
    wrong = np.arange(60) % 2 == 0
    lookback = tuple(np.clip(rng.normal(0.5 - 0.3 * label, 0.05, (2, 3, 4)), 0, 1) for label in wrong)
    statistics = Statistics(("q",) * 60, ("a",) * 60, lookback=lookback)
    probe = Probe.fit(statistics, wrong, model="m", feature="lookback")
    assert probe.weight.shape == (6,)
    assert rank_auroc(probe.score(statistics), wrong) == 1
    assert DETECTORS["lookback_ratio"].score(statistics)[0] == pytest.approx(1 - lookback[0].mean())


def test_a_probe_refuses_other_states_and_too_few_labels():
    probe = Probe.fit(*hidden_states(100, 0), model="m")
    with pytest.raises(InvalidInput, match="fitted on 40 numbers per answer of m, not on 2"):
        probe.score(Statistics(("q",), ("a",), hidden_state=np.zeros((1, 2))))
    statistics, wrong = hidden_states(8, 0)
    with pytest.raises(InvalidInput, match="needs 5 of each kind"):
        Probe.fit(statistics, wrong, model="m")
    with pytest.raises(InvalidInput, match="feature is 'tea'"):
        Probe.fit(statistics, wrong, model="m", feature="tea")


def test_semantic_entropies_are_split_where_the_squared_error_is_least():
    assert semantic_entropy_threshold(np.array([0.0, 0.1, 0.1, 1.0, 1.2])) == pytest.approx(0.55)
    with pytest.raises(InvalidInput, match="all semantic entropies are equal"):
        semantic_entropy_threshold(np.zeros(4))


def detection(n=400, seed=0):
    wrong, scores = rows(n, seed)
    scores["verbalized_confidence"] = np.where(np.arange(n) % 4 == 0, np.nan, scores["max_token_entropy"])
    statistics, _ = hidden_states(n, seed + 7)
    ran = tuple(DETECTORS[name] for name in scores)
    costs = {name: Cost(n * 0.5, n * 20) for name in scores}
    made = Detection(
        scores, {"rauq": "no attention"}, (), costs, Cost(n * 0.1, n * 10), Cost(n * 1.0, n * 30), statistics, ran
    )
    return made, wrong


def test_the_table_reports_on_rows_that_nothing_was_fitted_on(tmp_path):
    found, wrong = detection()
    table = evaluate_detectors(found, wrong)
    assert (table.n, table.n_fit) == (200, 200)
    by_name = {row.detector: row for row in table.rows}
    assert set(by_name) == {*found, "ensemble", "probe_hidden_state"}
    assert [row.auroc for row in table.rows] == sorted((row.auroc for row in table.rows), reverse=True)
    assert table.rows[0].detector == "ensemble"
    # Its states were drawn for other labels.
    assert 0.35 < by_name["probe_hidden_state"].auroc < 0.65
    assert by_name["perplexity"].auroc.low < by_name["perplexity"].auroc < by_name["perplexity"].auroc.high
    assert abs(by_name["self_certainty"].prr) < 0.3 < by_name["ensemble"].prr
    assert by_name["perplexity"].seconds == 0.5
    assert by_name["ensemble"].tokens == 30
    assert by_name["verbalized_confidence"].missing == pytest.approx(0.25, abs=0.08)
    assert by_name["perplexity"].ece < 0.15
    json.dumps(table.to_dict(), allow_nan=False)
    plot_quality_against_cost(table.rows, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    with pytest.raises(InvalidInput, match="names no format of a plot"):
        plot_quality_against_cost(table.rows, tmp_path / "p.tea")


def test_probes_are_measured_where_hidden_states_are_there():
    statistics, wrong = hidden_states(200, 0)
    noise = np.random.default_rng(0).normal(size=200)
    entropy = np.where(wrong, 1.0, 0.2) + noise * 0.01
    scores = {"perplexity": noise, "semantic_entropy": entropy}
    ran = tuple(DETECTORS[name] for name in scores)
    found = Detection(scores, {}, (), {name: Cost() for name in scores}, Cost(), Cost(), statistics, ran)
    by_name = {row.detector: row.auroc for row in evaluate_detectors(found, wrong).rows}
    assert by_name["probe_hidden_state"] > 0.75
    assert by_name["semantic_entropy_probe"] > 0.75


def test_statistics_can_be_selected_by_row():
    whole = Statistics(("a", "b"), ("x", "y"), token_logprobs=(np.zeros(1), np.ones(2)), hidden_state=np.eye(2))
    part = whole.rows(np.array([False, True]))
    assert (part.questions, part.token_logprobs[0].tolist(), part.hidden_state.tolist()) == (("b",), [1, 1], [[0, 1]])
    assert part.samples == ()
    assert part.p_true.size == 0


def test_too_few_rows_of_a_kind_are_refused():
    found, _ = detection(40)
    with pytest.raises(InvalidInput, match="3 of 40 answers are wrong"):
        evaluate_detectors(found, np.arange(40) < 3)
    with pytest.raises(InvalidInput, match="all 40 answers are wrong"):
        evaluate_detectors(found, np.ones(40))


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_answers_are_judged_by_the_kind_of_their_row(tmp_path):
    questions = read_labeled([write(tmp_path / "q.jsonl", {"question": "Who?", "references": ["Ada", "Ada Lovelace"]})])
    assert questions.wrong(["It was Ada."]) == [False]
    assert questions.wrong(["It was Adam."]) == [True]
    assert questions.prompts[0][-1] == {"role": "user", "content": "Who?"}
    statements = read_labeled(
        [write(tmp_path / "s.jsonl", {"statement": "A.", "label": "1"}, {"statement": "B.", "label": "0"})]
    )
    assert statements.wrong(["True.", "The statement is true"]) == [False, True]
    assert statements.wrong(["true or false", "No"]) == [True, True]
    judged = {"question": "Who?", "response": "Ada", "hallucinated": True, "context": "c"}
    responses = read_labeled([write(tmp_path / "r.jsonl", judged)])
    assert (responses.responses, responses.contexts, responses.wrong(["Ada"])) == (("Ada",), ("c",), [True])


def test_a_limit_draws_the_same_rows_with_the_same_seed(tmp_path):
    path = write(tmp_path / "s.jsonl", *({"statement": f"{i}.", "label": 1} for i in range(50)))
    first = read_labeled([path], limit=10, seed=1)
    assert len(first.prompts) == 10
    assert read_labeled([path], limit=10, seed=1) == first
    assert read_labeled([path], limit=10, seed=2) != first


def test_one_path_or_no_rows_are_refused(tmp_path):
    path = write(tmp_path / "s.jsonl", {"statement": "A.", "label": 1})
    for paths in (path, str(path)):
        with pytest.raises(InvalidInput, match="pass a list of paths"):
            read_labeled(paths)
    with pytest.raises(InvalidInput, match="limit is 0"):
        read_labeled([path], limit=0)
    assert len(read_labeled([str(path)]).prompts) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"title": "x"}, "line 1 of .* has the fields title"),
        ({"question": "x", "references": []}, r"line 1 of .* has the references \[\]"),
        ({"question": " ", "references": ["a"]}, "has the question ' '"),
        ({"statement": "x", "label": 2}, "has the label 2; write true or false"),
        ({"question": "x", "response": "y"}, "has the hallucinated None"),
        (["x"], "is not an object but a list"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, message):
    with pytest.raises(InvalidInput, match=message):
        read_labeled([write(tmp_path / "x.jsonl", row)])
