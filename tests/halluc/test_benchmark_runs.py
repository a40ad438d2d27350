"""Running a benchmark: cache, resume, intervals, comparison, and the command line."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_likelihood_benchmarks import BBQ, TRUTHFUL, WMDP, located

from halluc.errors import ContextOverflow, InvalidInput
from halluc.evaluation import runner
from halluc.evaluation.answer_cache import AnswerCache
from halluc.evaluation.answering import System
from halluc.evaluation.benchmark import Reply, Tools
from halluc.evaluation.figures import difference, mean, measure, share, wilson
from halluc.evaluation.page import run_page
from halluc.evaluation.rows import read_benchmark_rows
from halluc.evaluation.run_record import EvaluationRun, ItemResult, compare_runs
from halluc.evaluation.runner import run_benchmark
from halluc.evaluation.table import load_benchmark
from halluc.models.prefix_scoring import ContinuationScore

SAMPLES = sorted(Path(runner.__file__).with_name("samples").glob("*.jsonl"))


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


class Named:
    """A model of which only the name is read."""

    name = "named"


@pytest.fixture
def named(monkeypatch):
    """A model that is taken for one that scores given texts, also on the command line."""
    model = Named()
    monkeypatch.setattr("halluc.models.prefix_scoring.check_scores_continuations", lambda lm: lm)
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: model)
    return model


@pytest.fixture
def chosen_letters(monkeypatch, named):
    """The model always chooses one letter; gives the numbers of items of each call."""
    calls = []

    def letter_scores(_system, items):
        calls.append(len(items))
        continuations = [item.choices[0].continuations for item in items]
        return [[[ContinuationScore(-1.0 if text == " C" else -2.0, 1) for text in texts]] for texts in continuations]

    monkeypatch.setattr(runner, "score_likelihoods", letter_scores)
    return calls


def wmdp_rows(n):
    return [{**WMDP, "question": f"Question {i}?", "answer": i % 4} for i in range(n)]


def test_a_share_has_the_interval_of_wilson():
    # Wilson 1927 for 3 of 10 at z = 1.959964: (0.3 + z²/20 ± z·sqrt(0.021 + z²/400)) / (1 + z²/10).
    z = 1.959964
    half = z * math.sqrt(0.021 + z * z / 400)
    low, high = ((0.3 + z * z / 20 + sign * half) / (1 + z * z / 10) for sign in (-1, 1))
    measured = measure(share("x", [True] * 3 + [False] * 7), 10)
    assert (measured.low, measured.high) == pytest.approx((low, high), abs=1e-6)
    assert wilson(0, 5)[1] > 0.4
    assert measure(share("x", [True], [False]), 1).value is None


def test_a_mean_has_a_bootstrap_interval_around_it():
    values = np.linspace(0, 1, 40)
    measured = measure(mean("x", values), 40)
    assert measured.value == pytest.approx(0.5)
    assert 0.38 < measured.low < 0.45 < 0.55 < measured.high < 0.62


def test_a_difference_is_paired():
    # Every row gains 0.1 or a little more, whatever its level: paired, the interval is as narrow as that.
    before = np.linspace(0, 0.8, 30)
    change = difference(mean("x", before), mean("x", before + 0.1 + np.tile([0.0, 0.01], 15)), 30)
    assert change.change == pytest.approx(0.105)
    assert 0.1 < change.low < 0.105 < change.high < 0.11


def test_equal_rows_do_not_make_a_figure_certain():
    # 10 of 10: 0.025^(1/10) is the lower end of Clopper and Pearson's interval.
    least = 0.025 ** (1 / 10)
    for value, bounds in ((1.0, (0.0, 1.0)), (0.0, (0.0, 1.0)), (0.5, (0.0, 1.0)), (0.0, (-1.0, 1.0))):
        measured = measure(mean("x", [value] * 10, bounds=bounds), 10)
        assert measured.low == pytest.approx(least * value + (1 - least) * bounds[0])
        assert measured.high == pytest.approx(least * value + (1 - least) * bounds[1])
        assert measured.value == value
    unbounded = measure(mean("claims", [3.0] * 10, bounds=None), 10)
    assert (unbounded.value, unbounded.low, unbounded.high) == (3.0, None, None)
    change = difference(share("x", [True] * 5 + [False] * 5), share("x", [True] * 5 + [False] * 5), 10)
    assert (change.low, change.high) == pytest.approx((least - 1, 1 - least))
    # A subset of the rows is less certain than all.
    among = [True] * 4 + [False] * 6
    part = measure(mean("x", [1.0] * 10, among), 10)
    assert part.low == pytest.approx(0.025 ** (1 / 4))


def test_a_run_is_resumed_from_the_cache_after_a_kill(tmp_path, chosen_letters, named, monkeypatch):
    benchmark, rows = load_benchmark("wmdp"), located(*wmdp_rows(6))
    monkeypatch.setattr(runner, "_CHUNK", 2)
    scored = runner.score_likelihoods

    def killed(system, items):
        if len(chosen_letters) == 2:
            raise KeyboardInterrupt
        return scored(system, items)

    monkeypatch.setattr(runner, "score_likelihoods", killed)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(benchmark, rows, System(named), cache=tmp_path)
    monkeypatch.setattr(runner, "score_likelihoods", scored)
    run = run_benchmark(benchmark, rows, System(named), cache=tmp_path)
    assert (run.cached, sum(chosen_letters), len(run.rows)) == (4, 6, 6)
    assert run_benchmark(benchmark, rows, System(named), cache=tmp_path).cached == 6


@pytest.fixture
def open_cache(tmp_path):
    """A cache of plain texts with the given settings."""
    return lambda **settings: AnswerCache(tmp_path, settings, str, str)


def test_a_line_that_was_cut_off_is_dropped_and_computed_again(open_cache):
    with open_cache(a=1) as cache:
        cache.add("one", "yes")
        cache.add("two", "no")
    whole = cache.path.read_bytes()
    cache.path.write_bytes(whole[:-5])
    with open_cache(a=1) as again:
        assert again["one"] == "yes"
        assert "two" not in again
        again.add("two", "no")
    assert cache.path.read_bytes() == whole


def test_other_settings_have_another_cache(open_cache):
    with open_cache(model="a") as first, open_cache(model="b") as second:
        assert first.path != second.path


def test_another_version_of_halluc_which_may_ask_otherwise_has_another_cache(open_cache, monkeypatch):
    with open_cache() as cache:
        cache.add("one", "yes")
    monkeypatch.setattr("halluc.evaluation.answer_cache.__version__", "99")
    with open_cache() as other:
        assert "one" not in other


def test_another_verifier_of_the_same_name_judges_answers_again(tmp_path, named, monkeypatch):
    answered = []

    def replies(_system, items, max_new_tokens):
        answered.append(len(items))
        return [Reply("Paris") for _ in items]

    monkeypatch.setattr(runner, "generate_replies", replies)
    benchmark, rows = load_benchmark("nq"), located({"question": "Capital of France?", "answer": ["Paris"]})
    index = SimpleNamespace(content_hash="0")
    for fingerprint in ("old", "new", "new"):
        verifier = SimpleNamespace(name="default", fingerprint=fingerprint)
        run_benchmark(benchmark, rows, System(named, "abstain", index, verifier), cache=tmp_path)
    assert answered == [1, 1]


def test_a_cache_that_another_run_uses_is_refused_and_free_again_afterwards(open_cache):
    with open_cache(), pytest.raises(InvalidInput, match="in use by another run"):
        open_cache()
    with open_cache():
        pass


@pytest.mark.parametrize(
    "damage", [b'{"kind": "benchmark-answers", "format": 2}\n', b'{"kind": "benchmark-answers"', b"[]\n"]
)
def test_a_cache_of_another_version_is_refused_or_a_cut_header_written_again(open_cache, damage):
    with open_cache() as cache:
        pass
    cache.path.write_bytes(damage)
    if damage.endswith(b"\n"):
        with pytest.raises(InvalidInput, match="delete the file"):
            open_cache()
    else:
        with open_cache() as again:
            assert len(again) == 0


def test_runs_are_saved_read_and_compared_on_the_rows_of_both(tmp_path, chosen_letters, named):
    benchmark = load_benchmark("wmdp")
    before = run_benchmark(benchmark, located(*wmdp_rows(8)), System(named))
    before.save(tmp_path / "before.json")
    loaded = EvaluationRun.load(tmp_path / "before.json")
    assert loaded.to_dict() == before.to_dict()
    after = run_benchmark(benchmark, located(*wmdp_rows(10)), System(named))
    (change,) = compare_runs(benchmark, loaded, after)
    assert (change.n, change.change) == (8, 0)
    assert change.low < 0 < change.high
    other = load_benchmark("bbq")
    with pytest.raises(InvalidInput, match="earlier run is of wmdp"):
        compare_runs(other, before, EvaluationRun(**{**vars(after), "benchmark": "bbq"}))


def test_a_saved_run_of_another_version_is_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"kind": "evaluation-run", "format": 99}))
    with pytest.raises(InvalidInput, match="format 99; this version reads format 2"):
        EvaluationRun.load(path)


def test_the_page_escapes_what_rows_say(chosen_letters, named):
    row = {**WMDP, "question": "<script>alert(1)</script>"}
    page = run_page(run_benchmark(load_benchmark("wmdp"), located(row), System(named)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_page_rounds_scores_and_names_the_axes_of_a_curve():
    benchmark = load_benchmark("self_aware")
    rows = located({"question": "a?", "answerable": True}, {"question": "b?", "answerable": False})
    items = benchmark.items(rows)
    scores = benchmark.score(items, [Reply("x", confidence=1 / 3), Reply("y", confidence=2 / 3)], Tools())
    results = tuple(ItemResult(item.key, item.question, "x", score) for item, score in zip(items, scores, strict=True))
    figures = tuple(measure(figure, 2) for figure in benchmark.figures(scores))
    page = run_page(
        EvaluationRun(
            "self_aware",
            "named",
            "none",
            "",
            (),
            {},
            figures,
            results,
            (),
            benchmark.curve(scores),
            "",
            seconds=1.0,
            cached=0,
        )
    )
    assert "confidence: 0.333" in page
    assert "0.3333" not in page
    assert ">refused, unanswerable questions</text>" in page


def test_the_model_answers_real_rows_and_grounding_changes_the_context(halluc, tmp_path, lm, monkeypatch):
    from retrieval import Passage, PassageIndex

    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: lm)
    index = PassageIndex.create(tmp_path / "i")
    index.add([Passage("1", "The Earth is round.")])
    data = write(tmp_path / "rows.jsonl", TRUTHFUL)
    arguments = ("eval", "truthfulqa", "--data", data, "--cache", tmp_path / "cache", "--json")
    code, out, err = halluc(*arguments, "--out", tmp_path / "run.json", "--html", tmp_path / "page.html")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert 0 < next(f["value"] for f in report["figures"] if f["name"] == "MC2") < 1
    code, out, err = halluc(
        *arguments, "--mitigation", "grounded", "--index", index.path, "--compare", tmp_path / "run.json"
    )
    assert (code, err) == (0, "")
    change = next(change for change in json.loads(out)["changes"] if change["name"] == "MC2")
    assert change["change"] != 0
    assert "Is the Earth flat?" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("name", "row", "long_field"),
    [("truthfulqa", TRUTHFUL, "question"), ("nq", {"question": "Capital of France?", "answer": ["Paris"]}, "question")],
)
def test_a_row_longer_than_the_context_window_is_skipped_and_named(halluc, tmp_path, lm, monkeypatch, name, row, long_field):
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: lm)
    long_row = {**row, long_field: "word " * (lm.context_window + 1) + "?"}
    data = write(tmp_path / "rows.jsonl", row, long_row, {**row, long_field: "Another question?"})
    arguments = ("eval", name, "--data", data, "--cache", tmp_path / "c", "--max-new-tokens", 2)
    code, out, err = halluc(*arguments, "--out", tmp_path / "run.json", "--html", tmp_path / "page.html", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["n"] == 2
    assert {figure["n"] for figure in report["figures"]} <= {0, 2}
    (skipped,) = report["skipped"]
    assert skipped["where"] == f"line 2 of {data}"
    assert f"the context window of {lm.name} is" in skipped["reason"]
    assert len(EvaluationRun.load(tmp_path / "run.json").rows) == 2
    assert "line 2 of" in (tmp_path / "page.html").read_text()
    _, table, _ = halluc(*arguments, "--no-json")
    assert "skipped 1 longer than the context window: line 2 of" in " ".join(table.split())


def test_a_run_of_which_no_row_fits_ends_with_one_sentence(halluc, tmp_path, lm, monkeypatch):
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: lm)
    data = write(tmp_path / "rows.jsonl", {"question": "word " * (lm.context_window + 1), "answer": ["Paris"]})
    code, out, err = halluc("eval", "nq", "--data", data, "--cache", tmp_path / "c")
    assert (code, out) == (2, "")
    assert "no row of nq fits the context window; of line 1 of" in " ".join(err.split())


def test_a_row_that_is_too_long_for_the_judge_alone_is_skipped(named, monkeypatch):
    def hateful(statements):
        if any("long" in statement for statement in statements):
            raise ContextOverflow("the context window is 8 tokens")
        return np.zeros(len(statements), dtype=bool)

    monkeypatch.setattr(runner, "generate_replies", lambda _system, items, **_options: [Reply(i.question) for i in items])
    benchmark = replace(
        load_benchmark("nq"),
        score=lambda _items, replies, tools: [{"hit": x} for x in tools.judge.hateful([r.text for r in replies]).tolist()],
        figures=lambda scores: [share("hit", [score["hit"] for score in scores])],
        needs=frozenset({"judge"}),
    )
    rows = located(*({"question": question, "answer": ["x"]} for question in ("a?", "long?", "b?")))
    judge = SimpleNamespace(name="judge", note="", hateful=hateful)
    run = run_benchmark(benchmark, rows, System(named), tools=Tools(judge=judge))
    assert [row.question for row in run.rows] == ["a?", "b?"]
    assert [item.question for item in run.skipped] == ["long?"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_packaged_rows_are_usable_and_their_source_and_license_are_named(path):
    benchmark = load_benchmark(path.stem)
    found, names = read_benchmark_rows(benchmark, ["sample"])
    assert len(benchmark.items(found)) == len(found) >= 20
    assert names == [str(path)]
    assert path.name in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["truthfullqa"], "truthfulqa"),
        (["wmdp", "--data", "missing.jsonl"], "there is no file missing.jsonl"),
        (["factor"], "factor has no rows of its own; pass --data"),
        (["clapnq"], "or with 'sample'"),
        (["harmbench", "--data", "sample"], "harmbench has no packaged rows, as bbq"),
        (["wmdp", "--data", "ROWS", "--limit", "0"], "limit is 0; pass an integer of at least 1"),
        (["wmdp", "--data", "EMPTY"], "holds no rows"),
        (["bbq", "--data", "ROWS"], "has no column context; it has question, choices, answer, subject"),
        (["wmdp", "--data", "ROWS", "--compare", "OLD"], "format 99; this version reads format 2"),
        (["wmdp", "--data", "ROWS", "--compare", "OTHER"], "the two runs share no item; run both on the same rows"),
        (["bbq", "--data", "sample", "--compare", "OTHER"], "is of wmdp, not of bbq; pass a run of the same benchmark"),
        (["wmdp", "--data", "ROWS", "--html", "ROWS"], "is not a file that this command wrote"),
        (["wmdp", "--data", "ROWS", "--mitigation", "cove"], "scores likelihoods of given answers"),
        (["wmdp", "--data", "ROWS", "--mitigation", "grounded"], "pass --index"),
        (["wmdp", "--data", "ROWS", "--mitigation", "prayer"], "prayer"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_exit_code_2(halluc, tmp_path, named, arguments, message):
    files = {"ROWS": write(tmp_path / "rows.jsonl", WMDP), "EMPTY": write(tmp_path / "empty.jsonl")}
    files["OTHER"] = tmp_path / "other.json"
    run = EvaluationRun("wmdp", "named", "none", "", (), {}, (), (), (), None, "", seconds=1.0, cached=0)
    run.save(files["OTHER"])
    files["OLD"] = write(tmp_path / "old.json", {"kind": "evaluation-run", "format": 99})
    code, out, err = halluc("eval", *[files.get(argument, argument) for argument in arguments])
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_an_endpoint_is_refused_for_a_likelihood_benchmark(halluc, tmp_path):
    data = write(tmp_path / "rows.jsonl", WMDP)
    code, out, err = halluc("eval", "wmdp", "--data", data, "-m", "http://127.0.0.1:9/v1#m")
    assert (code, out) == (2, "")
    assert "reports no log-probabilities of given texts" in err


def test_bbq_figures_are_printed_as_a_table(halluc, tmp_path, chosen_letters):
    code, out, _ = halluc("eval", "bbq", "--data", write(tmp_path / "r.jsonl", BBQ), "--cache", tmp_path / "c", "--no-json")
    assert code == 0
    assert "bias score, ambiguous" in out
    assert "undefined" in out
