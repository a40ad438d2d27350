"""`halluc.calibrate` and what a GroundedModel does with its calibrator."""

import json
import math

import numpy as np
import pytest

import calibration
from calibration import Calibrator, NoThresholdWarning
from halluc import Answer, Generation, GroundedModel, calibrate
from halluc.answers import with_calibrated_confidence
from halluc.confidence import estimate_confidence
from halluc.errors import HallucError, InvalidInput
from retrieval import Passage, PassageIndex

pytestmark = pytest.mark.filterwarnings("ignore::calibration.errors.NoThresholdWarning")

PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928. He worked at a hospital in London.", "Penicillin"),
    Passage("curie", "Marie Curie was born in Warsaw. She won two Nobel Prizes for her work on radioactivity.", "Curie"),
]
QUESTION = "Who discovered penicillin?"


class Oracle:
    """A model with known confidence: c in a question "… c", of which it answers a share of c squared right."""

    name = "oracle"
    context_window = None

    def __init__(self, rng):
        self.rng = rng

    def count_tokens(self, prompt):
        return len(str(prompt).split())

    def generate(self, prompts, **_):
        self.prompts = prompts
        sure = [float(str(prompt).split()[-1]) for prompt in prompts]
        return [
            [Generation("It is blue." if self.rng.random() < c**2 else "It is red.", (1,), (math.log(c),))] for c in sure
        ]


def rows(size, seed=0):
    rng = np.random.default_rng(seed)
    return [{"question": f"Which color? {c:.4f}", "references": ["Blue", "azure"]} for c in rng.uniform(0.3, 1, size)]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("calibration") / "x.index")
    made.add(PASSAGES)
    return made


def fixed(threshold, *, source="length_normalized_likelihood"):
    """A calibrator with a given threshold, whose recalibrator is a histogram."""
    made = Calibrator(0.3, recalibrator="histogram", source=source)
    confidence = np.random.default_rng(0).uniform(0, 1, 200)
    made.fit(confidence, np.arange(200) % 4 > 0)
    made.rule_.threshold_ = threshold
    return made


def test_one_call_gives_confidence_correctness_metrics_and_a_saved_calibrator(tmp_path):
    made = calibrate(Oracle(np.random.default_rng(1)), rows(400), risk=0.3, out=tmp_path / "c.json")
    asked = [float(row["question"].split()[-1]) for row in rows(400)]
    assert made.confidence == pytest.approx(asked)
    assert made.correct.tolist() == [answer.text == "It is blue." for answer in made.answers]
    assert made.answered.all()
    report = made.report
    assert (report.fit_count, report.threshold_count, report.report_count) == (280, 280, 120)
    chosen = next(row for row in report.after if row.name == report.chosen)
    assert chosen.ece < report.before.ece
    assert report.threshold_result.held
    read = calibration.load(tmp_path / "c.json")
    assert read.source == "length_normalized_likelihood"
    assert read.threshold == made.calibrator.threshold
    assert read.transform(asked).tolist() == made.calibrator.transform(asked).tolist()
    plain = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert plain["rows"][0]["question"] == rows(400)[0]["question"]


def test_empty_answers_are_abstentions_and_are_left_out():
    class Silent(Oracle):
        def generate(self, prompts, **options):
            made = super().generate(prompts, **options)
            return [[Generation(" ")] if i % 4 == 0 else completions for i, completions in enumerate(made)]

    made = calibrate(Silent(np.random.default_rng(1)), rows(80), risk=0.6)
    assert made.answered.sum() == len(made.confidence) == len(made.correct) == 60
    assert made.answers[0].abstained
    assert "empty answer" in made.answers[0].reason


def test_a_prompt_function_makes_what_the_model_is_sent():
    oracle = Oracle(np.random.default_rng(1))
    calibrate(oracle, rows(40), risk=0.8, prompt="Briefly: {}".format)
    assert oracle.prompts[0] == f"Briefly: {rows(1)[0]['question']}"


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "there are no questions"),
        ([{"question": "q"}], "question row 0 has no references"),
        ([{"question": "q", "references": ["x"]}, {"references": ["x"]}], "question row 1 has no question"),
        (["q"], "question row 0 is 'q'; pass rows with 'question' and 'references'"),
        ([{"question": " ", "references": ["x"]}], "question row 0 has the question ' '"),
        ([{"question": "q", "references": "blue"}], "question row 0 has the references 'blue'; pass a list"),
        ([{"question": "q", "references": []}], "pass a list of accepted answers"),
        ([{"question": "q 0.5", "references": ["x"]}] * 9, "9 of 9 questions were answered; calibrate on at least 10"),
    ],
)
def test_unusable_rows_are_named(questions, message):
    with pytest.raises(InvalidInput, match=message):
        calibrate(Oracle(np.random.default_rng(0)), questions)


def test_a_source_that_the_model_lacks_is_refused_before_the_model_is_asked(lm, index):
    with pytest.raises(InvalidInput, match="no confidence source 'vibes'"):
        calibrate(None, rows(20), source="vibes")
    with pytest.raises(InvalidInput, match="verifier_support needs a GroundedModel with a verifier"):
        calibrate(GroundedModel(lm, index), rows(20), source="verifier_support")
    with pytest.raises(InvalidInput, match="no confidence source ''"):
        GroundedModel(lm, index, calibrator=fixed(0.5, source=""))
    with pytest.raises(InvalidInput, match="verifier_support needs"):
        GroundedModel(lm, index, calibrator=fixed(0.5, source="verifier_support"))
    with pytest.raises(InvalidInput, match="not fitted"):
        GroundedModel(lm, index, calibrator=Calibrator(source="p_true"))


def test_several_sources_are_combined_to_one_confidence():
    oracle = Oracle(np.random.default_rng(1))
    names = ["length_normalized_likelihood", "min_token_probability"]
    made = calibrate(oracle, rows(200), sources=names, risk=0.6)
    assert made.confidence.shape == (200, 2)
    assert made.calibrator.source == "length_normalized_likelihood+min_token_probability"
    assert [row.name for row in made.report.sources] == names
    assert made.report.before.auroc == pytest.approx(max(row.auroc for row in made.report.sources), abs=0.05)
    answers = [answer for answer in made.answers if not answer.abstained]
    raw = estimate_confidence(made.calibrator.source, answers, lm=oracle)
    assert (raw == made.confidence).all()
    kept = with_calibrated_confidence(answers, made.calibrator, raw)
    assert [answer.abstained for answer in kept] == (~made.calibrator.answer(raw)).tolist()
    for sources, message in ((["p_true"], "at least two"), ("p_true", "at least two"), (["p_true"] * 2, "named twice")):
        with pytest.raises(InvalidInput, match=message):
            calibrate(oracle, rows(20), sources=sources)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 2}, "risk is 2"),
        ({"delta": 0}, "delta is 0"),
        ({"split": (1, 1, 1)}, r"split is \(1, 1, 1\); pass 3 positive shares that sum to 1"),
        ({"split": (0.5, 0.5)}, "pass 3 positive shares"),
        ({"seed": -1}, "seed is -1"),
        ({"prompt": "Briefly: {}"}, "prompt is 'Briefly: {}'; pass a function"),
        ({"out": "missing/c.json"}, "missing/c.json cannot be written: there is no folder missing"),
        ({"out": "."}, "is a folder"),
        ({"questions": "Which?"}, "questions is 'Which"),
        ({"questions": {"question": "q", "references": ["x"]}}, "pass a list of rows"),
    ],
)
def test_unusable_options_are_refused_as_our_error_before_the_model_is_asked(options, message):
    """All prompts were generated first, and then an error of calibration was raised; a text was taken for rows."""

    class Unasked(Oracle):
        def generate(self, prompts, **_):
            pytest.fail("the model was asked")

    questions = options.pop("questions", rows(20))
    with pytest.raises(HallucError, match=message) as raised:
        calibrate(Unasked(np.random.default_rng(0)), questions, **options)
    assert isinstance(raised.value, InvalidInput)


def test_a_split_too_small_for_the_answers_is_our_error():
    with pytest.raises(InvalidInput, match="leaves 0 of 20 rows to choose a threshold on"):
        calibrate(Oracle(np.random.default_rng(0)), rows(20), split=(0.98, 0.01, 0.01))


def test_a_prompt_function_is_refused_for_a_grounded_model(lm, index):
    with pytest.raises(InvalidInput, match="a GroundedModel makes its own prompts"):
        calibrate(GroundedModel(lm, index), rows(20), prompt="Briefly: {}".format)


def test_a_grounded_model_is_calibrated_with_its_own_prompts_and_without_its_calibrator(lm, index):
    model = GroundedModel(lm, index, calibrator=fixed(0.999), max_new_tokens=8)
    questions = [
        {"question": f"Who discovered penicillin in {year}?", "references": ["Fleming"]} for year in range(1920, 1932)
    ]
    with pytest.warns(NoThresholdWarning):
        made = calibrate(model, questions)
    assert made.answered.all()
    assert made.answers[0].text
    assert made.correct.tolist() == ["fleming" in answer.text.lower() for answer in made.answers]


def without_floats(answer):
    return (answer.text, answer.abstained, answer.reason, answer.citations, [hit.passage for hit in answer.hits])


def test_a_grounded_model_gives_calibrated_confidence_above_the_threshold_and_abstains_below(lm, index):
    plain = GroundedModel(lm, index).ask(QUESTION)
    bold = fixed(0.0)
    answer = GroundedModel(lm, index, calibrator=bold).ask(QUESTION)
    # In another batch the floats of a model may differ in the last digits.
    assert answer.confidence == pytest.approx(bold.transform([plain.confidence])[0], abs=1e-4)
    assert without_floats(answer) == without_floats(plain)
    careful = fixed(0.999)
    model = GroundedModel(lm, index, calibrator=careful)
    held_back, far = model.batch([QUESTION, "Which chord follows a dominant seventh?"])
    assert held_back.abstained
    assert held_back.text == ""
    assert held_back.confidence == pytest.approx(careful.transform([plain.confidence])[0], abs=1e-4)
    assert "below 0.999, above which at most 30% of answers are wrong with probability 95%" in held_back.reason
    assert held_back.generation.text == plain.generation.text
    # An abstention of the model itself keeps its own reason.
    assert "the passages do not seem to answer" in far.reason
    *pieces, last = model.stream(QUESTION)
    # Nothing that the calibrator holds back has been shown.
    assert pieces == []
    assert without_floats(last) == without_floats(held_back)
    assert last.confidence == pytest.approx(held_back.confidence, abs=1e-4)


def test_a_calibrator_without_a_threshold_always_abstains_and_says_so():
    with pytest.warns(NoThresholdWarning):
        hopeless = Calibrator(0.01, recalibrator="platt", source="p_true").fit([0.4, 0.6] * 10, [True, False] * 10)
    answer = Answer("q", "text", generation=Generation("text"))
    (made,) = with_calibrated_confidence([answer], hopeless, np.array([1.0]))
    assert made.abstained
    assert "found no threshold above which at most 1% of answers are wrong" in made.reason
    assert with_calibrated_confidence([], hopeless, np.empty(0)) == []


def test_small_risks_and_deltas_are_written_in_full():
    """A risk of .005 read "at most 0% of answers are wrong"."""
    calibrator = fixed(0.999)
    calibrator.risk, calibrator.delta = 0.005, 0.001
    (abstention,) = with_calibrated_confidence([Answer("q", "text")], calibrator, np.array([0.5]))
    assert "at most 0.5% of answers are wrong with probability 99.9%" in abstention.reason
